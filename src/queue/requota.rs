//! Another quota for a live limiter, and handles that park permits at cores.
//!
//! What may be parked is set aside: the burst of the word is smaller by that while there is a handle that parks. The burst
//! is the smaller one before more may be parked, and what is parked goes back to the word before the burst is larger
//! again. It goes back, too, if by the new burst less may be parked than has been claimed; a new start does away with it.
//!
//! When the first handle comes, waiters for more than the smaller burst keep their places: nothing is set aside, and so
//! nothing parked, until they have been served. Later requests for more are refused.

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

impl<C: Clock> Driver<C> {
    /// Replaces the quota.
    pub(crate) fn set_quota(&self, quota: Quota, inherit: Inherit) -> Result<(), QuotaError> {
        Scale::new(&quota)?;
        self.rescale(|core, refused| {
            let set_aside = self.capacity_of(core, &quota);
            self.replace(core, quota, set_aside, inherit, refused)
        })
    }

    /// A handle comes that parks permits. What is parked, made by `make` if there was nothing yet.
    pub(crate) fn attach(&self, make: impl FnOnce() -> Arc<dyn Shares>) -> &Arc<dyn Shares> {
        let shares = self.shares_or_init(make);
        let first = self.without_clock(Core::attach);
        if first {
            self.set_aside_anew();
        }
        shares
    }

    /// A handle that parks permits leaves.
    pub(crate) fn detach(&self) {
        let last = self.without_clock(Core::detach);
        if last {
            self.set_aside_anew();
        }
    }

    /// The most permits that one request can be for.
    pub(crate) fn largest_request(&self) -> u64 {
        self.without_clock(|core| core.largest_request())
    }

    /// Sets aside what is to be.
    fn set_aside_anew(&self) {
        // The level stays what it is, and so does a debt: it takes up no more room than before. When the last
        // handle leaves, it may: then the part of the burst that was set aside stays so.
        let _ = self.rescale(|core, refused| {
            let quota = core.quota();
            let set_aside = self.capacity_of(core, &quota);
            if core.defer_set_aside(set_aside) {
                return Ok(());
            }
            self.replace(core, quota, set_aside, Inherit::AsIs, refused)
        });
    }

    /// Sets aside what was deferred, if no waiter needs it any more. Whether it was.
    pub(super) fn set_aside_deferred(&self, step: &mut Step<'_>) -> bool {
        let Some(set_aside) = step.take_deferred() else { return false };
        let quota = step.quota();
        // No waiter asks for more than the smaller burst, so that none is refused.
        self.replace(step, quota, set_aside, Inherit::AsIs, &mut Vec::new()).is_ok()
    }

    fn capacity_of(&self, core: &Core, quota: &Quota) -> u64 {
        match self.shares() {
            Some(shares) if core.is_attached() => shares.capacity_of(quota.burst()),
            _ => 0,
        }
    }

    /// Runs `change` when all waiters that are due have been granted.
    fn rescale(
        &self,
        change: impl Fn(&mut Core, &mut Vec<Waker>) -> Result<(), QuotaError>,
    ) -> Result<(), QuotaError> {
        loop {
            let mut batch = WakeBatch::new();
            let mut step = self.step();
            if self.grant_due(&mut step, &mut batch) == Next::More {
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
                    // A debt comes out of what is parked first.
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
