//! The decision, as pure functions: no atomics, no clock.
//!
//! This is the generic cell rate algorithm (GCRA; ITU-T I.371, ATM Forum TM 4.1) in its virtual scheduling form. Its
//! state is one number, the theoretical arrival time (TAT), counted in *ticks*.
//!
//! # The time scale
//! A quota of N permits per P nanoseconds, in lowest terms, has its own scale, with `c` whole ticks per permit. So
//! costs and bursts are whole numbers. There are `R = c * N / P` ticks per nanosecond. Only *now* is converted, always
//! from the origin, so errors do not accumulate.
//!
//! - **Exact scale**: `c = P * k`, so `R = N * k` is a whole number, and `now` is one multiplication. Every decision
//!   equals that of the exact rational model. `k` makes a millionth of a permit whole ticks too, or else a thousandth,
//!   or a tenth.
//! - **Inexact scale**, if an exact one has no room for an hour and two bursts (N above about 1.2 million, or a burst
//!   that takes decades to fill): `c` is as large as the word allows for 10 years, and `now` is floored. A decision
//!   differs from the exact one by less than one tick. Each move of the origin adds less than a tick. `R` is rounded up
//!   in its 64th binary place, so that a whole number of ticks is never floored to the one before.
//!
//! # Bounds
//! 1. `limit = burst * c`, and `2 * limit + R * 1 hour <= MAX_TAT`.
//! 2. `now <= MAX_TAT - 2 * limit` for every clock reading within the horizon of a frame.
//! 3. An admission leaves `tat <= now + limit`, so that a charge of a full burst always has room.

use core::{num::NonZeroU64, time::Duration};

use crate::{
    error::{NotYet, QuotaError},
    permits::Permits,
    quota::Quota,
};

/// The largest theoretical arrival time: 62 bits of the word.
pub(crate) const MAX_TAT: u64 = u64::MAX >> 2;

/// How far apart the clock readings of two threads may be, in nanoseconds. A reading further behind is a step back.
pub(crate) const SKEW_NS: u64 = 1_000_000;

/// The shortest horizon of a scale, in nanoseconds: one hour.
pub(crate) const MIN_HORIZON_NS: u64 = 3_600_000_000_000;

/// The horizon of an inexact scale, in nanoseconds: 10 years of 365.25 days.
const LONG_HORIZON_NS: u128 = 315_576_000_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// Ticks per permit: `c`.
    pub(crate) per_permit: u64,
    /// Ticks per full burst.
    pub(crate) limit: u64,
    /// Whole ticks per nanosecond.
    pub(crate) rate_whole: u64,
    /// The fraction of a tick per nanosecond, in units of 2^-64 ticks, rounded up.
    pub(crate) rate_fraction: u64,
    /// The catch-up in ticks, at most `MAX_TAT`.
    pub(crate) catch_up: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It conforms; the new theoretical arrival time.
    Admit(u64),
    /// It conforms from this tick on, unless other requests are admitted before.
    NotBefore(u64),
}

/// Decides whether `cost` ticks conform at `now`. An admission is dated at `floor` at the earliest: at `now` in
/// textbook GCRA, at `now - catch_up` for waiters in a busy period.
///
/// The caller ensures that `cost <= limit`. All arguments are at most [`MAX_TAT`].
#[inline]
pub(crate) const fn decide(tat: u64, now: u64, floor: u64, cost: u64, limit: u64) -> Decision {
    let base = if tat > floor { tat } else { floor };
    // No overflow: each is below 2^62.
    let new = base + cost;
    if new <= now + limit { Decision::Admit(new) } else { Decision::NotBefore(new - limit) }
}

impl Scale {
    pub(crate) fn new(quota: &Quota) -> Result<Self, QuotaError> {
        let (permits, period) = quota.rate();
        let burst = u128::from(quota.burst());
        let common = gcd(u128::from(permits), period);
        let (n, p) = (u128::from(permits) / common, period / common);
        let rate = Rate { n, p, burst };
        let (c, exact) = (rate.exact_ticks().map(|c| (c, true)))
            .or_else(|| rate.inexact_ticks().map(|c| (c, false)))
            .ok_or_else(|| rate.too_large(quota))?;
        let ticks = c * n;
        let (rate_whole, rest) = (ticks / p, ticks % p);
        debug_assert!(!exact || rest == 0);
        let mut scale = Self {
            per_permit: c as u64,
            limit: (burst * c) as u64,
            rate_whole: rate_whole as u64,
            rate_fraction: shifted_quotient(rest, p),
            catch_up: 0,
        };
        scale.catch_up = scale.span(quota.catch_up_ns());
        Ok(scale)
    }

    /// The same scale with a burst smaller by `permits`; at least one permit is left.
    pub(crate) const fn without(mut self, permits: u64) -> Self {
        // No overflow: `permits` are part of the burst.
        self.limit -= permits * self.per_permit;
        self
    }

    /// The ticks in `elapsed_ns`, floored. The caller keeps to the horizon of its frame.
    #[inline]
    pub(crate) const fn tick(&self, elapsed_ns: u64) -> u64 {
        // Bound 2: the sum is below 2^62.
        self.rate_whole * elapsed_ns + high_half(elapsed_ns, self.rate_fraction)
    }

    /// Whether each clock reading is a whole number of ticks.
    #[inline]
    pub(crate) const fn is_exact(&self) -> bool {
        self.rate_fraction == 0
    }

    /// The wait for `ticks` from a clock reading on; `None` on an inexact scale. On an exact scale every reading is a
    /// whole number of ticks, so the division is left to the caller that asks for the time.
    #[inline]
    pub(crate) const fn exact_wait(&self, ticks: u64) -> Option<NotYet> {
        match NonZeroU64::new(self.rate_whole) {
            Some(rate) if self.is_exact() => Some(NotYet::in_ticks(ticks, rate)),
            _ => None,
        }
    }

