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
    Inherit, Quota,
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
