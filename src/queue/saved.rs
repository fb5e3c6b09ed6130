//! The level of a limiter, to be stored and restored.

use std::sync::Arc;

use super::driver::Driver;
use crate::{clock::Clock, error::QuotaError, gcra::Scale, quota::Quota};

/// A level as a fraction of a permit, with what is left of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Missing {
    /// What is missing from the whole burst, in ticks.
    pub(crate) ticks: u64,
    pub(crate) per_permit: u64,
    pub(crate) paused_ns: u64,
}

impl<C: Clock + ?Sized> Driver<C> {
    /// The quota, the level, and the clock reading of both. The level of a blocked limiter is not kept.
    pub(crate) fn save(&self) -> (Quota, Missing, u64) {
        self.with(|core| {
            let per_permit = core.frame().scale().per_permit;
            let parked = self.shares().map_or(0, |shares| core.frame().scale().parked(shares.parked()));
            let (missing, paused_ns) = core.missing();
            let missing = Missing { ticks: missing.saturating_sub(parked), per_permit, paused_ns };
            (core.quota_in_force(), missing, core.now_ns())
        })
    }
}

#[cfg(feature = "keyed")]
impl<C: Clock + ?Sized> Driver<C> {
    /// Whether the queue has drained at a late timer, so that the next waiter may be dated before now.
    pub(crate) fn has_credit(&self, now_ns: u64) -> bool {
        self.without_clock(|core| core.has_credit(now_ns))
    }
}

impl<C: Clock> Driver<C> {
    /// A driver with the level that a saved one has after `elapsed_ns`.
    pub(crate) fn restored(
        quota: Quota,
        saved: Missing,
        clock: C,
        elapsed_ns: u64,
    ) -> Result<Arc<Self>, QuotaError> {
        let scale = Scale::new(&quota)?;
        let missing =
            (u128::from(saved.ticks) * u128::from(scale.per_permit)).div_ceil(saved.per_permit.into());
        let accrued = scale.wide_tick(elapsed_ns.saturating_sub(saved.paused_ns));
        let missing = u64::try_from(missing.saturating_sub(accrued)).unwrap_or(u64::MAX);
        let driver = Self::new(quota, scale, clock);
        let missing = if quota.is_blocked() { scale.limit } else { missing };
        driver.with(|core| core.restore(missing)).map_err(|most| QuotaError::DebtTooDeep {
            permits: missing.saturating_sub(scale.limit) / scale.per_permit,
            max: most / scale.per_permit,
        })?;
        let paused_ns = saved.paused_ns.saturating_sub(elapsed_ns);
        if paused_ns > 0 {
            driver.pause_for(crate::gcra::nanos(paused_ns));
        }
        Ok(driver)
    }
}
