//! Claim: blocked threads wait in the same queue as tasks. A grant unparks a thread, however the grant meets its
//! parking.

use core::{task::Waker, time::Duration};

use loom::{future::block_on, thread};

use super::{ModelClock, SECOND, check, drive, limiter, poll, queued};

/// No alarm rings.
#[test]
fn what_comes_back_wakes_a_thread() {
    check(3, || {
        let limiter = limiter(1, 0, &ModelClock::new());
        let blocked = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.blocking_acquire_n(1).unwrap())
        };
        limiter.refund(1).unwrap();
        blocked.join().unwrap();
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

#[test]
fn the_alarm_wakes_a_thread() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let ringing = clock.spawn_ring();
        limiter.blocking_acquire_n(1).unwrap();
        ringing.finish();
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

#[test]
fn a_thread_and_a_task_stand_in_one_queue() {
    check(1, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let ringing = clock.spawn_ring();
        let task = {
            let waiter = limiter.acquire_n_owned(1);
            thread::spawn(move || block_on(waiter).unwrap())
        };
        limiter.blocking_acquire_n(1).unwrap();
        task.join().unwrap();
        ringing.finish();
        assert_eq!(limiter.waiting(), 0);
        assert_eq!(limiter.available(), 0, "the clock jumped exactly as far as the permits took");
    });
}

#[test]
fn a_thread_behind_a_task_comes_second() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let mut task = queued(&limiter, 1);
        let ringing = clock.spawn_ring();
        limiter.blocking_acquire_n(1).unwrap();
        assert!(poll(&mut task, Waker::noop()), "the thread has passed it");
        ringing.finish();
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

#[test]
fn a_task_that_leaves_makes_way_for_a_thread() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let task = queued(&limiter, 2);
        let blocked = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.blocking_acquire_n(1).unwrap())
        };
        let ringing = clock.spawn_ring();
        drop(task);
        blocked.join().unwrap();
        ringing.finish();
        assert_eq!(limiter.waiting(), 0);
        // The clock may have jumped to an alarm that was set for the task.
        assert!((0..=2).contains(&limiter.available()), "{}", limiter.available());
    });
}

/// It is due just at its longest wait, and another thread runs the hand-off.
#[test]
fn a_thread_that_is_due_at_its_longest_wait_is_granted() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let other = {
            let (clock, limiter) = (clock.clone(), limiter.clone());
            thread::spawn(move || {
                clock.set(SECOND);
                drive(&limiter);
            })
        };
        let served = limiter.blocking_acquire_within(1, Duration::from_secs(1)).is_ok();
        other.join().unwrap();
        assert!(served, "it was due in time");
        drive(&limiter);
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}
