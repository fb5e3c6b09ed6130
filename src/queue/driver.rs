//! The only way to the core of a queue: lock, freeze the word, read the clock, run a step, thaw, unlock. Then wake, and
//! set the alarm.
//!
//! # Liveness
//! Permits come from time, not from callers that release them. So liveness is one sentence: *while there are waiters,
//! an alarm is set for no later than the first one is due, or a thread is just setting it.* [`Driver::drive`] keeps it:
//! it grants the due waiters, and sets the alarm for the next. It is called by the alarm; by a waiter that joins an
//! empty queue, moves to another runtime, finds the alarm late, or leaves from the front; by each locked call that
//! changes the TAT while there are waiters; and after a step that made the alarm void. After a
//! panic the sentence may not hold. The next caller that joins (because `armed` is `None`), leaves from the front, or
//! takes the lock for a try call then drives the queue.
//!
//! The alarm belongs to the queue, not to a waiter: a waiter that was polled once and never again delays no other. If
//! the first waiter is a final part that waits for another limit, the queue of that limit has an alarm; see `all_of`.
//!
//! # The hand-off
//! | state   | meaning                                           | next                              |
//! |---------|---------------------------------------------------|-----------------------------------|
//! | Idle    | the sentence above holds                          | Running (`drive`)                 |
//! | Running | one thread grants, wakes, or sets the alarm       | Called, Idle                      |
//! | Called  | as Running, and another thread has left a note    | Running: it makes another round   |
//!
//! The state changes only under the lock. A thread enters Idle either in the lock hold in which it saw that no alarm is
//! needed or that one is set in time; or after it set the alarm, if no thread has written Called meanwhile. So no note
//! is lost. A thread that finds the hand-off running leaves a note and goes: if threads helped while a long queue is
//! woken, they would mostly fight for the lock.
//!
//! | function                | lock | does                                                                         |
//! |-------------------------|------|------------------------------------------------------------------------------|
//! | `Core::grant_due`       | held | grants due waiters, up to one wake batch                                     |
//! | `grant_due_and_reclaim` | held | the same, with the parked permits that the first waiter lacks                |
//! | `drive`                 | free | runs the hand-off, or leaves a note if another thread runs it                |
//! | `drive_if_needed`       | free | `drive`, if a step asked for it; for steps not run by `with`                 |
//! | `drive_if_waiters`      | free | `drive`, if there are waiters                                                |
//! | `drive_if_overtaking`   | free | `drive`, if a newcomer in that lane goes before waiters: due ones come first  |
//! | `serve_due_here`        | free | grants due waiters, also beside a running hand-off; then `drive`             |
//!
//! # What runs under the lock
//! Nothing foreign but `Clock::now`; if it panics, the word is thawed as it was. The wakers of waiters are cloned
//! before, and woken or dropped after. The waker of a final part is the `Arc` of its final round: cloning it runs
//! nothing foreign. The thread that runs the hand-off takes the alarm out, sets it, and puts it back. Several locks are
//! taken in the order of the lists' numbers.

use core::{
    fmt,
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
    shares::{LevelChanges, Shares},
    wake_batch::WakeBatch,
};
use crate::{
    clock::Clock, frame::Frame, gcra::Scale, lane::Lane, meter::Meter, quota::Quota, watch::Watch,
    word::State,
};

/// A limiter's whole state.
#[derive(Debug)]
pub(crate) struct Driver<C: ?Sized> {
    meter: Meter,
    list: ListId,
    guarded: Guarded,
    this: Weak<dyn Alarmed>,
    /// The slots, once there is a handle that parks permits.
    shares: OnceLock<Arc<dyn Shares>>,
    level_changes: LevelChanges,
    watch: Watch,
    /// Last, so that a driver can be one on `dyn Clock`.
    clock: C,
}

/// A driver on a clock of any kind, for calls for several limits.
pub(crate) type AnyDriver = Driver<dyn Clock>;

/// A step of the core, with the lock held and the word frozen. It ends when it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    meter: &'a Meter,
    guarded: Guard<'a>,
    /// The frozen word, until the clock has been read.
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
    /// Records on which runtime the caller waits, as the first waiter or not. Returns whether the caller must `drive`
    /// afterwards: the alarm is not set yet, would ring on another runtime, or is late.
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

/// A driver whose alarm has rung.
trait Alarmed: fmt::Debug + Send + Sync {
    fn alarm_rang(&self);
}

impl<C: Clock> Alarmed for Driver<C> {
    fn alarm_rang(&self) {
        // This alarm is spent.
        self.lock().armed = None;
        self.drive();
    }
}

/// Weak: the driver owns this waker.
struct AlarmWaker(Weak<dyn Alarmed>);

impl Wake for AlarmWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(driver) = self.0.upgrade() {
            driver.alarm_rang();
        }
    }
}

impl<C: Clock> Driver<C> {
    pub(crate) fn new(quota: Quota, scale: Scale, clock: C) -> Arc<Self> {
        let missing = (quota.burst() - quota.initial()) * scale.per_permit;
        let now_ns = clock.now();
        let driver = Self::with_missing(quota, scale, clock, now_ns, missing);
        if quota.is_blocked() {
            driver.block();
        }
        driver
    }

