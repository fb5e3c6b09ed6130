//! Claim: who is refused because others wait is told a wait that is enough, though these are being granted or the quota
//! changes at the same time. It is by one quota or the other, never by parts of both.

use core::{
    future::Future,
    task::{Context, Waker},
    time::Duration,
};
use loom::thread;

use super::{ModelClock, SECOND, check, queue};
use crate::{
    AllOf, Inherit, Quota, RateLimiter,
    queue::{AcquireNOwned, By, WaitQueue},
};

/// What a call that does not wait is told while `meanwhile` happens at that time, and so many wait for one permit each,
/// of three to a burst, none of which is there.
fn told(waiting: usize, now: u64, meanwhile: impl FnOnce(&WaitQueue<ModelClock>)) -> Duration {
    let clock = ModelClock::new();
    let queue = queue(3, 0, &clock);
    let mut cx = Context::from_waker(Waker::noop());
    let wait = |_| Box::pin(AcquireNOwned::new(queue.clone(), Ok(1.into()), None));
    let mut waiters: Vec<_> = (0..waiting).map(wait).collect();
    for waiter in &mut waiters {
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
    }
    clock.set(now);
    let other = {
        let queue = queue.clone();
        thread::spawn(move || queue.try_take(1.into()).unwrap_err())
    };
    meanwhile(&queue);
    other.join().unwrap().retry_after().unwrap()
}

/// The waiter is served after a second and the caller a second later, or each of them after twice as long.
#[test]
fn the_wait_is_by_one_quota_or_the_other() {
    check(1, || {
        let quota = Quota::new(1, Duration::from_secs(2)).burst(3);
        let told = told(1, 0, |queue| queue.set_quota(quota, Inherit::AsIs).unwrap());
        assert!(told == Duration::from_secs(2) || told == Duration::from_secs(4), "{told:?}");
    });
}

/// One of two who wait is granted what has come within a second, and the caller comes two seconds after that. Just then
/// the grant may count twice.
#[test]
fn the_wait_is_no_shorter_while_somebody_is_granted() {
    check(2, || {
        let told = told(2, SECOND, |queue| queue.drive(By::Other));
        assert!(told == Duration::from_secs(2) || told == Duration::from_secs(3), "{told:?}");
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
