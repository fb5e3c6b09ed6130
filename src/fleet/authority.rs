//! What the server is asked, and what it answers: exact GCRA in a script (`script.lua`).
//!
//! # Numbers
//! A script counts in doubles, in which integers below 2^53 are exact. So it counts in integers: a time is a number of
//! whole microseconds, and a number of *parts*, of which `parts` make a microsecond. A quota of N permits per P
//! nanoseconds, in lowest terms of `1000 N` and `P`, has `parts = 1000 N` and a cost of `P` parts for each permit. So each
//! decision equals that of the exact rational model at the server's time in microseconds, and nothing drifts. There is no
//! error to bound, but there are three sizes to keep, which [`Terms::new`] checks:
//!
//! 1. `2 * burst * cost + furthest * parts < 2^53`: the sums of parts, with what is booked ahead.
//! 2. a full refill takes at most 2^50 us (35 years), so that a time is below 2^53 until the year 2077, though the fleet is
//!    paused and a refill is booked.
//! 3. a pause lasts at most 2^51 us (71 years), for the same reason.
//!
//! A grant may take several permits of a key, its *amount*. Then `most * amount` is at most the burst, so a grant is at most
//! `burst * cost` parts, and rule 1 holds for its sums as well. The quota alone makes cost and parts: they, and not the
//! amount, are stored with the level, and tell whether the quota has changed.
//!
//! Only a change of quota converts a time by a quotient; it rounds up to a microsecond, for or against nobody by more than a
//! double's last digit.
//!
//! # Booking ahead
//! A member that lacks permits asks for `most` and needs `least`. If `most` are there, it gets them. Otherwise the script
//! finds a size: half of what is left of a *horizon* of time, which all members give alike, but at least `least`, and at most
//! `most`. If that many are there, it grants all that are there. Otherwise it books that many: it moves the TAT beyond what
//! the burst allows now, and tells the wait until it would allow it. So:
//!
//! - Members are served in the order of their calls, and a large request takes its time and is not overtaken.
//! - The share of k members that always want more settles at `horizon / (k + 1)` of the rate, the same for all: each
//!   books half of what the others leave, and nobody needs to know k.
//! - Nothing is booked if what is booked before it takes longer than `furthest`: eight refills and at least a second, unless
//!   the numbers are too small for that. Then a member asks again.
//!
//! With a horizon of zero, nothing is booked: a member asks so for permits in advance, and
//! [`StoreLimits`](super::StoreLimits) for all.
//!
//! # What comes back
//! Permits of a lease come back as far as their place in the bucket is later than every time for which permits were granted
//! or booked since, less all that came back since. (Without the second part, or without the bookings of others in the first,
//! a random model admits too much: a booking keeps its time when one before it is given back.)
//!
//! Permits of no lease come back as far as the bucket is not full. They count with what came back, so leases of the same
//! bucket come back by so much less.

use core::time::Duration;

use super::error::FleetError;
use crate::{gcra::gcd, quota::Quota};

/// Integers below this one are exact in a double.
const EXACT: u128 = 1 << 53;

const LONGEST_REFILL_US: u128 = 1 << 50;

/// So many refills may be booked, or permits of a second, but at most those of a day.
const BOOKED_REFILLS: u128 = 8;
const LEAST_BOOKED_US: u128 = 1_000_000;
const MOST_BOOKED_US: u128 = 86_400_000_000;

pub(super) const LONGEST_PAUSE_US: u64 = 1 << 51;

/// In microseconds, rounded up.
pub(super) fn pause_us(pause: Duration) -> Result<u64, FleetError> {
    let us = u64::try_from(pause.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
    if us > LONGEST_PAUSE_US { Err(FleetError::Duration(pause)) } else { Ok(us) }
}

/// A quota in the numbers of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// The parts of a permit.
    pub(super) cost: u64,
    /// The parts of a microsecond.
    pub(super) parts: u64,
    /// In permits.
    pub(super) burst: u64,
    /// How far ahead permits are booked: when the last one before them is there.
    pub(super) furthest_us: u64,
}

