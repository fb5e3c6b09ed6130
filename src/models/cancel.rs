//! Claim: a waiter that is dropped at any moment, before, while or after it is granted, loses no permit
//! and invents none, and whoever stands behind it is granted.

use core::{
    future::Future,
    task::{Context, Waker},
};

use loom::{future::block_on, thread};

use super::{ModelClock, SECOND, check, queue};
use crate::queue::{AcquireNOwned, By};

#[test]
fn dropping_a_waiter_races_its_grant() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(1, 0, &clock);
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(AcquireNOwned::new(queue.clone(), Ok(1.into()), None));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        clock.set(SECOND);
        let hand_off = {
            let queue = queue.clone();
            thread::spawn(move || queue.drive(By::Other))
        };
        drop(first);
        hand_off.join().unwrap();
        assert_eq!(queue.waiting(), 0);
        assert_eq!(queue.available(), 1, "the permit went back");
    });
}

#[test]
fn the_next_in_line_gets_what_a_dropped_waiter_gives_back() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(1, 0, &clock);
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(AcquireNOwned::new(queue.clone(), Ok(1.into()), None));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let second = {
            let queue = queue.clone();
            thread::spawn(move || block_on(AcquireNOwned::new(queue, Ok(1.into()), None)).unwrap())
        };
        let alarm = {
            let clock = clock.clone();
            thread::spawn(move || clock.ring())
        };
        drop(first);
        second.join().unwrap();
        clock.finish();
        alarm.join().unwrap();
        assert_eq!(queue.waiting(), 0);
        assert!(queue.available() >= 0, "nothing was invented: {}", queue.available());
    });
}
