//! Threads that wait.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Instant,
};

use super::*;

/// Waits until so many wait.
fn until_waiting<C: Clock>(limiter: &RateLimiter<C>, waiting: usize) {
    let start = Instant::now();
    while limiter.waiting() != waiting {
        assert!(start.elapsed() < secs(60), "{} wait", limiter.waiting());
        thread::yield_now();
    }
}

#[test]
fn threads_and_tasks_are_served_in_order() {
    let (limiter, clock) = manual("1/s burst 3 initial 0");
    let mut first = queued(&limiter, 1);
    thread::scope(|scope| {
        let thread = scope.spawn(|| limiter.blocking_acquire_n(2));
        until_waiting(&limiter, 2);
        let mut last = queued(&limiter, 1);
        clock.advance(secs(2));
        assert!(poll(&mut first).is_ready() && poll(&mut last).is_pending());
        assert!(!thread.is_finished());
        clock.advance(secs(1));
        assert_eq!(thread.join().unwrap(), Ok(()));
        assert!(poll(&mut last).is_pending());
    });
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

/// By a charge the thread comes too late, and hears of it at once.
#[test]
fn a_thread_that_can_no_longer_be_served_is_told_so() {
    let (limiter, _clock) = manual("1/s burst 3 initial 0");
    let denied = Err(Denied::NotYet(crate::NotYet::after(secs(1))));
    assert_eq!(limiter.blocking_acquire_within(2, secs(1)), denied);
    thread::scope(|scope| {
        let thread = scope.spawn(|| limiter.blocking_acquire_within(2, secs(86_400)));
        until_waiting(&limiter, 1);
        limiter.charge(86_399).unwrap();
        assert_eq!(thread.join().unwrap(), denied);
    });
    assert_eq!(limiter.waiting(), 0);
}

#[test]
fn a_thread_whose_clock_panics_leaves_the_queue() {
    // One reading without the lock, and one with it.
    for readings in 0..2 {
        let (limiter, clock) = dialed("1/s burst 3 initial 0");
        clock.panic_after(readings);
        let outcome = thread::scope(|scope| {
            let blocked = scope.spawn(|| {
                catch_unwind(AssertUnwindSafe(|| limiter.blocking_acquire_within(1, secs(1)))).is_ok()
            });
            let start = Instant::now();
            while !blocked.is_finished() && (limiter.waiting() == 0 || clock.is_set_to_panic()) {
                assert!(start.elapsed() < secs(60));
                thread::yield_now();
            }
            clock.calm();
            clock.advance(SECOND);
            limiter.refund(0).unwrap();
            blocked.join().unwrap()
        });
        assert_eq!((limiter.waiting(), state(&limiter).1), (0, HandOff::Idle), "{readings} {outcome}");
        clock.advance(SECOND);
        assert!(limiter.try_acquire().is_ok());
    }
}
