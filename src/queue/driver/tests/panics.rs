//! Clocks and wakers that panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::Inherit;

type Call = fn(&RateLimiter<Dial>);

const CALLS: [(&str, Call); 11] = [
    ("try_acquire", |limiter| _ = limiter.try_acquire()),
    ("try_reserve", |limiter| drop(limiter.try_reserve(1))),
    ("try_acquire_up_to", |limiter| _ = limiter.try_acquire_up_to(2)),
    ("charge", |limiter| _ = limiter.charge(2)),
    ("refund", |limiter| _ = limiter.refund(1)),
    ("reset", RateLimiter::reset),
    ("set_quota", |limiter| limiter.set_quota("2/s burst 5".parse().unwrap()).unwrap()),
    ("set_quota_with", |limiter| {
        limiter.set_quota_with("1/s burst 4".parse().unwrap(), Inherit::Reset).unwrap();
    }),
    ("available", |limiter| _ = limiter.available()),
    ("time_until", |limiter| _ = limiter.time_until(1)),
    ("acquire", |limiter| _ = poll(&mut Box::pin(limiter.acquire_n(3)))),
];

/// Whichever reading it is that panics: the word is thawed, the hand-off is idle, and all waiters are served in order.
#[test]
fn a_clock_that_panics_leaves_nothing_half_done() {
    for (name, call) in CALLS {
        for waiters in [0, 2] {
            for readings in 0.. {
                let (limiter, clock) = dialed("1/s burst 5 initial 1");
                let mut waiting: Vec<_> = (0..waiters).map(|_| queued(&limiter, 2)).collect();
                // Time for the alarm, which is late.
                clock.advance(10 * SECOND);
                clock.panic_after(readings);
                let outcome = catch_unwind(AssertUnwindSafe(|| call(&limiter)));
                let calm = clock.calm();
                assert_eq!(outcome.is_ok(), calm, "{name} {readings}");
                let (owned, hand_off, armed) = state(&limiter);
                assert!(owned || limiter.waiting() == 0, "{name} {readings}");
                assert_eq!(hand_off, HandOff::Idle, "{name} {readings}");
                assert!(calm || armed.is_none_or(|armed| armed > START), "{name} {readings}");
                // All go on as if nothing had been.
                clock.advance(100 * SECOND);
                let _ = limiter.try_acquire();
                for waiter in &mut waiting {
                    clock.advance(10 * SECOND);
                    let _ = limiter.try_acquire();
                    assert_eq!(poll(waiter), Poll::Ready(Ok(())), "{name} {readings}");
                }
                assert_eq!((limiter.waiting(), state(&limiter).0), (0, false), "{name} {readings}");
                clock.advance(1_000 * SECOND);
                let burst = i64::try_from(limiter.quota().burst()).unwrap();
                assert_eq!(limiter.available(), burst, "{name} {readings}");
                if calm {
                    break;
                }
                assert!(readings < 20, "{name}: it goes on and on");
            }
        }
    }
}

/// Nothing is taken by a step whose clock has panicked.
#[test]
fn a_step_whose_clock_panics_changes_nothing() {
    let (limiter, clock) = dialed("1/s burst 5 initial 3");
    let driver = limiter.driver();
    let before = driver.meter.bits();
    clock.panic_after(0);
    assert!(catch_unwind(AssertUnwindSafe(|| driver.with(|_| ()))).is_err());
    assert_eq!((driver.meter.bits(), driver.meter.is_owned()), (before, false));
    let _waiter = queued(&limiter, 4);
    let before = driver.meter.bits();
    clock.panic_after(0);
    assert!(catch_unwind(AssertUnwindSafe(|| driver.with(|_| ()))).is_err());
    assert_eq!((driver.meter.bits(), driver.meter.is_owned()), (before, true));
}

/// The place is out of the queue before the clock is read.
#[test]
fn a_waiter_is_dropped_under_a_clock_that_panics() {
    for readings in 0..2 {
        let (limiter, clock) = dialed("1/s burst 5 initial 0");
        let (first, mut second) = (queued(&limiter, 3), queued(&limiter, 2));
        clock.panic_after(readings);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(first)));
        assert_eq!(dropped.is_ok(), clock.calm());
        assert_eq!((limiter.waiting(), state(&limiter).1), (1, HandOff::Idle));
        clock.advance(2 * SECOND);
        limiter.refund(0).unwrap();
        assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
    }
}

#[test]
fn an_alarm_that_rings_under_a_clock_that_panics_may_ring_again() {
    let (limiter, clock) = dialed("1/s burst 5 initial 0");
    let mut waiter = queued(&limiter, 2);
    clock.advance(2 * SECOND);
    clock.panic_after(0);
    assert!(catch_unwind(AssertUnwindSafe(|| clock.ring())).is_err());
    assert_eq!((poll(&mut waiter), state(&limiter)), (Poll::Pending, (true, HandOff::Idle, None)));
    clock.ring();
    assert_eq!(poll(&mut waiter), Poll::Ready(Ok(())));
}

#[test]
fn a_waker_that_panics_keeps_no_other_waiting() {
    let (limiter, clock) = manual("1/s burst 2 initial 0");
    let panics = waker(|| panic!("a waker that panics, on purpose"));
    let mut first = queued_with(&limiter, 1, &panics);
    let mut second = queued(&limiter, 1);
    clock.advance(secs(2));
    assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
    assert_eq!(state(&limiter).1, HandOff::Idle);
}
