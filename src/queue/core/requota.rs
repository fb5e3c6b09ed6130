//! Another quota for a live limiter.
//!
//! 1. Waiters that are due by the old quota have been granted, so that time that has passed counts at the old rate.
//! 2. The level is converted, rounded down to a tick of the new scale, and the new frame published at the end of the step.
//! 3. The waiters are priced anew. A waiter that asks for more than the new burst is refused; so is, by the hand-off that
//!    follows, one that can no longer be served in time.
//! 4. A grant from before can still go back as far as the ledger says.

use core::task::Waker;

use super::Core;
use crate::{
    error::{QuotaError, TooMany},
    frame::Frame,
    gcra::{MAX_TAT, Scale},
    permits::Permits,
    queue::{entry::Outcome, ledger::proportion},
    quota::{Inherit, Quota},
};

impl Core {
    // === what is set aside ===

    /// A handle comes that may park permits; whether it is the first.
    pub(crate) const fn attach(&mut self) -> bool {
        self.handles += 1;
        self.handles == 1
    }

    /// A handle that may park permits leaves; whether it was the last.
    pub(crate) const fn detach(&mut self) -> bool {
        self.handles -= 1;
        self.handles == 0
    }

    pub(crate) const fn is_attached(&self) -> bool {
        self.handles > 0
    }

    /// Defers to set so many permits aside if a waiter asks for more than would be left. Whether one does.
    pub(crate) fn defer_set_aside(&mut self, permits: u64) -> bool {
        self.deferred = permits;
        self.deferred = if self.needs_deferred() { permits } else { 0 };
        self.deferred > 0
    }

    /// What was deferred, if no waiter needs it any more.
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

    /// The most permits that one request can be for.
    pub(crate) const fn largest_request(&self) -> u64 {
        let scale = self.frame.scale();
        (scale.limit / scale.per_permit).saturating_sub(self.deferred)
    }

    /// Whether a request is for more than can be granted once what is deferred has been set aside.
    pub(super) fn is_above_deferred(&self, permits: Permits) -> bool {
        self.deferred > 0 && permits > Permits::from(self.largest_request())
    }

    // === another quota ===

    /// Replaces the quota, with a scale that may have a smaller burst. The wakers of the waiters that it refuses are left
    /// in `refused`.
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
            // Of the whole burst: what is set aside may have been used before it was.
            Inherit::Additively => full(&quota, &scale) + convert(level - full(&self.quota, &old)),
            Inherit::Proportionally => proportion(level, scale.limit, old.limit),
            Inherit::Reset => i128::from(quota.initial()) * i128::from(scale.per_permit),
        };
        // The credit of a busy queue may go beyond a full burst.
        let credit = if ahead < 0 { scale.catch_up } else { 0 };
        let ahead = i128::from(scale.limit) - level.min(i128::from(scale.limit) + i128::from(credit));
        let (_, fresh) = Frame::next(scale, self.now_ns, MAX_TAT, 0);
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
            // The other bucket may have been above the smaller burst.
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
