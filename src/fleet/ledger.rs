//! How leases reach the limiter: the one place that moves its level and its cover, so that it accrues no more than was
//! leased. See the head of `fleet.rs`.

use core::time::Duration;
use std::sync::Arc;

use super::{
    books::{NANOS, Rates, Seen},
    clock::{Cover, LeaseClock},
    error::FleetError,
    mail::Mail,
};
use crate::{
    clock::Clock,
    gcra::{Scale, gcd},
    limiter::RateLimiter,
    permits::Permits,
    quota::Quota,
};

#[derive(Debug)]
pub(super) struct Ledger<C: Clock> {
    limiter: RateLimiter<LeaseClock<Arc<C>>>,
    base: Arc<C>,
    cover: Arc<Cover>,
    rates: Rates,
    /// Paid, and too little to be moved: below a millionth of a permit. In the units of the rates.
    carried: i128,
    /// The reading at which the pause of the limiter ends.
    paused_until_ns: u64,
}

/// Levels move by millionths, and what is less is carried. Without so many millionths at the start, the level would lack what
/// is carried of the permit that it holds, and a waiter would wait for that. (Giving leases up an eighth early leaves room.)
const START: i128 = 2;

impl<C: Clock> Ledger<C> {
    /// A limiter that has nothing, and whose clock stands. Leases may be booked so far ahead.
    pub(super) fn new(
        quota: &Quota,
        burst: u64,
        booked_us: u64,
        base: Arc<C>,
        mail: Arc<Mail>,
        call_timeout: Duration,
    ) -> Result<Self, FleetError> {
        let (permits, period_ns) = quota.rate();
        let common = gcd(permits.into(), period_ns);
        // At most `permits`.
        let permits = (u128::from(permits) / common) as u64;
        let not_exact = || FleetError::NotExact { quota: *quota, max_burst: 0 };
        let period_ns = u64::try_from(period_ns / common).map_err(|_| not_exact())?;
        let rates = Rates { permits, period_ns };
        let plain =
            Quota::try_new(permits, Duration::from_nanos(period_ns))?.try_with_catch_up(quota.catch_up())?;
        // The limiter can owe what is booked ahead.
        let ahead = rates.accrual(booked_us.saturating_mul(1000)) / rates.permit();
        let debt = u64::try_from(ahead).unwrap_or(u64::MAX).saturating_add(burst).saturating_add(2);
        debt.checked_mul(Permits::MILLION).ok_or_else(not_exact)?;
        Scale::new(&plain.try_with_burst(debt)?)?;
        let cover = Cover::new(base.now());
        let clock = LeaseClock::new(Arc::clone(&base), Arc::clone(&cover), mail, call_timeout);
        let start = plain.try_with_burst(burst)?.try_with_initial(0)?;
        let limiter = RateLimiter::try_with_clock(start, clock)?;
        let carried = rates.millionth() * START;
        Ok(Self { limiter, base, cover, rates, carried, paused_until_ns: 0 })
    }

    pub(super) const fn limiter(&self) -> &RateLimiter<LeaseClock<Arc<C>>> {
        &self.limiter
    }

    pub(super) const fn cover(&self) -> &Arc<Cover> {
        &self.cover
    }

    /// What a look at the limiter finds.
    pub(super) fn see(&self) -> Seen {
        let now_ns = self.base.now();
        let (level, queued, first) = Cover::quietly(|| self.limiter.driver().depth());
        let (reading_ns, until_ns) = self.cover.reading(self.base.now());
        let pending = self.rates.accrual(until_ns - self.after_pause(reading_ns).min(until_ns));
        Seen { now_ns, level, queued, first, pending: pending * NANOS / self.rates.permit() }
    }

    /// How much longer the clock can run.
    pub(super) fn covered_ns(&self) -> u64 {
        let (reading_ns, until_ns) = self.cover.reading(self.base.now());
        until_ns - reading_ns
    }

    fn after_pause(&self, reading_ns: u64) -> u64 {
        reading_ns.max(self.paused_until_ns)
    }

    /// Books `permits`, and covers at least the next `ahead_ns`. What the limiter accrues in that time and what its level is
    /// moved by come to exactly `permits`.
    pub(super) fn book(&mut self, permits: u64, ahead_ns: u64) {
        Cover::quietly(|| self.book_quietly(permits, ahead_ns));
    }

    fn book_quietly(&mut self, permits: u64, ahead_ns: u64) {
        let (reading_ns, until_ns) = self.cover.go_on(self.base.now());
        let from_ns = self.after_pause(reading_ns);
        let left_ns = until_ns.saturating_sub(from_ns);
        let paid = self.carried + i128::from(permits) * self.rates.permit() + self.rates.accrual(left_ns);
        let ahead_ns = ahead_ns.max(left_ns);
        let cost = self.rates.accrual(ahead_ns);
        let short = self.millionths_up(cost - paid);
        if short > 0 && self.limiter.charge(Permits::of_millionths(short)).is_err() {
            // So deep a debt is not known to happen: see `new`. The lease is lost, so that it is not used too early.
            return;
        }
        self.carried = paid - cost + self.units_of(short);
        let surplus = (self.carried / self.rates.millionth()).max(0) as u64;
        if surplus > 0 {
            // Of an amount in millionths, no refund fails.
            let _ = self.limiter.refund(Permits::of_millionths(surplus));
            self.carried -= self.units_of(surplus);
        }
        self.cover.extend(from_ns.saturating_add(ahead_ns));
    }

    /// Takes away what has been given up, in nanos.
    pub(super) fn withdraw(&mut self, nanos: i128) {
        let units = div_up(nanos.max(0) * self.rates.permit(), NANOS);
        let short = self.millionths_up(units - self.carried);
        // A debt of what the limiter holds or is to accrue is within its burst, which always has room.
        if Cover::quietly(|| self.limiter.charge(Permits::of_millionths(short))).is_ok() {
            self.carried += self.units_of(short) - units;
        }
    }

    /// Pauses the limiter for `pause_ns` from now on. Its clock goes on meanwhile; nothing accrues.
    pub(super) fn pause(&mut self, pause_ns: u64) {
        let (reading_ns, until_ns) = self.cover.go_on(self.base.now());
        let end_ns = reading_ns.saturating_add(pause_ns);
        if end_ns <= self.paused_until_ns.saturating_add(SAME_NS) {
            return;
        }
        Cover::quietly(|| self.limiter.pause_until(end_ns));
        // What is left of the cover comes after the pause. Read again: what was accrued until the pause began is gone.
        let (reading_ns, _) = self.cover.reading(self.base.now());
        let left_ns = until_ns.saturating_sub(self.after_pause(reading_ns));
        self.paused_until_ns = end_ns;
        self.cover.extend(end_ns.saturating_add(left_ns));
    }

    /// In millionths of a permit, rounded up; zero for a negative amount.
    fn millionths_up(&self, units: i128) -> u64 {
        u64::try_from(div_up(units.max(0), self.rates.millionth())).unwrap_or(u64::MAX)
    }

    fn units_of(&self, millionths: u64) -> i128 {
        i128::from(millionths) * self.rates.millionth()
    }
}

/// Two answers tell the end of one pause so far apart at most.
const SAME_NS: u64 = 2_000_000;

/// Of numbers that are not negative.
const fn div_up(n: i128, by: i128) -> i128 {
    (n + by - 1) / by
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
