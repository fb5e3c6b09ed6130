//! The hand-off: grants what is due, wakes, and sets the alarm for the next waiter.
//!
//! # Liveness
//! Permits come from time, not from callers that release them. So liveness is one sentence: *while there are waiters,
//! an alarm is set for no later than the first one is due, or a thread is just setting it.* A waiter that joins an empty
//! queue sets the alarm ([`Driver::join_ends`]). Then [`Driver::drive`] keeps the sentence: it grants the due waiters,
//! and sets the alarm for the next. It is called
//! - by the alarm;
//! - by a waiter that joins before waiters of lower lanes, moves to another runtime, finds the alarm late, or leaves from
//!   the front;
//! - after each step that changed when waiters are due, or made the alarm void ([`Driver::end`]);
//! - before the step of a call that tries, since waiters that are due come first;
//! - by a thread that parks permits while there are waiters, and by the final round of a call for several limits.
//!
//! After a panic the sentence may not hold. Then the next waiter that joins sets the alarm or drives (`armed` is `None`), and
//! a waiter that leaves from the front or a try call that takes the lock drives the queue.
//!
//! The alarm belongs to the queue, not to a waiter: a waiter that was polled once and never again delays no other. If
//! the first waiter is a final part that waits for another limit, the queue of that limit has an alarm; see `all_of`.
//!
//! # States
//! | state   | meaning                                           | next                              |
//! |---------|---------------------------------------------------|-----------------------------------|
//! | Idle    | the sentence above holds                          | Running                           |
//! | Running | one thread grants, wakes, or sets the alarm       | Called, Idle                      |
//! | Called  | as Running, and another thread has left a note    | Running: it makes another round   |
//!
//! The state changes only under the lock. A thread enters Idle either in the lock hold in which it saw that no alarm is
//! needed or that one is set in time; or after it set the alarm, if meanwhile no thread has written Called or cleared
//! `armed`. So no note is lost. A thread that finds the hand-off running leaves a note and goes: if threads helped while
//! a long queue is woken, they would mostly fight for the lock.
//!
//! | function                | lock  | does                                                                         |
//! |-------------------------|-------|------------------------------------------------------------------------------|
//! | `Core::grant_due`       | held  | grants due waiters, up to one wake batch                                     |
//! | `grant_due_and_reclaim` | held  | the same, with the parked permits that the first waiter lacks                |
//! | `drive`                 | free  | runs the hand-off, or leaves a note if another thread runs it                |
//! | `drive_if_needed`       | free  | `drive`, if a step asked for it; for steps not run by `with`                 |
//! | `drive_if_waiters`      | free  | `drive`, if there are waiters                                                |
//! | `drive_if_overtaking`   | free  | `drive`, if a newcomer in that lane goes before waiters: due ones come first |
//! | `end`                   | freed | ends a step, then `drive`, if the step asked for it                          |
//! | `join_ends`             | freed | ends the step of a waiter that joined: sets the first alarm, or `drive`      |

use super::{Driver, Step};
use crate::{
    clock::Clock,
    queue::{alarm::Home, core::Next, entry::NEVER, guarded::HandOff, wake_batch::WakeBatch},
};

/// A waiter that joins drives the queue if the alarm is this late: workers that are busy with long polls look at their timers
/// rarely, tokio's once in 61 polls. Timers tick in milliseconds, so no waiter drives for less: waiters would be granted one
/// by one, and not in a batch.
pub(super) const LATE_NS: u64 = 2_000_000;

impl Step<'_> {
    /// Records where a waiter that joined is polled. Returns whether the caller is to drive: no alarm is set that
    /// serves the waiter, or it is late.
    pub(crate) fn note_caller(&mut self, caller: Home, first: bool) -> bool {
        let guarded = &mut *self.guarded;
        if guarded.home.note(caller, first) {
            guarded.armed = None;
        }
        let late = |armed: u64| armed.saturating_add(LATE_NS) <= guarded.core.now_ns();
        guarded.hand_off == HandOff::Idle && guarded.armed.is_none_or(late)
    }
}

impl<C: Clock + ?Sized> Driver<C> {
    pub(crate) fn drive_if_needed(&self) {
        if self.without_clock(|core| core.needs_hand_off()) {
            self.drive();
        }
    }

    pub(crate) fn drive(&self) {
        if self.lock().start_hand_off() {
            self.run_rounds(|| self.round());
        }
    }

