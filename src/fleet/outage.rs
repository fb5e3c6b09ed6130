//! What a member admits while it does not reach the server.

use std::sync::Arc;

use crate::{clock::Clock, error::QuotaError, limiter::RateLimiter, quota::Quota};

/// What a process of a [`Fleet`](crate::Fleet) admits while it does not reach the server, once its leases are used up.
///
/// Whatever is chosen, the process goes on calling the server, and goes back to leases by itself. What it admits meanwhile is
/// counted in [`FleetReport::unleased`](crate::FleetReport::unleased).
///
/// # Examples
/// ```
/// use tidegate::{Fleet, OnOutage, Quota};
/// # fn f() -> impl Sized {
/// Fleet::builder("payments", Quota::per_second(100)).on_outage(OnOutage::Closed)
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnOutage {
    /// Its share: the rate and the burst, divided by the number of processes last known, with a burst of at least one
    /// permit. If all processes are cut off, they admit what the quota allows, and one burst more.
    #[default]
    LocalShare,
    /// Nothing. Calls with a longest wait are refused when it is over, others wait.
    Closed,
    /// Whatever is asked for.
    Open,
}

#[derive(Debug)]
pub(super) struct Outage<C: Clock> {
    policy: OnOutage,
    quota: Quota,
    burst: u64,
    /// One bucket for all outages, so that a server that comes and goes adds no burst each time.
    share: RateLimiter<Arc<C>>,
    members: u64,
}

impl<C: Clock> Outage<C> {
    pub(super) fn new(policy: OnOutage, quota: Quota, burst: u64, base: Arc<C>) -> Result<Self, QuotaError> {
        let share = RateLimiter::try_with_clock(share_of(&quota, burst, 1)?, base)?;
        Ok(Self { policy, quota, burst, share, members: 1 })
    }

    /// How many of the permits wanted are admitted.
    pub(super) fn permits(&mut self, want: u64, members: u64) -> u64 {
        match self.policy {
            OnOutage::Closed => 0,
            OnOutage::Open => want,
            OnOutage::LocalShare => {
                let members = members.max(1);
                if members != self.members {
                    let changed = share_of(&self.quota, self.burst, members)
                        .and_then(|quota| self.share.set_quota(quota));
                    // Else it goes on with the share before.
                    if changed.is_ok() {
                        self.members = members;
                    }
                }
                self.share.try_acquire_up_to(want)
            }
        }
    }
}

fn share_of(quota: &Quota, burst: u64, members: u64) -> Result<Quota, QuotaError> {
    let (permits, period_ns) = quota.rate();
    let too_long = QuotaError::PeriodTooLong { period: quota.period() };
    let period_ns = period_ns.checked_mul(members.into()).and_then(|ns| u64::try_from(ns).ok());
    let period = core::time::Duration::from_nanos(period_ns.ok_or(too_long)?);
    Quota::try_new(permits, period)?.try_with_burst((burst / members).max(1))
}
