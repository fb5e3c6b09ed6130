//! Claim: who is refused because others wait is told a wait that is enough, though these are being granted or the quota
//! changes at the same time. It is by one quota or the other, never by parts of both.

use core::{
    future::Future,
    task::{Context, Waker},
    time::Duration,
};
use loom::thread;

use super::{ModelClock, SECOND, check, queue, queued};
use crate::{
    AllOf, Inherit, Quota, RateLimiter,
    queue::{By, WaitQueue},
};

/// What a call for `permits` that does not wait is told while `meanwhile` happens at that time, and others wait for so
/// many, with a burst of three of which `initial` are there.
fn told(
    initial: u64,
    waiting: &[u64],
    permits: u64,
    now: u64,
    meanwhile: impl FnOnce(&WaitQueue<ModelClock>),
) -> Option<Duration> {
    let clock = ModelClock::new();
    let queue = queue(3, initial, &clock);
    let _waiters: Vec<_> = waiting.iter().map(|&n| queued(&queue, n)).collect();
    clock.set(now);
    let other = {
        let queue = queue.clone();
        thread::spawn(move || queue.try_take(permits.into()).unwrap_err())
    };
    meanwhile(&queue);
    other.join().unwrap().retry_after()
}

/// The waiter is served after a second and the caller three seconds later, or a thousandth sooner each. With the ticks of
/// the one and the burst of the other, what the caller asks for is too much for ever.
#[test]
fn the_wait_is_by_one_quota_or_the_other() {
    check(1, || {
        let quota = Quota::new(1, Duration::from_millis(999)).burst(3);
        let told = told(1, &[2], 3, 0, |queue| queue.set_quota(quota, Inherit::AsIs).unwrap());
        assert!([4_000, 3_996].map(|ms| Some(Duration::from_millis(ms))).contains(&told), "{told:?}");
    });
}

/// One of two who wait is granted what has come within a second, and the caller comes two seconds after that. Just then
/// the grant may count twice.
#[test]
fn the_wait_is_no_shorter_while_somebody_is_granted() {
    check(2, || {
        let told = told(0, &[1, 1], 1, SECOND, |queue| queue.drive(By::Other));
        assert!([2, 3].map(|s| Some(Duration::from_secs(s))).contains(&told), "{told:?}");
    });
}

/// A group waits in two queues, in the other of which its turn comes after five seconds. In this one that is when the next
/// comes, too, as the bucket may be empty by then: what is given back meanwhile is not for it.
#[test]
fn the_wait_behind_a_group_is_no_shorter_while_permits_come_back() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter =
            |initial| RateLimiter::with_clock(Quota::per_second(1).burst(3).initial(initial), clock.clone());
        let (other, this) = (limiter(1), limiter(0));
        let mut group = Box::pin(AllOf::new().and(&other, 1).and(&this, 1).acquire());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(group.as_mut().poll(&mut cx).is_pending());
        other.charge(5).unwrap();
        clock.set(SECOND);
        assert!(group.as_mut().poll(&mut cx).is_pending());
        assert_eq!((other.waiting(), this.waiting()), (1, 1));
        let refused = {
            let this = this.clone();
            thread::spawn(move || this.try_acquire().unwrap_err())
        };
        this.refund(2).unwrap();
        assert_eq!(refused.join().unwrap().retry_after(), Some(Duration::from_secs(5)));
    });
}
