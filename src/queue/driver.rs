//! The only way to the core of a queue: lock, freeze the word, read the clock, run a step, thaw, unlock; then wake, and set
//! the alarm.
//!
//! # Liveness
//! Permits come from time, not from a releaser. So the whole proof is one sentence: *while there are waiters, an alarm is
//! set at or before the time the first one is due, or some thread is just setting it.* It is kept by [`Driver::drive`],
//! which grants what is due and sets the alarm for the next. It is called
//! - by the alarm itself,
//! - by a waiter that joins an empty queue, or finds the alarm late,
//! - by a waiter that leaves from the front, and by each call that lowers or raises the TAT,
//! - after a step that found that the clock had stepped back.
//!
//! The alarm belongs to the queue, not to a waiter: a waiter that was polled once and never again delays nobody.
//! (The first waiter may be the part of a call for several limits that waits for another one. Then that other queue has
//! the alarm; see `all_of`.)
//!
//! # The hand-off
//! | state   | means                                                     | next                               |
//! |---------|-----------------------------------------------------------|------------------------------------|
//! | Idle    | the sentence above holds                                  | Running (`drive`)                  |
//! | Running | one thread grants, wakes, or sets the alarm               | Called, Idle                       |
//! | Called  | as Running, and another thread has asked to look again    | Running: it goes round once more   |
//!
//! The state changes only under the lock, and Idle is entered in the same hold of the lock in which the queue was seen to
//! be empty or the alarm to be set. So a call is never lost. A thread that finds the hand-off running leaves a note and
//! goes: with many tasks coming back while a long queue is woken, each would otherwise help, and they would do
//! little but fight for the lock.
//!
//! # What runs under the lock
//! Nothing foreign but `Clock::now`. Wakers are cloned before, and woken or dropped after. The alarm is taken out, set,
//! and put back by the thread that runs the hand-off. If the clock panics, the word is thawed as it was.
//!
//! Where several locks are held, they are taken in the order of the lists' numbers.

use core::{
    ops::{Deref, DerefMut},
    pin::Pin,
    task::Waker,
};
use std::{
    sync::{Arc, OnceLock, Weak},
    task::Wake,
};

use super::{
    alarm::Armed,
    core::{Core, Next},
    entry::{NEVER, Place},
    guarded::{Guard, Guarded, HandOff, SlowPath},
    list::{ListId, Node},
    shares::Shares,
    wake_batch::WakeBatch,
};
use crate::{clock::Clock, frame::Frame, gcra::Scale, meter::Meter, quota::Quota, word::State};

/// A limiter's whole state.
#[derive(Debug)]
pub(crate) struct Driver<C> {
    meter: Meter,
    clock: C,
    list: ListId,
    guarded: Guarded,
    /// For the alarm waker.
    this: Weak<Self>,
    /// What is parked at cores, once there is anything.
    shares: OnceLock<Arc<dyn Shares>>,
}

/// A step of the core, with the lock held and the word frozen. It ends when it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    meter: &'a Meter,
    guarded: Guard<'a>,
    /// The word as it was, until the clock has been read.
    unread: Option<State>,
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        match self.unread {
            Some(state) => self.meter.thaw_unchanged(state),
            None => self.meter.thaw(&self.guarded.core.close()),
        }
    }
}

impl Step<'_> {
    /// The caller is about to wait here, as the first or as one among others. Whether the alarm has to be looked at: it is
    /// not set yet, it would ring on another runtime, or it is late.
    pub(crate) fn note_caller(&mut self, first: bool) -> bool {
        let guarded = &mut *self.guarded;
        if guarded.home.note_runtime(first) {
            guarded.armed = None;
        }
        let late = |armed: u64| armed.saturating_add(LATE_NS) <= guarded.core.now_ns();
        first || (guarded.hand_off == HandOff::Idle && guarded.armed.is_none_or(late))
    }
}

impl Deref for Step<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.guarded.core
    }
}

impl DerefMut for Step<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        &mut self.guarded.core
    }
}

/// What the alarm wakes. Weak: it must not keep alive what keeps it.
struct AlarmWaker<C>(Weak<Driver<C>>);