impl Terms {
    /// The rate of `quota`, with another burst.
    pub(super) fn new(quota: &Quota, burst: u64) -> Result<Self, FleetError> {
        let (permits, period_ns) = quota.rate();
        let per_us = u128::from(permits) * 1000;
        let common = gcd(per_us, period_ns);
        let (cost, parts) = (period_ns / common, per_us / common);
        // No overflow: the parts are below 2^74, and the period below 2^66.
        let by_sums = (EXACT - 1).saturating_sub(4 * parts) / (2 * cost);
        let by_refill = (LONGEST_REFILL_US * parts + parts - 1) / cost;
        let max_burst = by_sums.min(by_refill);
        if u128::from(burst) > max_burst {
            return Err(FleetError::NotExact { quota: *quota, max_burst: max_burst as u64 });
        }
        let full = u128::from(burst) * cost;
        let wanted_us = (BOOKED_REFILLS * full / parts).clamp(LEAST_BOOKED_US, MOST_BOOKED_US);
        let furthest_us = wanted_us.min((EXACT - 1 - 2 * full) / parts - 3) as u64;
        Ok(Self { cost: cost as u64, parts: parts as u64, burst, furthest_us })
    }

    /// How long `permits` take at the full rate, in microseconds, rounded up.
    pub(super) fn duration_us(&self, permits: u64) -> u64 {
        let us = (u128::from(permits) * u128::from(self.cost)).div_ceil(u128::from(self.parts));
        u64::try_from(us).unwrap_or(u64::MAX)
    }

    /// The longest wait for what is booked, or a little more.
    pub(super) const fn latest_us(&self) -> u64 {
        // No overflow: a refill is below 2^51 us.
        self.furthest_us + (self.burst as u128 * self.cost as u128 / self.parts as u128) as u64 + 2
    }
}

/// Where a lease ended in the server's bucket: needed to give it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) epoch: u64,
    pub(super) end_us: u64,
    pub(super) end_parts: u64,
    pub(super) lowered: u64,
}

impl Receipt {
    /// Of no lease. The script gives no lease this epoch.
    pub(super) const NONE: Self = Self { epoch: 0, end_us: 0, end_parts: 0, lowered: 0 };
}

/// What a call wants of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) terms: Terms,
    /// The permits for each one of the [`Exchange`]; at most the burst. A limit with zero refuses nothing, and only tells.
    pub(super) amount: u64,
}

impl From<Terms> for Demand {
    fn from(terms: Terms) -> Self {
        Self { terms, amount: 1 }
    }
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    /// Take up to so many permits,
    pub(super) most: u64,
    /// but at least so many, which is at least one. With a `most` of zero, nothing is taken.
    pub(super) least: u64,
    /// Book within this time, in microseconds, or not at all if it is zero.
    pub(super) horizon_us: u64,
    /// And only if `least` are there within this time, in microseconds.
    pub(super) patience_us: u64,
    /// First give back so many, of one lease, or of none by [`Receipt::NONE`].
    pub(super) back: Option<(u64, Receipt)>,
    /// And pause everybody for so many microseconds, or zero.
    pub(super) pause_us: u64,
}

impl Exchange {
    pub(super) const fn take(most: u64) -> Self {
        Self { most, least: 1, horizon_us: 0, patience_us: u64::MAX, back: None, pause_us: 0 }
    }
}

/// The answer to an [`Exchange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) granted: u64,
    /// Until all that was granted of this limit is there; or, if nothing was, until it is worth asking again.
    pub(super) wait: Duration,
    /// The whole permits that are left.
    pub(super) level: u64,
    pub(super) receipt: Receipt,
    /// How long the fleet is still paused.
    pub(super) paused: Duration,
}

/// The arguments of the script.
pub(super) fn arguments(exchange: &Exchange, demands: &[Demand]) -> Vec<u64> {
    let Exchange { most, least, horizon_us, patience_us, back, pause_us } = *exchange;
    let (back, receipt) = back.unwrap_or_default();
    // No wait is as long as that.
    let patience_us = patience_us.min(1 << 52);
    let mut arguments = vec![most, least, horizon_us, patience_us, pause_us];
    for Demand { terms, amount } in demands {
        let Terms { cost, parts, burst, furthest_us } = *terms;
        let Receipt { epoch, end_us, end_parts, lowered } = receipt;
        arguments.extend([cost, parts, burst, furthest_us, *amount]);
        arguments.extend([back, epoch, end_us, end_parts, lowered]);
    }
    arguments
}

/// The reply of the script for each limit. `None` if it has another form.
pub(super) fn answers(reply: &[u64]) -> Option<Vec<Answer>> {
    let (&granted, limits) = reply.split_first()?;
    let answer = |limit: &[u64]| {
        let &[wait_us, level, epoch, end_us, end_parts, lowered, paused_us] = limit else { return None };
        Some(Answer {
            granted,
            wait: Duration::from_micros(wait_us),
            level,
            receipt: Receipt { epoch, end_us, end_parts, lowered },
            paused: Duration::from_micros(paused_us),
        })
    };
    limits.chunks(7).map(answer).collect()
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
