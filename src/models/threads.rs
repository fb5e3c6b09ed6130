//! Claim: blocked threads wait in the same queue as tasks. A grant unparks a thread, however the grant meets its
//! parking. A thread whose longest wait is over has been granted if it was due by then.

use core::{task::Waker, time::Duration};

use loom::{
    future::block_on,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::{Limiter, ModelClock, SECOND, check, drive, limiter, poll, queued};
use crate::{Clock, Quota};

/// A clock whose alarms never ring. Each reading advances it by half a second.
#[derive(Debug)]
struct SilentClock(AtomicU64);

impl Clock for SilentClock {
    fn now(&self) -> u64 {
        // Relaxed: other threads may see an older time, as they may of a real clock.
        self.0.fetch_add(SECOND / 2, Ordering::Relaxed)
    }

    fn wake_at(&self, _: u64, _: &Waker) -> bool {
        true
    }
}

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

/// The thread is due a quarter of a second before its longest wait ends. No alarm rings, so it drives the queue itself
/// at the end of its wait.
#[test]
fn a_thread_that_was_due_in_time_is_served_though_the_alarm_is_silent() {
    check(2, || {
        let quota = Quota::per_second(1).with_burst(1).with_initial(0);
        let limiter = Limiter::with_clock(quota, SilentClock(AtomicU64::new(0)));
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.driver().drive())
        };
        limiter.blocking_acquire_within(1, Duration::from_secs(3)).unwrap();
        other.join().unwrap();
        assert_eq!(limiter.waiting(), 0);
    });
}

/// The longest wait ends just as the thread is granted: it takes the permit, or the next waiter is granted.
#[test]
fn a_thread_that_is_out_of_time_leaves_no_permit_behind() {
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
        assert!(served, "it was due when its time was over");
        drive(&limiter);
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}