impl<C: Clock> Wake for AlarmWaker<C> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(driver) = self.0.upgrade() {
            driver.lock().armed = None;
            driver.drive();
        }
    }
}

impl<C: Clock> Driver<C> {
    pub(crate) fn new(quota: Quota, scale: Scale, clock: C) -> Arc<Self> {
        let (frame, now) = Frame::first(scale, clock.now());
        let missing = quota.burst() - quota.initial();
        Arc::new_cyclic(|this| Self {
            meter: Meter::new(&frame, now + missing * scale.per_permit),
            clock,
            list: ListId::unique(),
            guarded: Guarded::new(quota),
            this: this.clone(),
            shares: OnceLock::new(),
        })
    }

    fn lock(&self) -> Guard<'_> {
        self.guarded.lock(|quota| {
            let core = Core::new(quota, self.meter.frame(), self.meter.word(), self.list);
            SlowPath::new(core, Waker::from(Arc::new(AlarmWaker(self.this.clone()))))
        })
    }

    pub(crate) fn quota(&self) -> Quota {
        self.guarded.read(|slow| slow.core.quota()).unwrap_or_else(|quota| quota)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.guarded.read(|slow| slow.core.waiting()).unwrap_or(0)
    }

    pub(crate) const fn clock(&self) -> &C {
        &self.clock
    }

    pub(crate) const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The number of the list: the order in which several locks are taken.
    pub(crate) const fn list_id(&self) -> ListId {
        self.list
    }

    pub(crate) fn place(&self) -> Place {
        Node::new(self.list)
    }

    /// What is parked at cores, if anything can be.
    pub(crate) fn shares(&self) -> Option<&Arc<dyn Shares>> {
        self.shares.get()
    }

    /// Takes back from the shares the permits that a request for `cost` ticks lacks, if nobody waits.
    pub(crate) fn reclaim_parked(&self, step: &mut Step<'_>, cost: u64) {
        if let Some(shares) = self.shares().filter(|_| step.is_empty()) {
            shares.reclaim_for(step, cost);
        }
    }

    /// As [`shares`](Self::shares), made by `make` if there were none.
    pub(crate) fn shares_or_init(&self, make: impl FnOnce() -> Arc<dyn Shares>) -> &Arc<dyn Shares> {
        self.shares.get_or_init(make)
    }

    /// Looks after a waiter that is polled again: another waker, another runtime.
    pub(crate) fn refresh(&self, place: Pin<&Place>, waker: &Waker) {
        let mut spare: Option<Waker> = None;
        let (replaced, look) = loop {
            let mut guarded = self.lock();
            let Some(entry) = guarded.core.entry_mut(place) else { return };
            let replaced = if entry.has_waker(waker) {
                None
            } else {
                let Some(clone) = spare.take() else {
                    drop(guarded);
                    spare = Some(waker.clone());
                    continue;
                };
                entry.replace_waker(clone)
            };
            let moved = guarded.home.note_runtime(false);
            if moved {
                guarded.armed = None;
            }
            break (replaced, moved);
        };
        if look {
            self.drive();
        }
        // Last: a waker may panic when it is dropped.
        drop((replaced, spare));
    }

    // === steps ===

    /// Begins a step. The caller calls [`drive`](Self::drive) afterwards if [`Core::is_alarm_void`] holds.
    pub(crate) fn step(&self) -> Step<'_> {
        let guarded = self.lock();
        let state = self.meter.freeze();
        let mut step = Step { meter: &self.meter, guarded, unread: Some(state) };
        // After the freeze: no exchange that has succeeded had a later reading. If it panics, the word is thawed.
        let now_ns = self.clock.now();
        step.unread = None;
        step.guarded.core.open(state, now_ns);
        step
    }

    /// Runs one step.
    pub(crate) fn with<T>(&self, run: impl FnOnce(&mut Core) -> T) -> T {
        let mut step = self.step();
        let result = run(&mut step);
        let look = step.is_alarm_void();
        drop(step);
        if look {
            self.drive();
        }
        result
    }

    /// What needs neither the word nor the clock.
    pub(crate) fn without_clock<T>(&self, run: impl FnOnce(&mut Core) -> T) -> T {
        let mut guarded = self.lock();
        let result = run(&mut guarded.core);
        self.meter.set_queued(guarded.core.queued());
        result
    }

    /// Whether the alarm goes by real time, rather than by alarms of the clock.
    #[cfg(all(feature = "tokio", debug_assertions))]
    pub(super) fn is_real_time(&self) -> bool {
        self.lock().alarm.is_real()
    }

    // === the hand-off ===

    /// Drives the queue if a step wants the alarm set anew: for steps that were not run by `with`.
    pub(crate) fn drive_if_alarm_void(&self) {
        if self.without_clock(|core| core.is_alarm_void()) {
            self.drive();
        }
    }

    /// Grants what is due and sets the alarm for the next.
    pub(crate) fn drive(&self) {
        {
            let mut guarded = self.lock();
            if guarded.hand_off != HandOff::Idle {
                guarded.hand_off = HandOff::Called;
                return;
            }
            guarded.hand_off = HandOff::Running;
        }
        let reset = Reset(self);
        while self.round() {}
        // The last round has left it idle.
        core::mem::forget(reset);
    }

    /// Grants what is due on this thread, also if another thread runs the hand-off.
    pub(super) fn serve_due_here(&self) {
        let mut batch = WakeBatch::new();
        loop {
            let mut step = self.step();
            let next = self.grant_due(&mut step, &mut batch);
            drop(step);
            batch.wake();
            if next != Next::More {
                break;
            }
        }
        // For the alarm.
        self.drive();
    }

    /// One round of the hand-off; whether there has to be another.
    fn round(&self) -> bool {
        let mut batch = WakeBatch::new();
        let mut step = self.step();
        step.guarded.hand_off = HandOff::Running;
        let mut next = self.grant_due(&mut step, &mut batch);
        if self.set_aside_deferred(&mut step) {
            next = self.grant_due(&mut step, &mut batch);
        }
        let now_ns = step.now_ns();
        if step.take_alarm_void() {
            step.guarded.armed = None;
        }
        let due_ns = match next {
            Next::More => {
                drop(step);
                batch.wake();
                return true;
            }
            Next::Empty | Next::FinalPart => NEVER,
            Next::At(due_ns) => due_ns,
        };
        // At the end of time no alarm rings: no clock goes on from there.
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
        let armed = if self.clock.wake_at(due_ns, &alarm_waker) {
            Armed::Until(due_ns)
        } else {
            alarm.set(&mut kept, due_ns, now_ns, &alarm_waker)
        };
        let mut guarded = self.lock();
        guarded.alarm = alarm;
        let moved = guarded.home != home;
        if !moved {
            guarded.home = kept;
        }
        match armed {
            // If it has not rung already, and no caller from elsewhere has come.
            Armed::Until(until_ns) if !moved => {
                guarded.armed = guarded.armed.map(|armed| armed.min(until_ns));
            }
            Armed::Until(_) | Armed::Elapsed => guarded.armed = None,
        }
        if moved || armed == Armed::Elapsed || guarded.hand_off == HandOff::Called {
            return true;
        }
        guarded.hand_off = HandOff::Idle;
        false
    }

    /// Grants what is due; what is parked at cores is for the waiters.
    pub(crate) fn grant_due(&self, step: &mut Step<'_>, batch: &mut WakeBatch) -> Next {
        loop {
            let next = step.grant_due(batch);
            let Some(shares) = self.shares() else { return next };
            if next == Next::More || !shares.reclaim_for_first(step) {
                return next;
            }
        }
    }
}

/// How late an alarm may be before arrivals do its work. A runtime's timer ticks in milliseconds; arrivals
/// that did not leave it to the timer would grant one by one what it grants in a batch.
const LATE_NS: u64 = 2_000_000;

/// Makes the hand-off idle again on the way out of a panic: of a clock, or because no thread can be spawned.
struct Reset<'a, C: Clock>(&'a Driver<C>);

impl<C: Clock> Drop for Reset<'_, C> {
    fn drop(&mut self) {
        let mut guarded = self.0.lock();
        guarded.hand_off = HandOff::Idle;
        guarded.armed = None;
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
