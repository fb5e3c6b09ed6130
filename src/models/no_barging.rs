//! Claim: nobody takes a permit past a waiter. Once a waiter is in the queue, a try call is refused until
//! the waiter has been granted, although permits come with time.

use core::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
};

use loom::thread;

use super::{ModelClock, SECOND, check, queue};
use crate::queue::{AcquireNOwned, By};

#[test]
fn a_try_call_does_not_overtake_a_waiter() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        let mut waiter = pin!(AcquireNOwned::new(queue.clone(), Ok(2.into()), None));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiter.as_mut().poll(&mut cx).is_pending());

        // One permit has come: enough for the try call, not for the waiter.
        clock.set(SECOND);
        let barger = {
            let queue = queue.clone();
            thread::spawn(move || queue.try_take(1.into()).is_ok())
        };
        // Meanwhile the waiter is looked after, which opens and closes the frozen word.
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
        queue.drive(By::Other);
        assert!(!barger.join().unwrap());

        clock.set(2 * SECOND);
        queue.drive(By::Other);
        assert!(waiter.as_mut().poll(&mut cx).is_ready());
    });
}

#[test]
fn a_waiter_and_a_try_call_share_one_permit_in_either_order() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(1, 1, &clock);
        let barger = {
            let queue = queue.clone();
            thread::spawn(move || queue.try_take(1.into()).is_ok())
        };
        let mut waiter = pin!(AcquireNOwned::new(queue.clone(), Ok(1.into()), None));
        let mut cx = Context::from_waker(Waker::noop());
        let granted = waiter.as_mut().poll(&mut cx).is_ready();
        assert!(granted != barger.join().unwrap(), "exactly one of the two");
    });
}