    /// Ends the step in which a waiter joined that is due at that tick.
    ///
    /// The first waiter sets its alarm, and is not granted yet: if permits come faster than a step takes, it is due a
    /// moment later. If it were granted then, hungry callers would be granted one by one, each by a hand-off of its own.
    /// With a short catch-up it is granted all the same, because nothing would make up for a late alarm.
    pub(in crate::queue) fn join_ends(&self, mut step: Step<'_>, caller: Home, first: bool, tick: u64) {
        let late = step.note_caller(caller, first);
        let drives = if first { step.quota().catch_up_ns() < LATE_NS } else { late };
        if drives || step.needs_hand_off() {
            drop(step);
            self.drive();
        } else if first && step.guarded.start_hand_off() {
            let due_ns = step.frame().reading_at(tick);
            self.run_rounds(|| self.set_alarm(step, WakeBatch::new(), due_ns));
        }
    }

    /// Runs the first round, or the end of it, and further rounds while there has to be another.
    fn run_rounds(&self, first: impl FnOnce() -> bool) {
        let reset = Reset(self);
        let mut again = first();
        while again {
            again = self.round();
        }
        // The last round has set Idle.
        core::mem::forget(reset);
    }

    /// One round of the hand-off. Returns whether there has to be another.
    fn round(&self) -> bool {
        let mut batch = WakeBatch::new();
        let mut step = self.step();
        // This round sees all that was changed before this lock, so a Called from before it is answered.
        step.guarded.hand_off = HandOff::Running;
        let mut next = self.grant_due_and_reclaim(&mut step, &mut batch);
        if self.set_aside_deferred(&mut step) {
            next = self.grant_due_and_reclaim(&mut step, &mut batch);
        }
        if step.take_alarm_void() {
            step.guarded.armed = None;
        }
        let due_ns = match next {
            Next::More => {
                drop(step);
                batch.wake();
                return true;
            }
            Next::Unknown => NEVER,
            Next::At(due_ns) => due_ns,
        };
        self.set_alarm(step, batch, due_ns)
    }

    /// Ends a step of the hand-off after which no waiter is due before `due_ns`: wakes the batch, and sets the alarm. Returns
    /// whether there has to be another round.
    fn set_alarm(&self, mut step: Step<'_>, mut batch: WakeBatch, due_ns: u64) -> bool {
        let now_ns = step.now_ns();
        // The alarm need not be set if no waiter is due at a known time, or if it is still to ring, and does so no
        // later than `due_ns`. (`NEVER`: no clock shows a later reading.)
        let set =
            due_ns == NEVER || step.guarded.armed.is_some_and(|armed| now_ns < armed && armed <= due_ns);
        if set {
            step.guarded.hand_off = HandOff::Idle;
            drop(step);
            batch.wake();
            return false;
        }
        step.guarded.armed = Some(due_ns);
        let home = step.guarded.home;
        let alarm_waker = step.guarded.alarm_waker.clone();
        let mut alarm = core::mem::take(&mut step.guarded.alarm);
        drop(step);
        batch.wake();

        let mut kept = home;
        let set_for_ns = if self.clock.wake_at(due_ns, &alarm_waker) {
            due_ns
        } else {
            alarm.set(&mut kept, due_ns, now_ns, &alarm_waker)
        };
        let mut guarded = self.lock();
        guarded.alarm = alarm;
        if guarded.home == home {
            guarded.home = kept;
        }
        // `armed` is still ours, or `None`: the alarm has rung while the lock was free, or is set on the wrong runtime, since
        // a waiter has joined from elsewhere.
        guarded.armed = guarded.armed.map(|armed| armed.min(set_for_ns));
        if guarded.armed.is_none() || guarded.hand_off == HandOff::Called {
            return true;
        }
        guarded.hand_off = HandOff::Idle;
        false
    }

    pub(crate) fn grant_due_and_reclaim(&self, step: &mut Step<'_>, batch: &mut WakeBatch) -> Next {
        self.return_parked(step);
        loop {
            let next = step.grant_due(batch);
            let Some(shares) = self.shares() else { return next };
            if next == Next::More || !shares.reclaim_for_first(step) {
                return next;
            }
        }
    }
}

/// After a panic (of a clock, or because no thread can be spawned): sets Idle, and has the next round set the alarm.
struct Reset<'a, C: Clock + ?Sized>(&'a Driver<C>);

impl<C: Clock + ?Sized> Drop for Reset<'_, C> {
    fn drop(&mut self) {
        let mut guarded = self.0.lock();
        guarded.hand_off = HandOff::Idle;
        guarded.armed = None;
    }
}
