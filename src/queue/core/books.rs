//! What changes the TAT: taking permits, charging, and giving back.

use super::{Caller, Core, MOST_PARKED};
use crate::{
    error::{Denied, TooMany},
    frame::Frame,
    gcra::{Decision, MAX_TAT, decide},
    meter::charged,
    permits::Permits,
    queue::{entry::Grant, ledger::Receipt},
};

impl Core {
    /// What so many permits cost.
    pub(crate) fn cost(&self, permits: Permits) -> Result<u64, Denied> {
        match self.frame.scale().cost(permits) {
            Some(cost) if !self.is_above_deferred(permits) => Ok(cost),
            _ => Err(TooMany::new(permits, self.quota.burst(), self.largest_request()).into()),
        }
    }

    /// Takes `cost` ticks if they conform; else from which tick on they do. The caller has found the queue empty.
    pub(crate) fn take(&mut self, cost: u64, caller: Caller) -> Result<Grant, u64> {
        // Nothing can be had at any time, and is compared with no time.
        if cost > 0 {
            let floor = self.floor_of(caller);
            match decide(self.tat, self.now, floor, cost, self.frame.scale().limit) {
                Decision::Admit(tat) => self.admit(tat, floor),
                Decision::NotBefore(tick) => return Err(tick),
            }
        }
        Ok(self.grant(cost))
    }

    pub(super) fn admit(&mut self, tat: u64, floor: u64) {
        self.ledger.compare(self.tat, floor);
        self.tat = tat;
    }

    /// What the latest admission leaves.
    pub(super) fn grant(&self, cost: u64) -> Grant {
        Grant { cost, receipt: self.receipt() }
    }

    fn receipt(&self) -> Receipt {
        self.ledger.receipt(self.frame.scale().per_permit)
    }

    /// Adds `cost` ticks without asking. The error is the most ticks that the word can take.
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), u64> {
        if cost == 0 {
            return Ok(());
        }
        if charged(self.tat, self.now, cost).is_none() {
            // Late in the life of the frame there may be less room than the first numbers offer.
            let ahead = self.tat.saturating_sub(self.now);
            let (_, fresh) = Frame::next(*self.frame.scale(), self.now_ns, MAX_TAT, 0);
            let most = (MAX_TAT - fresh).saturating_sub(ahead);
            if cost > most {
                return Err(most);
            }
            self.highest = MAX_TAT;
            self.reframe(*self.frame.scale(), ahead.into());
        }
        self.ledger.compare(self.tat, self.now);
        self.tat = self.tat.max(self.now) + cost;
        self.recheck = true;
        Ok(())
    }

    /// When there is no debt any more: the clock reading.
    pub(crate) fn paid_ns(&self) -> u64 {
        self.frame.conforms_at(self.tat.into())
    }

    /// Gives so many ticks back, up to a full burst.
    pub(crate) fn refund(&mut self, ticks: u64) {
        if self.lower(ticks) {
            self.ledger.note(self.tat - self.now);
        }
    }

    /// Lowers the TAT by so many ticks, but not below the present. Whether it was above.
    fn lower(&mut self, ticks: u64) -> bool {
        let above = self.tat > self.now;
        if above {
            self.tat = self.tat.saturating_sub(ticks).max(self.now);
        }
        above
    }

    /// Moves what is parked to the word, as far as a request calls for it that falls short by so many ticks: `take` takes
    /// up to so many millionths of a permit. Whether there was anything.
    pub(crate) fn reclaim(&mut self, short: u64, take: impl FnOnce(u64) -> u64) -> bool {
        let scale = *self.frame.scale();
        // Rounded up: a request that is given all that it needs must not be left short of a tick.
        let millionths = |ticks: u64| {
            let all = (u128::from(ticks) * u128::from(Permits::MILLION)).div_ceil(scale.per_permit.into());
            u64::try_from(all).unwrap_or(u64::MAX).min(MOST_PARKED)
        };
        // In whole permits, if that does not overflow the bucket.
        let wanted = millionths(short).next_multiple_of(Permits::MILLION);
        let taken = take(wanted.min(millionths(self.tat.saturating_sub(self.now))));
        self.lower(scale.parked(taken));
        taken > 0
    }

    /// Makes the burst full again.
    pub(crate) fn reset(&mut self) {
        self.tat = self.tat.min(self.now);
        self.ledger.close();
    }

    /// Gives a grant back that was not used, as far as it would not have overflowed since. Whether that is anything.
    pub(crate) fn give_back(&mut self, grant: Grant) -> bool {
        let good = self.good(&grant);
        self.ledger.shrink(&grant.receipt, good);
        self.tat -= good;
        good > 0
    }

    /// Whether all of a grant can still go back.
    pub(crate) fn is_whole(&mut self, grant: &Grant) -> bool {
        self.good(grant) == grant.receipt.convert(grant.cost, self.frame.scale().per_permit)
    }

    /// Dates a grant that is whole anew: as if it had gone back, and were made now.
    pub(crate) fn renew(&mut self, grant: Grant) -> Grant {
        let cost = self.good(&grant);
        self.give_back(grant);
        // As in `take`.
        if cost > 0 {
            self.admit(self.tat.max(self.floor) + cost, self.floor);
        }
        self.grant(cost)
    }

    fn good(&mut self, grant: &Grant) -> u64 {
        self.ledger.compare(self.tat, self.floor);
        let good = self.ledger.good(grant.cost, &grant.receipt, self.frame.scale().per_permit);
        good.min(self.tat.saturating_sub(self.floor))
    }
}
