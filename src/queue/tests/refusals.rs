//! A refusal writes nothing, and takes no lock; nor does who finds permits there.

use core::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};
use std::sync::mpsc;

use crate::{AllOf, ManualClock, Quota, RateLimiter};

/// Refuses one, two and more than a burst while the queue's lock is held by somebody else.
fn refuse(limiter: &RateLimiter<ManualClock>, case: &'static str) {
    let queue = limiter.queue();
    let before = format!("{:?}", queue.meter);
    let guard = queue.inner.lock();
    let (done, wait) = mpsc::channel();
    let other = limiter.clone();
    let thread = std::thread::spawn(move || {
        for _ in 0..3 {
            assert!(other.try_acquire().unwrap_err().retry_after().is_some(), "{case}");
            assert!(other.try_acquire_n(2).unwrap_err().retry_after().is_some(), "{case}");
            assert!(other.try_acquire_n(3).unwrap_err().is_never(), "{case}");
        }
        let _ = done.send(());
    });
    let refused = wait.recv_timeout(Duration::from_secs(60));
    drop(guard);
    thread.join().expect("it is refused");
    assert_eq!(refused, Ok(()), "{case}: a refusal waits for the lock");
    assert_eq!(format!("{:?}", queue.meter), before, "{case}: a refusal writes");
}

#[test]
fn a_refusal_writes_nothing_and_takes_no_lock() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(1).burst(2), clock.clone());
    limiter.try_acquire_n(2).unwrap();
    refuse(&limiter, "empty");
    clock.advance(Duration::from_millis(999));
    refuse(&limiter, "a little there");
    limiter.charge(2).unwrap();
    refuse(&limiter, "in debt");
    let mut waiter = Box::pin(limiter.acquire());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiter.as_mut().poll(&mut cx).is_pending());
    refuse(&limiter, "behind a waiter");
}

#[test]
fn who_finds_permits_there_takes_no_lock() {
    let limiter = RateLimiter::with_clock(Quota::per_second(10), ManualClock::new());
    let guard = limiter.queue().inner.lock();
    let (done, wait) = mpsc::channel();
    let other = limiter.clone();
    let thread = std::thread::spawn(move || {
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(other.try_acquire(), Ok(()));
        assert!(pin!(other.acquire()).poll(&mut cx).is_ready());
        assert!(pin!(other.acquire_within(2, Duration::ZERO)).poll(&mut cx).is_ready());
        other.acquire_blocking();
        assert_eq!(other.try_acquire_up_to(3), 3);
        assert!(other.charge(1).is_ok());
        let _ = done.send(());
    });
    let taken = wait.recv_timeout(Duration::from_secs(60));
    drop(guard);
    thread.join().expect("they are there");
    assert_eq!(taken, Ok(()), "who takes waits for the lock");
    assert_eq!(limiter.available(), 1);
}

/// The word may be taken although nobody waits: what is there is found under the lock, and so is that nothing is.
#[test]
fn what_is_there_is_found_under_the_lock() {
    let limiter = RateLimiter::with_clock(Quota::per_second(1).burst(5), ManualClock::new());
    limiter.queue().locked(|locked| locked.inner.holds += 1);
    assert_eq!([3, 3, 3].map(|most| limiter.try_acquire_up_to(most)), [3, 2, 0]);
    assert_eq!(limiter.available(), 0);
}

/// Where a group is among them, what those in the queue ask for does not tell when somebody's turn is: that takes the
/// lock.
#[test]
fn who_is_refused_behind_a_group_is_told_when() {
    let clock = ManualClock::new();
    let limiter =
        |initial| RateLimiter::with_clock(Quota::per_second(1).burst(2).initial(initial), clock.clone());
    let (empty, full) = (limiter(0), limiter(2));
    let mut group = pin!(AllOf::new().and(&empty, 1).and(&full, 1).acquire());
    assert!(group.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(empty.waiting(), 1);
    assert_eq!(empty.try_acquire().unwrap_err().retry_after(), Some(Duration::from_secs(2)));
}