    /// The longest time in which at most `ticks` pass, in nanoseconds; saturates at `u64::MAX`.
    pub(crate) fn longest(&self, ticks: u64) -> u64 {
        let rate = (u128::from(self.rate_whole) << 64) | u128::from(self.rate_fraction);
        let below = (u128::from(ticks) + 1) << 64;
        ((below - 1) / rate).min(u128::from(u64::MAX)) as u64
    }

    /// As [`tick`](Self::tick), also beyond the horizon.
    pub(crate) fn wide_tick(&self, elapsed_ns: u64) -> u128 {
        let whole = u128::from(self.rate_whole) * u128::from(elapsed_ns);
        whole + u128::from(high_half(elapsed_ns, self.rate_fraction))
    }

    /// A span of time in ticks, saturating at [`MAX_TAT`].
    pub(crate) fn span(&self, ns: u64) -> u64 {
        self.wide_tick(ns).min(u128::from(MAX_TAT)) as u64
    }

    /// The first nanosecond after the origin whose tick is at least `tick`; saturates at `u64::MAX`.
    pub(crate) fn reading_at(&self, tick: u64) -> u64 {
        if self.is_exact() {
            return tick.div_ceil(self.rate_whole);
        }
        // In units of 2^-64 ticks. `tick` floors `rate * time`, so the time is rounded up.
        let rate = (u128::from(self.rate_whole) << 64) | u128::from(self.rate_fraction);
        (u128::from(tick) << 64).div_ceil(rate).min(u128::from(u64::MAX)) as u64
    }

    /// The cost of `permits` in ticks; `None` if more than a full burst.
    #[inline]
    pub(crate) fn cost(&self, permits: Permits) -> Option<u64> {
        let ticks = permits.ticks(self.per_permit);
        if ticks <= self.limit as u128 { Some(ticks as u64) } else { None }
    }

    /// The whole permits in `ticks`, up to `most`.
    #[inline]
    pub(crate) const fn whole_permits(&self, ticks: u64, most: u64) -> u64 {
        if most == 0 {
            return 0;
        }
        let there = ticks / self.per_permit;
        if there < most { there } else { most }
    }

    /// Millionths of a permit in ticks, rounded down.
    pub(crate) fn parked(&self, millionths: u64) -> u64 {
        let ticks = u128::from(millionths) * u128::from(self.per_permit) / u128::from(Permits::MILLION);
        ticks.min(u128::from(MAX_TAT)) as u64
    }

    /// The level at `now`, in ticks; negative in debt.
    pub(crate) const fn level(&self, tat: u64, now: u64) -> i64 {
        // No overflow: each is below 2^62.
        self.limit as i64 - tat.saturating_sub(now) as i64
    }
}

/// A rate of `n` permits per `p` nanoseconds in lowest terms, and a burst.
struct Rate {
    n: u128,
    p: u128,
    burst: u128,
}

impl Rate {
    /// The finest exact scale with room for an hour and two bursts.
    fn exact_ticks(&self) -> Option<u128> {
        [1_000_000_u128, 1_000, 10, 1].into_iter().find_map(|grain| {
            let k = grain / gcd(self.p, grain);
            let c = self.p.checked_mul(k)?;
            let rate = self.n.checked_mul(k)?;
            let bursts = self.burst.checked_mul(2)?.checked_mul(c)?;
            let span = bursts.checked_add(rate.checked_mul(MIN_HORIZON_NS.into())?)?;
            (span <= u128::from(MAX_TAT)).then_some(c)
        })
    }

    /// The finest scale with room for 10 years and two bursts.
    fn inexact_ticks(&self) -> Option<u128> {
        // The permits of 10 years, rounded up. No overflow: each factor is below 2^64.
        let permits = (self.n * LONG_HORIZON_NS).div_ceil(self.p).max(1);
        let c = u128::from(MAX_TAT) / (permits + 2 * self.burst);
        (c > 0).then_some(c)
    }

    /// The error if even the coarsest scales (`p` ticks per permit if exact, or one) have no room for two bursts.
    fn too_large(&self, quota: &Quota) -> QuotaError {
        let Self { n, p, .. } = *self;
        let room =
            |horizon: Option<u128>| u128::from(MAX_TAT).saturating_sub(horizon.unwrap_or(u128::MAX)) / 2;
        let exact = room(n.checked_mul(MIN_HORIZON_NS.into())) / p;
        let inexact = room(Some((n * LONG_HORIZON_NS).div_ceil(p).max(1)));
        match exact.max(inexact) as u64 {
            0 => QuotaError::RateTooHigh { permits: quota.permits(), period: quota.period() },
            max => QuotaError::BurstTooDeep { burst: quota.burst(), max },
        }
    }
}

/// `(elapsed * fraction) >> 64`.
#[inline]
const fn high_half(elapsed: u64, fraction: u64) -> u64 {
    ((elapsed as u128 * fraction as u128) >> 64) as u64
}

pub(crate) const fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// `ceil(rest * 2^64 / p)` for `rest < p`, saturating at 2^64 - 1, by long division.
fn shifted_quotient(rest: u128, p: u128) -> u64 {
    let (mut quotient, mut rest) = (0_u64, rest);
    for _ in 0..64 {
        // p < 2^66, so doubling the rest cannot overflow.
        rest *= 2;
        quotient <<= 1;
        if rest >= p {
            rest -= p;
            quotient |= 1;
        }
    }
    if rest == 0 { quotient } else { quotient.saturating_add(1) }
}

pub(crate) const fn nanos(ns: u64) -> Duration {
    Duration::from_nanos(ns)
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
