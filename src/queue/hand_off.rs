//! The hand-off: granting whoever is due, and setting the alarm for the next.
//!
//! See `wait_queue.rs` for why nobody is left waiting, and what may happen under the lock.
//!
//! # One runs it at a time
//! | state   | means                                            | next                                |
//! |---------|--------------------------------------------------|-------------------------------------|
//! | Idle    | an alarm is set at or before the head's due time, or until when it is held back (`rounds.rs`), or nobody waits | Running (`drive`) |
//! | Running | somebody grants, wakes, or sets the alarm         | Called, Idle                        |
//! | Called  | as Running, and somebody has asked to look again  | Running: it goes round once more    |
//!
//! The state changes only under the lock, and Idle is entered in the same hold of the lock in which the
//! queue was seen to be empty or the alarm to be set; so a call is never lost. Whoever finds it running
//! leaves a note and goes: with many tasks coming back while a long queue is woken, each would otherwise
//! help, and they would do little but fight for the lock.

use super::{
    doubt::Seen,
    inner::{HandOff, Inner, NEVER},
    locked::{Locked, Next},
    timer::{Armed, Delay, LONGEST, current_runtime},
    wait_queue::WaitQueue,
    wake_batch::WakeBatch,
};
use crate::{
    clock::Clock,
    gcra::nanos,
    sync::{Mutex, MutexGuard},
};

/// Who runs the hand-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A task that is being polled, whose runtime may be asked for a timer.
    Task,
    /// An alarm, a blocked thread, or somebody who does not wait.
    Other,
}

impl By {
    pub(super) const fn entrant(thread: bool) -> Self {
        if thread { Self::Other } else { Self::Task }
    }
}

/// What a round of the hand-off comes to.
enum Round {
    Again,
    /// The hand-off is idle: nobody waits, or the alarm is set.
    Done,
    /// The hand-off is idle, and there was nothing to set an alarm with.
    Untimed,
}

/// Makes the hand-off idle again on the way out of a panic: a clock or tokio's timer may.
struct Reset<'a>(&'a Mutex<Inner>);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.hand_off = HandOff::Idle;
        inner.armed = None;
    }
}

impl<C: Clock> WaitQueue<C> {
    /// The alarm rang.
    pub(super) fn alarm_rang(&self) {
        self.inner.lock().armed = None;
        self.drive(By::Other);
    }

    /// Grants whoever is due and sets the alarm for the next.
    pub(crate) fn drive(&self, by: By) {
        {
            let mut inner = self.inner.lock();
            if inner.list.is_empty() {
                return;
            }
            if inner.hand_off != HandOff::Idle {
                inner.hand_off = HandOff::Called;
                return;
            }
            inner.hand_off = HandOff::Running;
        }
        let reset = Reset(&self.inner);
        let mut seen = None;
        let timed = loop {
            match self.round(by, &mut seen) {
                Round::Again => {}
                Round::Done => break true,
                Round::Untimed => break false,
            }
        };
        // The last round has left it idle.
        core::mem::forget(reset);
        if !timed {
            self.ask_for_a_timer(by);
        }
    }

