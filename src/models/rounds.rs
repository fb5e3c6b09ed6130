//! Claim: who is held back until others have come back goes on when they have, whoever is last, and whatever
//! else is being done to the queue; none of them needs an alarm for it. And once those who were released are no
//! longer waited for, QUEUED is cleared.

use core::task::Waker;
use std::sync::Arc;

use loom::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::{SECOND, check};
use crate::{Clock, Quota, gcra::Scale, queue::WaitQueue, word::Mode};

/// A clock without alarms that moves only when it is set.
#[derive(Debug)]
struct StillClock(AtomicU64);

impl Clock for StillClock {
    fn now(&self) -> u64 {
        // Relaxed: other threads may see an older time, as they may of a real clock.
        self.0.load(Ordering::Relaxed)
    }

    fn wake_at(&self, _: u64, _: &Waker) -> bool {
        false
    }
}

/// Three permits are there, and so many tasks have just been released.
fn released(away: usize) -> Arc<WaitQueue<StillClock>> {
    let quota = Quota::per_second(1).burst(3);
    let clock = StillClock(AtomicU64::new(SECOND));
    let queue = WaitQueue::new(quota, Scale::new(&quota).unwrap(), clock);
    queue.release(away);
    queue
}

fn blocked(queue: &Arc<WaitQueue<StillClock>>) -> thread::JoinHandle<()> {
    let queue = queue.clone();
    thread::spawn(move || queue.wait_blocking(1.into(), None).unwrap())
}

#[test]
fn the_last_to_come_back_lets_all_go_on() {
    check(2, || {
        let queue = released(2);
        let other = blocked(&queue);
        queue.wait_blocking(1.into(), None).unwrap();
        other.join().unwrap();
        assert_eq!((queue.waiting(), queue.available()), (0, 1));
    });
}

/// It is served first, or lets the one who waits go on.
#[test]
fn a_call_that_does_not_wait_stops_nobody() {
    check(2, || {
        let queue = released(2);
        let other = blocked(&queue);
        let taken = i64::from(queue.try_take(1.into()).is_ok());
        queue.wait_blocking(1.into(), None).unwrap();
        other.join().unwrap();
        assert_eq!((queue.waiting(), queue.available()), (0, 1 - taken));
    });
}

#[test]
fn queued_is_cleared_when_nobody_is_waited_for() {
    check(2, || {
        let queue = released(2);
        assert!(queue.word().0.is(Mode::Queued));
        queue.clock().0.store(2 * SECOND, Ordering::Relaxed);
        let other = blocked(&queue);
        assert!(queue.try_take(1.into()).is_ok());
        other.join().unwrap();
        // Whoever came last under the lock may have been waited for.
        queue.clock().0.store(3 * SECOND, Ordering::Relaxed);
        assert!(queue.try_take(1.into()).is_ok());
        assert!(!queue.word().0.is(Mode::Queued));
    });
}
