//! The hand-off: granting whoever is due, and setting the alarm for the next.
//!
//! See `wait_queue.rs` for why nobody is left waiting, and what may happen under the lock.

use super::{
    locked::{Inner, Locked, Next},
    timer::{Armed, Timer, current_runtime},
    wait_queue::WaitQueue,
    wake_batch::WakeBatch,
};
use crate::{
    clock::Clock,
    gcra::nanos,
    sync::{Mutex, MutexGuard},
};

/// How much earlier than due a runtime's timer may fire in the ordinary course of things.
const LATEST_EARLY_NS: u64 = 5_000_000;

impl<C: Clock> WaitQueue<C> {
    /// The alarm rang.
    pub(super) fn alarm_rang(&self) {
        let now_ns = self.clock.now();
        let orphan = {
            let mut inner = self.inner.lock();
            let armed = inner.armed.take();
            // Well before its time: the timer's runtime is going down. To poll it again would panic.
            let early = armed.is_some_and(|due_ns| now_ns.saturating_add(LATEST_EARLY_NS) < due_ns);
            (early && !inner.arming).then(|| core::mem::take(&mut inner.timer))
        };
        drop(orphan);
        self.drive(false);
    }

    /// Grants whoever is due and sets the alarm for the next. `polled` if the caller is a waiter that is
    /// being polled, whose runtime may then be asked for a timer.
    pub(crate) fn drive(&self, polled: bool) {
        let mut seen = None;
        loop {
            let now_ns = self.clock.now();
            let mut batch = WakeBatch::new();
            let mut inner = self.inner.lock();
            if inner.list.is_empty() {
                return;
            }
            let mut locked = Locked::open(&self.meter, &mut inner, now_ns);
            let next = locked.grant_due(&mut batch, seen);
            locked.close();
            let due_ns = match next {
                Next::Empty => return release(inner, batch),
                Next::More => {
                    release(inner, batch);
                    continue;
                }
                Next::Unsure(tat) => {
                    seen = Some(tat);
                    release(inner, batch);
                    continue;
                }
                Next::At(due_ns) => due_ns,
            };
            if inner.arming {
                inner.notified = true;
                return release(inner, batch);
            }
            // A head on another runtime is asked to bring its own timer; the one there is stays until then.
            let timed_by = inner.timer.runtime();
            if timed_by.is_some()
                && let Some(front) = inner.list.front_mut()
                && front.runtime.is_some()
                && front.runtime != timed_by
                && !batch.is_full()
            {
                batch.push(front.waker.take());
            }
            if inner.armed.is_some_and(|armed| armed <= due_ns) {
                return release(inner, batch);
            }
            inner.arming = true;
            inner.notified = false;
            inner.armed = Some(due_ns);
            let timer = core::mem::take(&mut inner.timer);
            release(inner, batch);
            if !self.arm(timer, due_ns, now_ns, polled) {
                return;
            }
        }
    }

    /// Sets the alarm with the lock released, and puts the timer back. Whether to look again.
    fn arm(&self, mut timer: Timer, due_ns: u64, now_ns: u64, polled: bool) -> bool {
        // Puts the flag back on the way out of a panic, too: tokio panics if its runtime has no timer.
        struct Disarm<'a>(&'a Mutex<Inner>);
        impl Drop for Disarm<'_> {
            fn drop(&mut self) {
                let mut inner = self.0.lock();
                inner.arming = false;
                inner.armed = None;
            }
        }
        let disarm = Disarm(&self.inner);
        let armed = if self.clock.wake_at(due_ns, &self.alarm) {
            Armed::Pending
        } else {
            timer.arm(nanos(due_ns.saturating_sub(now_ns)), &self.alarm, polled)
        };
        core::mem::forget(disarm);
        let mut inner = self.inner.lock();
        inner.arming = false;
        inner.timer = timer;
        let notified = core::mem::take(&mut inner.notified);
        if armed != Armed::Pending {
            inner.armed = None;
        }
        drop(inner);
        if armed == Armed::Missing {
            self.ask_for_a_timer(polled);
            return false;
        }
        notified || armed == Armed::Elapsed
    }

    /// Nobody times the queue. The next waiter that is polled can; so all are asked, once.
    #[cold]
    fn ask_for_a_timer(&self, polled: bool) {
        assert!(
            !polled || current_runtime().is_some(),
            "a waiter has to be polled inside a tokio runtime, unless the limiter's clock has alarms",
        );
        loop {
            let mut batch = WakeBatch::new();
            let mut inner = self.inner.lock();
            inner.list.visit(|entry| {
                if batch.is_full() {
                    return false;
                }
                batch.push(entry.waker.take());
                true
            });
            let more = batch.is_full();
            release(inner, batch);
            if !more {
                return;
            }
        }
    }
}

/// Releases the lock, then wakes.
fn release(inner: MutexGuard<'_, Inner>, mut batch: WakeBatch) {
    drop(inner);
    batch.wake();
}