    /// A driver whose bucket lacks `missing` ticks, at most a full burst, at that clock reading.
    pub(crate) fn with_missing(quota: Quota, scale: Scale, clock: C, now_ns: u64, missing: u64) -> Arc<Self> {
        let (frame, now) = Frame::first(scale, now_ns);
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            meter: Meter::new(&frame, now + missing),
            list: ListId::unique(),
            guarded: Guarded::new(quota),
            this: this.clone(),
            shares: OnceLock::new(),
            level_changes: LevelChanges::new(),
            watch: Watch::new(),
            clock,
        })
    }
}

impl<C: Clock + ?Sized> Driver<C> {
    fn lock(&self) -> Guard<'_> {
        self.guarded.lock(|quota| {
            let core = Core::new(quota, self.meter.frame(), self.meter.word(), self.list);
            SlowPath::new(core, Waker::from(Arc::new(AlarmWaker(self.this.clone()))))
        })
    }

    pub(crate) fn quota(&self) -> Quota {
        self.guarded.read(|slow| slow.core.quota_in_force()).unwrap_or_else(|quota| quota)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.guarded.read(|slow| slow.core.waiting()).unwrap_or(0)
    }

    pub(crate) fn max_waiters(&self) -> usize {
        self.guarded.read(|slow| slow.core.max_waiters()).unwrap_or(usize::MAX)
    }

    pub(crate) fn set_max_waiters(&self, max_waiters: usize) {
        self.without_clock(|core| core.set_max_waiters(max_waiters));
    }

    pub(crate) const fn clock(&self) -> &C {
        &self.clock
    }

    pub(crate) const fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) const fn watch(&self) -> &Watch {
        &self.watch
    }

    pub(crate) const fn level_changes(&self) -> &LevelChanges {
        &self.level_changes
    }

    pub(crate) const fn list_id(&self) -> ListId {
        self.list
    }

    pub(crate) fn place(&self) -> Place {
        Node::new(self.list)
    }

    pub(crate) fn shares(&self) -> Option<&Arc<dyn Shares>> {
        self.shares.get()
    }

    /// Moves the parked permits that a newcomer's request for `cost` ticks lacks to the word, if no waiter goes first.
    pub(crate) fn reclaim_parked(&self, core: &mut Core, cost: u64, lane: Lane) {
        if let Some(shares) = self.shares().filter(|_| !core.has_waiters_before(lane)) {
            shares.reclaim_for(core, cost);
        }
    }

    pub(crate) fn shares_or_init(&self, make: impl FnOnce() -> Arc<dyn Shares>) -> &Arc<dyn Shares> {
        self.shares.get_or_init(make)
    }

    /// Updates the waker and the runtime of a waiter that is polled again.
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
        // Last: dropping a waker may panic.
        drop((replaced, spare));
    }

    /// Begins a step. The caller calls [`drive`](Self::drive) afterwards if [`Core::needs_hand_off`] holds.
    pub(crate) fn step(&self) -> Step<'_> {
        let guarded = self.lock();
        let state = self.meter.freeze();
        let mut step = Step { meter: &self.meter, guarded, unread: Some(state) };
        // After the freeze: no exchange that has succeeded had a later reading.
        let now_ns = self.clock.now();
        step.unread = None;
        step.guarded.core.open(state, now_ns);
        step
    }

    /// Runs one step, and drives if the alarm became void in it. A caller that changes the TAT calls `drive_if_waiters`
    /// afterwards.
    pub(crate) fn with<T>(&self, run: impl FnOnce(&mut Core) -> T) -> T {
        let mut step = self.step();
        let result = run(&mut step);
        let look = step.needs_hand_off();
        drop(step);
        if look {
            self.drive();
        }
        result
    }

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

    pub(crate) fn drive_if_needed(&self) {
        if self.without_clock(|core| core.needs_hand_off()) {
            self.drive();
        }
    }

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
        // The last round has set Idle.
        core::mem::forget(reset);
    }

    pub(super) fn serve_due_here(&self) {
        let mut batch = WakeBatch::new();
        loop {
            let mut step = self.step();
            let next = self.grant_due_and_reclaim(&mut step, &mut batch);
            drop(step);
            batch.wake();
            if next != Next::More {
                break;
            }
        }
        // For the alarm.
        self.drive();
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
        let outcome = if self.clock.wake_at(due_ns, &alarm_waker) {
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
        match outcome {
            // `armed` is still ours, or `None` if the alarm rang while the lock was free (it then wrote Called, so
            // there is another round). Another home means that the alarm is set on the wrong runtime.
            Armed::Until(until_ns) if !moved => {
                guarded.armed = guarded.armed.map(|armed| armed.min(until_ns));
            }
            Armed::Until(_) | Armed::Elapsed => guarded.armed = None,
        }
        if moved || outcome == Armed::Elapsed || guarded.hand_off == HandOff::Called {
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

/// An arriving waiter drives the queue only if the alarm is this late: a runtime's timer ticks in milliseconds. If each
/// arrival did so at once, waiters would be granted one by one instead of in a batch.
const LATE_NS: u64 = 2_000_000;

/// After a panic (of a clock, or because no thread can be spawned): sets Idle, and has the next round set the alarm.
struct Reset<'a, C: Clock + ?Sized>(&'a Driver<C>);

impl<C: Clock + ?Sized> Drop for Reset<'_, C> {
    fn drop(&mut self) {
        let mut guarded = self.0.lock();
        guarded.hand_off = HandOff::Idle;
        guarded.armed = None;
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
