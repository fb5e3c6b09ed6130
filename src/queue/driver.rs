//! The only way to the core of a queue: lock, freeze the word, read the clock, run a step, thaw, unlock. Then the
//! hand-off ([`hand_off`]) wakes waiters, and sets the alarm.
//!
//! # What runs under the lock
//! Nothing foreign but `Clock::now`; if it panics, the word is thawed as it was. The wakers of waiters are cloned
//! before, and woken or dropped after. The waker of a final part is the `Arc` of its final round: cloning it runs
//! nothing foreign. The thread that runs the hand-off takes the alarm out, sets it, and puts it back. Several locks are
//! taken in the order of the lists' numbers.

mod hand_off;

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
    alarm::Home,
    core::Core,
    entry::Place,
    guarded::{Guard, Guarded, SlowPath},
    list::{ListId, Node},
    shares::{LevelChanges, Shares},
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

    /// The scale in force. Takes the lock: a call without it may find the scale being replaced.
    #[cfg(feature = "io")]
    pub(crate) fn scale(&self) -> Scale {
        *self.lock().core.frame().scale()
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
        let caller = Home::of_caller();
        let mut spare: Option<Waker> = None;
        let (replaced, moved) = loop {
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
            let moved = guarded.home.note(caller, false);
            if moved {
                guarded.armed = None;
            }
            break (replaced, moved);
        };
        if moved {
            self.drive();
        }
        // Last: dropping a waker may panic.
        drop((replaced, spare));
    }

    /// Begins a step. Its caller ends it by [`end`](Self::end), or drives afterwards if [`Core::needs_hand_off`] holds.
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

    /// Runs one step, and drives if it changed when waiters are due.
    pub(crate) fn with<T>(&self, run: impl FnOnce(&mut Core) -> T) -> T {
        let mut step = self.step();
        let result = run(&mut step);
        self.end(step);
        result
    }

    /// Ends a step, and drives if [`Core::needs_hand_off`] holds.
    pub(super) fn end(&self, step: Step<'_>) {
        let drives = step.needs_hand_off();
        drop(step);
        if drives {
            self.drive();
        }
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
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
