//! Claim: who asks for several limits at once takes all or nothing, whichever way two of them, the alarms, and
//! those who leave interleave. Two that name the limits in opposite orders do not wait for each other, who is due
//! in all is woken, and who leaves takes nothing along.

use core::{
    future::Future,
    task::{Context, Waker},
};

use loom::{future::block_on, thread};

use super::{ModelClock, check};
use crate::{AllOf, Quota, RateLimiter};

type Limiter = RateLimiter<ModelClock>;

/// One permit a second, burst one.
fn limiter(clock: &ModelClock, initial: u64) -> Limiter {
    RateLimiter::with_clock(Quota::per_second(1).burst(1).initial(initial), clock.clone())
}

#[test]
fn two_in_opposite_orders_take_all_or_nothing() {
    check(2, || {
        let (a, b) = (limiter(&ModelClock::new(), 1), limiter(&ModelClock::new(), 1));
        let other = {
            let (a, b) = (a.clone(), b.clone());
            thread::spawn(move || look_once(AllOf::new().and(&a, 1).and(&b, 1)))
        };
        let one = look_once(AllOf::new().and(&b, 1).and(&a, 1));
        let other = other.join().unwrap();
        assert!(one || other, "it was there, and nobody has it");
        assert!(!(one && other), "both have it");
        assert_eq!((a.available(), b.available()), (0, 0));
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
    });
}

/// Polls it once and leaves. Whether it was granted.
fn look_once(all: AllOf<ModelClock>) -> bool {
    let mut waiter = Box::pin(all.acquire());
    waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn who_is_due_in_all_is_woken() {
    check(2, || {
        let clocks = [ModelClock::new(), ModelClock::new()];
        let (a, b) = (limiter(&clocks[0], 0), limiter(&clocks[1], 1));
        let alarm = {
            let clock = clocks[0].clone();
            thread::spawn(move || clock.ring())
        };
        block_on(AllOf::new().and(&b, 1).and(&a, 1).acquire()).unwrap();
        clocks[0].finish();
        alarm.join().unwrap();
        assert_eq!((a.available(), b.available()), (0, 0));
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
    });
}

#[test]
fn who_leaves_takes_nothing_along() {
    check(2, || {
        let clock = ModelClock::new();
        let (a, b) = (limiter(&clock, 0), limiter(&ModelClock::new(), 1));
        let mut waiter = Box::pin(AllOf::new().and(&a, 1).and(&b, 1).acquire());
        assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        // It may be granted meanwhile.
        let alarm = thread::spawn({
            let clock = clock.clone();
            move || clock.ring()
        });
        drop(waiter);
        clock.finish();
        alarm.join().unwrap();
        assert_eq!((a.available(), b.available()), (1, 1));
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
    });
}
