//! What changes the TAT: taking, charging, and giving back.

use super::{Caller, Core, MOST_PARKED};
use crate::{
    error::{ChargeError, Denied, TooMany},
    gcra::MAX_TAT,
    meter::charged,
    permits::Permits,
    queue::{entry::Grant, ledger::Receipt},
};

impl Core {
    /// The cost of `permits` in ticks, unless the limiter is closed, or they are more than one request can be for.
    pub(crate) fn cost(&self, permits: Permits) -> Result<u64, Denied> {
        if self.is_closed {
            return Err(Denied::Closed);
        }
        match self.frame.scale().cost(permits) {
            Some(cost) if !self.is_above_deferred(permits) => Ok(cost),
            _ => Err(TooMany::new(permits, self.quota.burst(), self.largest_request()).into()),
        }
    }

    /// Takes `cost` ticks for a newcomer, or returns from which tick on they conform.
    pub(crate) fn take(&mut self, cost: u64, caller: Caller) -> Result<Grant, u64> {
        if let Some(tat) = self.admission(cost, caller)? {
            self.admit(tat, self.floor_of(caller));
            if !self.list.is_empty() {
                // Waiters of lower lanes are due later.
                self.recheck = true;
                self.times_have_changed |= self.has_dependent_times();
            }
        }
        Ok(self.grant(cost))
    }

    pub(super) fn admit(&mut self, tat: u64, floor: u64) {
        self.ledger.compare(self.tat, floor);
        self.tat = tat;
    }

    pub(super) fn grant(&self, cost: u64) -> Grant {
        Grant { cost, receipt: self.receipt() }
    }

    fn receipt(&self) -> Receipt {
        self.ledger.receipt(self.frame.scale().per_permit)
    }

    /// The cost of a charge in ticks, if the word can take it.
    pub(crate) fn cost_of_charge(&self, permits: Permits) -> Result<u64, ChargeError> {
        let per_permit = self.frame.scale().per_permit;
        let cost = u64::try_from(permits.ticks(per_permit)).unwrap_or(u64::MAX);
        let too_deep = |most| ChargeError::DebtTooDeep { requested: permits, most: most / per_permit };
        self.has_room_for(cost).map(|()| cost).map_err(too_deep)
    }

    /// Whether the word can take `cost` ticks. The error is the most that it can.
    fn has_room_for(&self, cost: u64) -> Result<(), u64> {
        if charged(self.tat, self.now, cost).is_some() {
            return Ok(());
        }
        // A new frame with base zero has the most room.
        let ahead = self.tat.saturating_sub(self.now);
        let (_, fresh) = self.next_frame(*self.frame.scale(), MAX_TAT, 0);
        let most = (MAX_TAT - fresh).saturating_sub(ahead);
        if cost > most { Err(most) } else { Ok(()) }
    }

