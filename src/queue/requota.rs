//! Another quota for a live limiter, and the part of the burst that is set aside for parked permits.
//!
//! While there are handles that park permits, the burst of the word is smaller by the capacity of the slots, before any
//! permit may be parked. When the last handle is dropped, parked permits return to the word in the step that restores
//! the burst. They return, too, if a new quota leaves less capacity than is claimed. `Inherit::Reset` discards them.
//!
//! Waiters for more than the smaller burst keep their places when the first handle is made: nothing is set aside until
//! they have left the queue. Later requests for more are refused.

use core::task::Waker;
use std::sync::Arc;

use super::{
    core::{Core, Next},
    driver::{Driver, Step},
    shares::Shares,
    wake_batch::WakeBatch,
};
use crate::{
    clock::Clock,
    error::QuotaError,
    gcra::Scale,
    quota::{Inherit, Quota},
};

impl<C: Clock + ?Sized> Driver<C> {
    pub(crate) fn set_quota(&self, quota: Quota, inherit: Inherit) -> Result<(), QuotaError> {
        Scale::new(&quota)?;
        if quota.is_blocked() {
            self.block();
            return Ok(());
        }
        self.change_after_grants(|core, refused| self.set_quota_in(core, quota, inherit, refused))?;
        self.watch().quota_set(quota);
        Ok(())
    }

    /// A part of a step that sets another quota than [`Quota::BLOCKED`].
    fn set_quota_in(
        &self,
        core: &mut Core,
        quota: Quota,
        inherit: Inherit,
        refused: &mut Vec<Waker>,
    ) -> Result<(), QuotaError> {
        let before = core.quota();
        let inherit = match inherit {
            _ if quota.is_unlimited() => Inherit::Reset,
            // What is missing from such a burst means nothing.
            Inherit::Additively | Inherit::Proportionally if before.is_fixed() => Inherit::AsIs,
            inherit => inherit,
        };
        let set_aside = self.capacity_of(core, &quota);
        self.replace(core, quota, set_aside, inherit, refused)?;
        if core.unblock() || before.is_fixed() {
            // What a `Local` drew before is too much now.
            self.level_changes().count();
        }
        Ok(())
    }

    /// Registers a handle that parks permits. Returns the slots, which the first call makes with `make`.
    pub(crate) fn attach(&self, make: impl FnOnce() -> Arc<dyn Shares>) -> &Arc<dyn Shares> {
        let shares = self.shares_or_init(make);
        let first = self.without_clock(Core::attach);
        if first {
            self.set_aside_anew();
        }
        shares
    }

    pub(crate) fn detach(&self) {
        let last = self.without_clock(Core::detach);
        if last {
            self.set_aside_anew();
        }
    }

    pub(crate) fn largest_request(&self) -> u64 {
        self.without_clock(|core| core.largest_request())
    }

    /// Sets a part of the burst aside if there are handles, or restores the burst.
    fn set_aside_anew(&self) {
        // The level stays as it is, and setting aside needs no more room. To restore the burst may fail in a deep debt:
        // then the part stays set aside.
        let _ = self.change_after_grants(|core, refused| {
            let quota = core.quota();
            let set_aside = self.capacity_of(core, &quota);
            if core.defer_set_aside(set_aside) {
                return Ok(());
            }
            self.replace(core, quota, set_aside, Inherit::AsIs, refused)
        });
    }

    /// Sets aside what was deferred, if no waiter needs it any more. Returns whether it did.
    pub(super) fn set_aside_deferred(&self, step: &mut Step<'_>) -> bool {
        let Some(set_aside) = step.take_deferred() else { return false };
        let quota = step.quota();
        // No waiter asks for more than the smaller burst, so none is refused.
        self.replace(step, quota, set_aside, Inherit::AsIs, &mut Vec::new()).is_ok()
    }