    /// One round of the hand-off.
    fn round(&self, by: By, seen: &mut Option<Seen>) -> Round {
        let mut batch = WakeBatch::new();
        let now_ns = self.clock.now();
        let mut inner = self.inner.lock();
        inner.hand_off = HandOff::Running;
        let (next, then_ns) = {
            let mut locked = Locked::open(&self.meter, &mut inner, now_ns);
            loop {
                let next = locked.grant_due(&mut batch, *seen);
                // What is parked at cores is for those who wait.
                if matches!(next, Next::More | Next::Unsure(_)) || !locked.gather_for_queue() {
                    break match (next, locked.may_hold_until()) {
                        // Those who come back find an alarm that is set.
                        (Next::Empty, Some(until_ns)) if locked.inner.timer.is_set() => {
                            (Next::At(until_ns), None)
                        }
                        _ => (next, locked.after_next(next)),
                    };
                }
            }
        };
        let due_ns = match next {
            // Gates that are woken act on the spot, and ask for another round.
            Next::Empty | Next::At(_) if inner.sum.gates > 0 && !batch.is_empty() => {
                release(inner, &mut batch);
                return Round::Again;
            }
            Next::Empty => {
                inner.hand_off = HandOff::Idle;
                release(inner, &mut batch);
                return Round::Done;
            }
            Next::More => {
                release(inner, &mut batch);
                return Round::Again;
            }
            Next::Unsure(saw) => {
                *seen = Some(saw);
                release(inner, &mut batch);
                return Round::Again;
            }
            Next::At(NEVER) => {
                // The end of time, or after it: no clock goes on from there, and nobody is woken for that.
                inner.armed = Some(NEVER);
                inner.hand_off = HandOff::Idle;
                release(inner, &mut batch);
                return Round::Done;
            }
            Next::At(due_ns) => due_ns,
        };
        // A head on another runtime is asked to bring its own timer; the one there is stays until then.
        let timed_by = inner.timer.fickle();
        if timed_by.is_some()
            && let Some(front) = inner.list.front_mut()
            && front.runtime.is_some()
            && front.runtime != timed_by
            && !batch.is_full()
        {
            batch.push(front.ask_for_a_timer());
        }
        if inner.armed.is_some_and(|armed| now_ns < armed && armed <= due_ns) {
            inner.hand_off = HandOff::Idle;
            release(inner, &mut batch);
            return Round::Done;
        }
        inner.armed = Some(due_ns);
        // A blocked thread is the better alarm: it is precise, and nobody has to drive it.
        let thread = if inner.rings || inner.list.is_empty() { None } else { inner.timekeeper() };
        let mut timer = core::mem::take(&mut inner.timer);
        release(inner, &mut batch);

        let rings = self.clock.wake_at(due_ns, &self.alarm);
        let mut latest_ns = due_ns;
        let armed = if rings {
            Armed::Pending
        } else if let Some(thread) = thread {
            thread.wake();
            Armed::Pending
        } else {
            latest_ns = due_ns.min(now_ns.saturating_add(LONGEST.as_nanos() as u64));
            let until = |at_ns: u64| nanos(at_ns.saturating_sub(now_ns));
            let delay = Delay { due: until(due_ns), then: then_ns.map(until) };
            timer.arm(delay, &self.alarm, by == By::Task)
        };
        let mut inner = self.inner.lock();
        // If it has not rung already.
        inner.armed = inner.armed.map(|armed_ns| armed_ns.min(latest_ns));
        inner.timer = timer;
        inner.rings = rings;
        // A thread that came meanwhile looks at the alarm, too.
        let armed = if armed == Armed::Missing && inner.keeper.is_some() { Armed::Pending } else { armed };
        if armed != Armed::Pending {
            inner.armed = None;
        }
        if armed == Armed::Elapsed || inner.hand_off == HandOff::Called {
            return Round::Again;
        }
        inner.hand_off = HandOff::Idle;
        let untimed = armed == Armed::Missing && !inner.list.is_empty();
        if untimed { Round::Untimed } else { Round::Done }
    }

    /// Nobody times the queue. The next waiter that is polled can; so all are asked, once.
    #[cold]
    fn ask_for_a_timer(&self, by: By) {
        assert!(
            by != By::Task || current_runtime().is_some(),
            "a waiter has to be polled inside a tokio runtime, unless the limiter's clock has alarms",
        );
        loop {
            let mut batch = WakeBatch::new();
            let mut inner = self.inner.lock();
            inner.list.visit(|entry| {
                if batch.is_full() {
                    return false;
                }
                batch.push(entry.ask_for_a_timer());
                true
            });
            let more = batch.is_full();
            release(inner, &mut batch);
            if !more {
                return;
            }
        }
    }
}

/// Releases the lock, then wakes.
pub(super) fn release(inner: MutexGuard<'_, Inner>, batch: &mut WakeBatch) {
    drop(inner);
    batch.wake();
}
