//! Claim: a waker that is replaced while its waiter is being granted is not lost: the new one is woken, or the
//! poll that brought it sees the grant. Each is woken at most once, none is kept, and none is woken or dropped
//! under the lock, where it could not look at the limiter.

use core::task::Waker;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use super::{Limiter, ModelClock, SECOND, check, limiter, poll, spawn_drive, waiter};
use crate::queue::Driver;

/// Counts how often it is woken, and takes the queue's lock when it is woken and when it is dropped: a thread
/// that holds the lock then waits for itself, which loom reports.
struct Looks {
    driver: Weak<Driver<ModelClock>>,
    wakes: Arc<AtomicUsize>,
}

impl Looks {
    /// A waker, and how often it was woken.
    fn waker(limiter: &Limiter) -> (Waker, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let looks = Self { driver: Arc::downgrade(limiter.driver()), wakes: wakes.clone() };
        (Waker::from(Arc::new(looks)), wakes)
    }

    fn look(&self) {
        if let Some(driver) = self.driver.upgrade() {
            driver.waiting();
        }
    }
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        // Relaxed: read once all threads have been joined.
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.look();
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.look();
    }
}

/// How often the waker was woken. No clone of it is left.
fn wakes(counter: Arc<AtomicUsize>) -> usize {
    Arc::into_inner(counter).expect("the waker is still there").into_inner()
}

#[test]
fn the_new_waker_is_woken_or_its_poll_sees_the_grant() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let (old, old_wakes) = Looks::waker(&limiter);
        let (new, new_wakes) = Looks::waker(&limiter);
        let mut waiter = waiter(&limiter, 1);
        assert!(!poll(&mut waiter, &old));
        // From here on the queue has the only clone.
        drop(old);
        clock.set(SECOND);
        let hand_off = spawn_drive(&limiter);
        let seen = poll(&mut waiter, &new);
        drop(new);
        hand_off.join().unwrap();
        // The waker that was stored at the time of the grant.
        let (old, new) = (wakes(old_wakes), wakes(new_wakes));
        assert_eq!(old + new, 1);
        if !seen {
            assert_eq!(new, 1, "it was handed over, and nobody woke it");
            assert!(poll(&mut waiter, Waker::noop()));
        }
    });
}

#[test]
fn the_waker_of_one_that_leaves_is_dropped_and_not_lost_to_the_next() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let (mut first, mut second) = (waiter(&limiter, 1), waiter(&limiter, 1));
        let counters = [&mut first, &mut second].map(|waiter| {
            let (waker, wakes) = Looks::waker(&limiter);
            assert!(!poll(waiter, &waker));
            wakes
        });
        clock.set(SECOND);
        let hand_off = spawn_drive(&limiter);
        drop(first);
        hand_off.join().unwrap();
        let [first, second_wakes] = counters;
        assert!(wakes(first) <= 1);
        assert_eq!(wakes(second_wakes), 1, "the permit is there, and it was not told");
        assert!(poll(&mut second, Waker::noop()));
    });
}