    /// Adds `cost` ticks even if they do not conform. The error is the most ticks that the word can take.
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), u64> {
        if cost == 0 {
            return Ok(());
        }
        self.has_room_for(cost)?;
        if charged(self.tat, self.now, cost).is_none() {
            let ahead = self.tat.saturating_sub(self.now);
            self.highest = MAX_TAT;
            self.reframe(*self.frame.scale(), ahead.into());
        }
        self.ledger.compare(self.tat, self.now);
        self.tat = self.tat.max(self.now) + cost;
        self.recheck = true;
        self.change_times();
        Ok(())
    }

    /// The waiters are due at other times.
    const fn change_times(&mut self) {
        self.times_have_changed |= !self.list.is_empty();
    }

    /// The clock reading at which a debt is paid.
    pub(crate) fn paid_ns(&self) -> u64 {
        self.frame.conforms_at(self.tat.into())
    }

    /// Gives `ticks` back, at most until the bucket is full.
    pub(crate) fn refund(&mut self, ticks: u64) {
        if self.lower(ticks) {
            self.ledger.note(self.tat - self.now);
        }
    }

    /// Lowers the TAT by `ticks`, but not below now. Returns whether it was above now.
    fn lower(&mut self, ticks: u64) -> bool {
        let above = self.tat > self.now;
        if above {
            self.tat = self.tat.saturating_sub(ticks).max(self.now);
        }
        self.change_times();
        above
    }

    /// Moves parked permits into the word for a request that lacks `short` ticks. `take(n)` removes up to n millionths
    /// from the slots and returns how many. Returns whether any moved.
    pub(crate) fn reclaim(&mut self, short: u64, take: impl FnOnce(u64) -> u64) -> bool {
        let scale = *self.frame.scale();
        // Rounded up, so that a request that gets all that it lacks does not lack a tick.
        let millionths = |ticks: u64| {
            let all = (u128::from(ticks) * u128::from(Permits::MILLION)).div_ceil(scale.per_permit.into());
            u64::try_from(all).unwrap_or(u64::MAX).min(MOST_PARKED)
        };
        // Whole permits, if they do not overflow the bucket.
        let wanted = millionths(short).next_multiple_of(Permits::MILLION);
        let taken = take(wanted.min(millionths(self.tat.saturating_sub(self.now))));
        if taken > 0 {
            self.lower(scale.parked(taken));
        }
        taken > 0
    }

    /// Makes the bucket full again.
    pub(crate) fn reset(&mut self) {
        self.tat = self.tat.min(self.now);
        self.change_times();
        self.ledger.close();
    }

    /// Sets the level to `permits`, or to a full burst if that is less.
    pub(crate) fn set_level(&mut self, permits: u64) {
        let scale = self.frame.scale();
        let level = u128::from(permits) * u128::from(scale.per_permit);
        let missing = u128::from(scale.limit).saturating_sub(level);
        self.set_missing(missing as u64);
    }

    /// Sets the level to `missing` ticks less than a full burst, at most to an empty bucket.
    fn set_missing(&mut self, missing: u64) {
        let missing = if self.quota.is_unlimited() { 0 } else { missing.min(self.frame.scale().limit) };
        self.tat = self.now + missing;
        self.ledger.close();
        // Waiters may be due later.
        self.recheck = true;
        self.change_times();
    }

    /// Restores a level of `missing` ticks less than a full burst, which may be a debt. The error is the most ticks of
    /// debt that the word can hold.
    pub(crate) fn restore(&mut self, missing: u64) -> Result<(), u64> {
        self.set_missing(missing);
        self.charge(missing.saturating_sub(self.frame.scale().limit))
    }

    /// The ticks that are missing from the whole burst, and what is left of a pause that is not for good.
    pub(crate) fn missing(&self) -> (u64, u64) {
        let scale = self.frame.scale();
        let full = i128::from(self.quota.burst()) * i128::from(scale.per_permit);
        let missing = full - i128::from(scale.level(self.tat, self.now));
        let paused_ns = self.pause_ends_ns.saturating_sub(self.now_ns);
        (missing.clamp(0, MAX_TAT.into()) as u64, paused_ns)
    }

    /// Gives an unused grant back, except for what would have overflowed since. Returns whether anything went back.
    pub(crate) fn give_back(&mut self, grant: Grant) -> bool {
        let returnable = self.returnable(&grant);
        self.ledger.shrink(&grant.receipt, returnable);
        self.tat -= returnable;
        if returnable > 0 {
            self.change_times();
        }
        returnable > 0
    }

    /// Whether all of a grant can still go back.
    pub(crate) fn is_whole(&mut self, grant: &Grant) -> bool {
        self.returnable(grant) == grant.receipt.convert(grant.cost, self.frame.scale().per_permit)
    }

    /// Replaces a whole grant with one dated now.
    pub(crate) fn renew(&mut self, grant: Grant) -> Grant {
        let cost = self.returnable(&grant);
        self.give_back(grant);
        if cost > 0 {
            self.admit(self.tat.max(self.floor) + cost, self.floor);
        }
        self.grant(cost)
    }

    fn returnable(&mut self, grant: &Grant) -> u64 {
        self.ledger.compare(self.tat, self.floor);
        let returnable = self.ledger.returnable(grant.cost, &grant.receipt, self.frame.scale().per_permit);
        returnable.min(self.tat.saturating_sub(self.floor))
    }
}
