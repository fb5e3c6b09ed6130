//! Another quota for a live limiter.
//!
//! 1. Waiters that are due by the old quota have been granted, so time that has passed counts at the old rate.
//! 2. The level is converted, rounded down to a tick of the new scale. The end of the step publishes the new frame.
//! 3. The waiters get new costs. A waiter for more than the new burst is refused. The hand-off that follows refuses
//!    those that can no longer meet their deadlines.
//! 4. An earlier grant can still go back as far as the ledger says.

use core::task::Waker;

use super::Core;
use crate::{
    error::{QuotaError, TooMany},
    gcra::{MAX_TAT, Scale},
    permits::Permits,
    queue::{entry::Outcome, ledger::proportion},
    quota::{Inherit, Quota},
};

impl Core {
    /// Adds a handle that may park permits. Returns whether it is the first.
    pub(crate) const fn attach(&mut self) -> bool {
        self.handles += 1;
        self.handles == 1
    }

    /// Removes a handle that may park permits. Returns whether it was the last.
    pub(crate) const fn detach(&mut self) -> bool {
        self.handles -= 1;
        self.handles == 0
    }

    pub(crate) const fn is_attached(&self) -> bool {
        self.handles > 0
    }

    /// Puts off setting `permits` aside while a waiter asks for more than would be left. Returns whether it is put off.
    pub(crate) fn defer_set_aside(&mut self, permits: u64) -> bool {
        self.deferred = permits;
        self.deferred = if self.needs_deferred() { permits } else { 0 };
        self.deferred > 0
    }

    pub(crate) fn take_deferred(&mut self) -> Option<u64> {
        if self.deferred == 0 || self.needs_deferred() {
            return None;
        }
        Some(core::mem::take(&mut self.deferred))
    }

    fn needs_deferred(&mut self) -> bool {
        let largest = self.largest_request();
        let mut needs = false;
        self.list.visit(|entry| {
            needs = entry.permits > Permits::from(largest);
            !needs
        });
        needs
    }

    pub(crate) const fn largest_request(&self) -> u64 {
        let scale = self.frame.scale();
        (scale.limit / scale.per_permit).saturating_sub(self.deferred)
    }

    pub(super) fn is_above_deferred(&self, permits: Permits) -> bool {
        self.deferred > 0 && permits > Permits::from(self.largest_request())
    }

    /// Replaces the quota, with a scale that may have a smaller burst. `refused` gets the wakers of refused waiters.
    pub(crate) fn rescale(
        &mut self,
        quota: Quota,
        scale: Scale,
        inherit: Inherit,
        refused: &mut Vec<Waker>,
    ) -> Result<(), QuotaError> {
        let old = *self.frame.scale();
        let full = |quota: &Quota, scale: &Scale| i128::from(quota.burst()) * i128::from(scale.per_permit);
        let convert = |ticks| proportion(ticks, scale.per_permit, old.per_permit);
        let ahead = i128::from(self.tat.max(self.floor)) - i128::from(self.now);
        let level = i128::from(old.limit) - ahead;
        let level = match inherit {
            Inherit::AsIs => convert(level),
            // From the whole burst: what is set aside may have been used before it was.
            Inherit::Additively => full(&quota, &scale) + convert(level - full(&self.quota, &old)),
            Inherit::Proportionally => proportion(level, scale.limit, old.limit),
            Inherit::Reset => i128::from(quota.initial()) * i128::from(scale.per_permit),
        };
        // With the credit of a busy queue the level may exceed a full burst.
        let credit = if ahead < 0 { scale.catch_up } else { 0 };
        let ahead = i128::from(scale.limit) - level.min(i128::from(scale.limit) + i128::from(credit));
        let (_, fresh) = self.next_frame(scale, MAX_TAT, 0);
        if i128::from(fresh) + ahead > i128::from(MAX_TAT) {
            return Err(QuotaError::DebtTooDeep {
                permits: (-level / i128::from(scale.per_permit)).try_into().unwrap_or(u64::MAX),
                max: MAX_TAT.saturating_sub(fresh).saturating_sub(scale.limit) / scale.per_permit,
            });
        }
        self.ledger.compare(self.tat, self.floor);
        self.ledger.rescale(old.per_permit, scale.per_permit);
        self.reframe(scale, ahead);
        if inherit == Inherit::AsIs {
            // The bucket without the grant may have been above the smaller burst.
            self.ledger.note(self.tat.saturating_sub(self.now));
        } else {
            self.ledger.close();
        }
        self.quota = quota;
        self.deferred = 0;
        self.price_anew(refused);
        Ok(())
    }

    fn price_anew(&mut self, refused: &mut Vec<Waker>) {
        let (frame, burst, largest) = (self.frame, self.quota.burst(), self.largest_request());
        self.sweep(|entry| {
            if let Some(cost) = frame.scale().cost(entry.permits) {
                entry.cost = cost;
                return None;
            }
            refused.extend(entry.waker.take());
            Some(Outcome::Denied(TooMany::new(entry.permits, burst, largest).into()))
        });
        self.recheck = true;
        self.alarm_is_void = true;
    }
}