    fn capacity_of(&self, core: &Core, quota: &Quota) -> u64 {
        match self.shares() {
            Some(shares) if core.is_attached() => shares.capacity_of(quota.burst()),
            _ => 0,
        }
    }

    /// Grants all waiters that are due, then runs `change`.
    pub(super) fn change_after_grants<T>(&self, change: impl Fn(&mut Core, &mut Vec<Waker>) -> T) -> T {
        loop {
            let mut batch = WakeBatch::new();
            let mut step = self.step();
            if self.grant_due_and_reclaim(&mut step, &mut batch) == Next::More {
                drop(step);
                batch.wake();
                continue;
            }
            let mut refused = Vec::new();
            let changed = change(&mut step, &mut refused);
            drop(step);
            batch.wake();
            for waker in refused {
                batch.push(Some(waker));
                batch.wake();
            }
            self.drive();
            return changed;
        }
    }

    fn replace(
        &self,
        core: &mut Core,
        quota: Quota,
        set_aside: u64,
        inherit: Inherit,
        refused: &mut Vec<Waker>,
    ) -> Result<(), QuotaError> {
        core.rescale(quota, Scale::new(&quota)?.without(set_aside), inherit, refused)?;
        let Some(shares) = self.shares() else { return Ok(()) };
        let parked = if core.is_attached() {
            shares.set_capacity(Some(quota.burst()));
            match inherit {
                Inherit::Reset => {
                    shares.reclaim(u64::MAX);
                    0
                }
                _ if shares.is_overdrawn() => shares.reclaim(u64::MAX),
                _ => {
                    // Parked permits pay a debt first.
                    shares.reclaim_for(core, 0);
                    0
                }
            }
        } else {
            shares.set_capacity(None)
        };
        core.refund(core.frame().scale().parked(parked));
        Ok(())
    }
}

#[cfg(feature = "keyed")]
impl<C: Clock> Driver<C> {
    /// As [`set_quota`](Self::set_quota), for a caller with a lock of its own: nobody is woken before the result is dropped.
    /// `None` if `old` is not the quota in force. A full bucket is full by the new quota, too. With `blocked`, the limiter is
    /// blocked afterwards. In a debt that is too deep for the new quota, the limiter keeps the old one.
    pub(crate) fn follow_quota(
        self: &Arc<Self>,
        old: &Quota,
        quota: Quota,
        blocked: bool,
    ) -> Option<Later<C>> {
        let mut later = Later { driver: Arc::clone(self), wakers: Vec::new() };
        let (mut batch, mut step) = (WakeBatch::new(), self.step());
        if step.quota_in_force() != *old {
            return None;
        }
        while self.grant_due_and_reclaim(&mut step, &mut batch) == Next::More {
            batch.move_to(&mut later.wakers);
        }
        batch.move_to(&mut later.wakers);
        let (tat, now) = step.level();
        let inherit = if tat <= now { Inherit::Reset } else { Inherit::AsIs };
        let is_set = quota.is_blocked() || (blocked && step.quota() == quota);
        let set =
            if is_set { Ok(()) } else { self.set_quota_in(&mut step, quota, inherit, &mut later.wakers) };
        if blocked && set.is_ok() {
            self.block_in(&mut step);
        }
        drop(step);
        Some(later)
    }
}

/// What a change of quota leaves for the time when no lock is held: the wakes, and the alarm. It is done on drop.
#[cfg(feature = "keyed")]
#[derive(Debug)]
pub(crate) struct Later<C: Clock> {
    driver: Arc<Driver<C>>,
    wakers: Vec<Waker>,
}

#[cfg(feature = "keyed")]
impl<C: Clock> Drop for Later<C> {
    fn drop(&mut self) {
        let mut batch = WakeBatch::new();
        for waker in self.wakers.drain(..) {
            batch.push(Some(waker));
            batch.wake();
        }
        // After a panic the next caller drives.
        if !std::thread::panicking() {
            self.driver.drive();
        }
    }
}
