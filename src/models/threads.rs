//! Claim: blocked threads wait in the same queue as tasks, and need nobody else to keep the time: one of them
//! does, and whoever leaves sees to it that another one does.

use core::{task::Waker, time::Duration};
use std::sync::Arc;

use loom::{
    future::block_on,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::{ModelClock, SECOND, check, poll, queue, queued};
use crate::{
    Clock, Quota,
    gcra::Scale,
    queue::{AcquireNOwned, By, WaitQueue},
};

/// A clock without alarms. Time passes as it is looked at, by half a second.
#[derive(Debug)]
struct SilentClock(AtomicU64);

impl Clock for SilentClock {
    fn now(&self) -> u64 {
        // Relaxed: other threads may see an older time, as they may of a real clock.
        self.0.fetch_add(SECOND / 2, Ordering::Relaxed)
    }

    fn wake_at(&self, _: u64, _: &Waker) -> bool {
        false
    }
}

fn silent(burst: u64) -> Arc<WaitQueue<SilentClock>> {
    let quota = Quota::per_second(1).burst(burst).initial(0);
    WaitQueue::new(quota, Scale::new(&quota).unwrap(), SilentClock(AtomicU64::new(0)))
}

#[test]
fn two_blocked_threads_keep_the_time_for_each_other() {
    check(2, || {
        let queue = silent(1);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || queue.wait_blocking(1.into(), None).unwrap())
        };
        queue.wait_blocking(1.into(), None).unwrap();
        other.join().unwrap();
        assert_eq!(queue.waiting(), 0);
    });
}

/// Its own time may run out while it keeps the time for the other.
#[test]
fn a_thread_that_gives_up_leaves_the_time_to_another() {
    check(2, || {
        let queue = silent(2);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || queue.wait_blocking(2.into(), None).unwrap())
        };
        let _either = queue.wait_blocking(1.into(), Some(Duration::from_secs(3)));
        other.join().unwrap();
        assert_eq!(queue.waiting(), 0);
    });
}

#[test]
fn a_thread_and_a_task_stand_in_one_queue() {
    check(1, || {
        let clock = ModelClock::new();
        let queue = queue(1, 0, &clock);
        let alarm = {
            let clock = clock.clone();
            thread::spawn(move || clock.ring())
        };
        let task = {
            let queue = queue.clone();
            thread::spawn(move || block_on(AcquireNOwned::new(queue, Ok(1.into()), None)).unwrap())
        };
        queue.wait_blocking(1.into(), None).unwrap();
        task.join().unwrap();
        clock.finish();
        alarm.join().unwrap();
        assert_eq!(queue.waiting(), 0);
        assert_eq!(queue.available(), 0, "the clock jumped exactly as far as the permits took");
    });
}

#[test]
fn a_thread_behind_a_task_comes_second() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(1, 0, &clock);
        let mut task = queued(&queue, 1);
        let alarm = {
            let clock = clock.clone();
            thread::spawn(move || clock.ring())
        };
        queue.wait_blocking(1.into(), None).unwrap();
        assert!(poll(&mut task, Waker::noop()), "the thread has passed it");
        clock.finish();
        alarm.join().unwrap();
        assert_eq!((queue.waiting(), queue.available()), (0, 0));
    });
}

#[test]
fn a_task_that_leaves_makes_way_for_a_thread() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        let task = queued(&queue, 2);
        let blocked = {
            let queue = queue.clone();
            thread::spawn(move || queue.wait_blocking(1.into(), None).unwrap())
        };
        let alarm = {
            let clock = clock.clone();
            thread::spawn(move || clock.ring())
        };
        drop(task);
        blocked.join().unwrap();
        clock.finish();
        alarm.join().unwrap();
        assert_eq!(queue.waiting(), 0);
        // The clock has gone on to an alarm that was set for the task, or not.
        assert!((0..=2).contains(&queue.available()), "{}", queue.available());
    });
}

/// The smallest of them, which ends without a bound. Nobody rings.
#[test]
fn what_comes_back_wakes_a_thread() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(1, 0, &clock);
        let blocked = {
            let queue = queue.clone();
            thread::spawn(move || queue.wait_blocking(1.into(), None).unwrap())
        };
        queue.refund(1.into());
        blocked.join().unwrap();
        assert_eq!((queue.waiting(), queue.available()), (0, 0));
    });
}

#[test]
fn one_blocked_thread_keeps_the_time_for_itself() {
    check(3, || {
        let queue = silent(1);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || queue.drive(By::Other))
        };
        queue.wait_blocking(1.into(), None).unwrap();
        other.join().unwrap();
        assert_eq!(queue.waiting(), 0);
    });
}
