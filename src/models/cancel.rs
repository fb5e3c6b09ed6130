//! Claim: a waiter that is dropped at any moment, before, while or after it is granted, wherever it stands, and also
//! as the quota changes, loses no permit and invents none, and whoever stands behind it is granted.

use core::{
    future::Future,
    task::{Context, Waker},
};

use std::sync::Arc;

use loom::{future::block_on, thread};

use super::{ModelClock, SECOND, check, poll, queue, queued};
use crate::{
    Clock, Inherit, Quota,
    gcra::Scale,
    queue::{AcquireNOwned, By, WaitQueue},
    sync::Mutex,
};

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

/// It is neither the first nor the last, and all three are due.
#[test]
fn one_in_the_middle_leaves_as_all_are_granted() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(3, 0, &clock);
        let [mut first, middle, mut last] = [1, 1, 1].map(|n| queued(&queue, n));
        clock.set(3 * SECOND);
        let hand_off = {
            let queue = queue.clone();
            thread::spawn(move || queue.drive(By::Other))
        };
        drop(middle);
        hand_off.join().unwrap();
        assert!(poll(&mut first, Waker::noop()) && poll(&mut last, Waker::noop()));
        assert_eq!((queue.waiting(), queue.available()), (0, 1));
    });
}

/// It is granted by the old quota or the new one, or gone before: it keeps nothing. (Of the slack that tells whether a
/// grant can go back, models keep two notes. Another burst would take a third.)
#[test]
fn one_leaves_as_the_rate_changes() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        let (leaves, mut stays) = (queued(&queue, 2), queued(&queue, 1));
        clock.set(2 * SECOND);
        let change = {
            let queue = queue.clone();
            thread::spawn(move || queue.set_quota(Quota::per_second(2).burst(2), Inherit::AsIs).unwrap())
        };
        drop(leaves);
        change.join().unwrap();
        assert!(poll(&mut stays, Waker::noop()), "two are there, and it asks for one");
        assert_eq!((queue.waiting(), queue.available()), (0, 1));
    });
}

/// A clock that shows everybody the same time. Nobody rings its alarms.
#[derive(Clone, Debug)]
struct OneTime(Arc<Mutex<u64>>);

impl Clock for OneTime {
    fn now(&self) -> u64 {
        *self.0.lock()
    }

    fn wake_at(&self, _: u64, _: &Waker) -> bool {
        true
    }
}

/// Granted at one second; the bucket would have been full without it at two. Who calls at three, without the lock,
/// finds it full: what goes back then, by a clock that was read before, must not be there once more.
#[test]
fn a_grant_that_goes_back_late_is_no_second_burst() {
    check(3, || {
        let clock = OneTime(Arc::new(Mutex::new(0)));
        let quota = Quota::per_second(1).burst(2).initial(0);
        let queue = WaitQueue::new(quota, Scale::new(&quota).unwrap(), clock.clone());
        let granted = queued(&queue, 1);
        *clock.0.lock() = SECOND;
        queue.drive(By::Other);
        let leaves = thread::spawn(move || drop(granted));
        *clock.0.lock() = 3 * SECOND;
        // A burst less one, so that the arrival time does not tell when.
        let taken = usize::from(queue.try_take(1.into()).is_ok());
        leaves.join().unwrap();
        let left = usize::try_from(queue.available()).unwrap();
        assert_eq!(taken + left, 2, "{taken} taken");
    });
}
