//! Claim: once `pause` has returned, no call that begins then is admitted, by the word or by slots; what was available
//! before is there at the end; and no waiter is forgotten, whichever way it meets the pause and its end, or a close.

use std::sync::Arc;

use loom::{
    future::block_on,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{ModelClock, SECOND, check, limiter};
use crate::{
    AcquireError, Denied,
    per_core::draw::take_shared,
    queue::Shares,
    shares::{Sizing, Slots},
};

#[test]
fn no_call_that_begins_after_a_pause_is_admitted() {
    check(1, || {
        let limiter = limiter(2, 2, &ModelClock::new());
        let paused = Arc::new(AtomicBool::new(false));
        let caller = {
            let (limiter, paused) = (limiter.clone(), Arc::clone(&paused));
            thread::spawn(move || {
                // Acquire: pairs with the Release below. The pause comes before the call, if it is seen.
                let after = paused.load(Ordering::Acquire);
                let taken = limiter.try_acquire().is_ok();
                assert!(!(taken && after), "admitted in a pause");
                i64::from(taken)
            })
        };
        limiter.pause_until(SECOND);
        // Release: pairs with the Acquire above.
        paused.store(true, Ordering::Release);
        let taken = caller.join().unwrap();
        assert!(limiter.try_acquire().is_err());
        assert_eq!(taken + limiter.available(), 2);
    });
}

/// A thread that draws a share while the pause begins parks nothing for later callers.
#[test]
fn nothing_stays_parked_in_a_pause() {
    check(1, || {
        let limiter = limiter(16, 4, &ModelClock::new());
        let slots = Arc::new(Slots::new(1));
        limiter.driver().attach(|| slots.clone());
        let pausing = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.pause_until(SECOND))
        };
        // Here, so that one preemption is enough for a pause between draw and park.
        let slot = &slots.all()[0];
        let taken = take_shared(limiter.driver(), &slots, slot, 1.into(), Sizing::Fixed(2)).is_ok();
        pausing.join().unwrap();
        assert_eq!(slots.parked(), 0);
        assert_eq!(i64::from(taken) + limiter.available(), 4);
    });
}

/// The waiter comes before the pause, in it, or after it.
#[test]
fn a_waiter_is_granted_at_the_end() {
    for resumed in [false, true] {
        check(1, move || {
            let clock = ModelClock::new();
            let limiter = limiter(1, 1, &clock);
            let waiter = {
                let limiter = limiter.clone();
                thread::spawn(move || block_on(limiter.acquire()))
            };
            limiter.pause_until(SECOND);
            let ringing = clock.spawn_ring();
            if resumed {
                limiter.resume();
            }
            waiter.join().unwrap();
            ringing.finish();
            assert_eq!(limiter.waiting(), 0);
        });
    }
}

/// A caller is admitted before the close, or told of it.
#[test]
fn a_close_leaves_nobody_waiting() {
    check(1, || {
        let limiter = limiter(1, 0, &ModelClock::new());
        let waiter = {
            let limiter = limiter.clone();
            thread::spawn(move || block_on(limiter.acquire_n_owned(1)))
        };
        limiter.close();
        assert_eq!(waiter.join().unwrap(), Err(AcquireError::Closed));
        assert_eq!(limiter.try_acquire(), Err(Denied::Closed));
        assert_eq!(limiter.waiting(), 0);
    });
}
