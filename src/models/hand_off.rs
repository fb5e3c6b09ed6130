//! Claim: when a thread finds the hand-off running and leaves a note, the thread that runs the hand-off makes another
//! round, also if it is just waking a batch or setting the alarm.

use core::task::Waker;

use loom::thread;

use super::{ModelClock, SECOND, check, drive, limiter, poll, queued, spawn_drive, waiter};

/// No alarm rings: the permit that comes back is granted by the thread that gives it back, or by the waiter that joins
/// and sets the alarm.
#[test]
fn what_is_given_back_while_another_sets_the_alarm_is_granted() {
    check(3, || {
        let limiter = limiter(1, 0, &ModelClock::new());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || {
                let mut waiter = waiter(&limiter, 1);
                let granted = poll(&mut waiter, Waker::noop());
                (waiter, granted)
            })
        };
        limiter.refund(1).unwrap();
        let (mut waiter, granted) = other.join().unwrap();
        assert!(granted || poll(&mut waiter, Waker::noop()));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

/// The batch has room for two: the first two are woken, and then the hand-off goes on.
#[test]
fn what_is_given_back_while_another_wakes_a_batch_is_granted() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(4, 0, &clock);
        let mut waiters = [1, 1, 1, 1].map(|n| queued(&limiter, n));
        clock.set(3 * SECOND);
        let other = spawn_drive(&limiter);
        limiter.refund(1).unwrap();
        other.join().unwrap();
        assert!(waiters.iter_mut().all(|waiter| poll(waiter, Waker::noop())));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

/// Two threads give back one permit each while a third runs the hand-off.
#[test]
fn two_notes_count_as_one_that_is_not_lost() {
    check(2, || {
        let limiter = limiter(2, 0, &ModelClock::new());
        let mut waiter = queued(&limiter, 2);
        let threads: [_; 2] = core::array::from_fn(|_| {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.refund(1).unwrap())
        });
        drive(&limiter);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(poll(&mut waiter, Waker::noop()));
    });
}

/// A waiter that joins finds the hand-off running: another thread is setting the alarm for a waiter that has left.
#[test]
fn one_joins_while_another_that_left_is_looked_after() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let leaves = queued(&limiter, 2);
        let other = thread::spawn(move || drop(leaves));
        let ringing = clock.spawn_ring();
        loom::future::block_on(limiter.acquire_n_owned(1)).unwrap();
        other.join().unwrap();
        ringing.finish();
        assert_eq!(limiter.waiting(), 0);
    });
}
