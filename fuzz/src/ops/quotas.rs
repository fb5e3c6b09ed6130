//! The quotas of the calls that do not wait.

use std::time::Duration;

use arbitrary::Arbitrary;
use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::ToPrimitive;
use tidegate::{Inherit, Quota};

use super::super::{
    inherit,
    oracle::{MILLION, grain, inexact_ticks},
};

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Period {
    /// Millionths of a permit are exact then.
    Milliseconds(u16),
    Nanoseconds(u32),
}

/// Another quota.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Change {
    inherit: u8,
    rate: Rate,
    burst: u16,
    initial: u16,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Rate {
    Same,
    Plain(u16, Period),
    /// Above a million a second, where most scales are not exact.
    Fast(u32),
}

impl Change {
    /// The quota, and what becomes of the level.
    pub(super) fn from(self, from: Quota) -> Option<(Quota, Inherit)> {
        let rate = match self.rate {
            Rate::Same => Some(from),
            Rate::Plain(permits, period) => plain(permits, period),
            Rate::Fast(more) => Some(Quota::per_second(1_000_001 + u64::from(more))),
        };
        Some((with_burst(rate?, self.burst, self.initial), inherit(self.inherit)))
    }
}

impl Period {
    fn ns(self) -> u64 {
        match self {
            Self::Milliseconds(n) => (u64::from(n) + 1) * 1_000_000,
            Self::Nanoseconds(n) => u64::from(n) + 1,
        }
    }
}

/// Up to a thousand permits a period.
pub(super) fn plain(permits: u16, period: Period) -> Option<Quota> {
    Quota::try_new(u64::from(permits) % 1000 + 1, Duration::from_nanos(period.ns())).ok()
}

pub(super) fn with_burst(quota: Quota, burst: u16, initial: u16) -> Quota {
    let burst = u64::from(burst) % 1000 + 1;
    quota.with_initial(0).with_burst(burst).with_initial(u64::from(initial) % (burst + 1))
}

/// The smallest amount that is a whole number of ticks, in millionths; whether the scale is not exact.
pub(super) fn finest(quota: &Quota) -> (u64, bool) {
    if let Some(grain) = grain(quota) {
        return (MILLION / grain, false);
    }
    let ticks = inexact_ticks(quota).expect("a small quota");
    (MILLION / ticks.gcd(&MILLION), true)
}

/// How long an empty bucket takes to fill, rounded up.
pub(super) fn fill_ns(quota: &Quota) -> u64 {
    pay_ns(quota, (quota.burst() * MILLION).into())
}

/// How long so many millionths take to come, rounded up.
pub(super) fn pay_ns(quota: &Quota, millionths: BigInt) -> u64 {
    let ns = Integer::div_ceil(
        &(millionths * quota.period().as_nanos()),
        &BigInt::from(u128::from(quota.permits()) * u128::from(MILLION)),
    );
    ns.to_u64().unwrap_or(u64::MAX)
}

/// How many millionths come in that time, rounded up.
pub(super) fn earned(quota: &Quota, ns: u64) -> BigInt {
    let millionths = BigInt::from(u128::from(quota.permits()) * u128::from(MILLION)) * ns;
    Integer::div_ceil(&millionths, &BigInt::from(quota.period().as_nanos()))
}
