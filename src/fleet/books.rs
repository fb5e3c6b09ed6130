//! The books of a member: what it was granted, what its limiter accrues for it, and how much it asks for. Pure numbers.
//!
//! Amounts are in *nanos*: thousand-millionths of a permit.

use core::time::Duration;
use std::collections::VecDeque;

use super::authority::Receipt;
use crate::permits::Permits;

/// A permit.
pub(super) const NANOS: i128 = 1_000_000_000;

const MILLION: i128 = Permits::MILLION as i128;

/// What rounding may leave behind.
const TRIFLE: i128 = NANOS / 100_000;

/// The fleet's rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Permits per `period_ns`.
    pub(super) permits: u64,
    pub(super) period_ns: u64,
}

impl Rates {
    /// What accrues in `ns`, in units of which [`permit`](Self::permit) are a permit: exact.
    pub(super) fn accrual(&self, ns: u64) -> i128 {
        // A cover is at most what is booked ahead, and a limiter that cannot owe that is refused.
        i128::from(self.permits).saturating_mul(i128::from(ns)).saturating_mul(MILLION)
    }

    /// The units of a millionth.
    pub(super) fn millionth(&self) -> i128 {
        i128::from(self.period_ns)
    }

    /// The units of a permit.
    pub(super) fn permit(&self) -> i128 {
        self.millionth() * MILLION
    }
}

/// The times that follow from the quota.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names, reason = "all are times")]
pub(super) struct Pace {
    /// How long a lease is valid.
    pub(super) ttl_ns: u64,
    /// The demand of so long makes a lease. Leases are booked within twice that time.
    pub(super) lease_ns: u64,
    /// How often an active member looks.
    pub(super) look_ns: u64,
}

impl Pace {
    pub(super) const fn of_ttl(ttl: Duration) -> Self {
        let ttl_ns = ttl.as_nanos() as u64;
        let lease_ns = if ttl_ns / 4 < MOST_LEASE_NS { ttl_ns / 4 } else { MOST_LEASE_NS };
        let lease_ns = if lease_ns < LEAST_LEASE_NS { LEAST_LEASE_NS } else { lease_ns };
        Self { ttl_ns, lease_ns, look_ns: lease_ns / 4 }
    }

    /// When a lease is given up: early enough that a look that is late by one interval still is in time.
    const fn given_up_ns(&self) -> u64 {
        self.ttl_ns - self.ttl_ns / 8
    }
}

/// A tenth of a second of demand.
const MOST_LEASE_NS: u64 = 100_000_000;

/// Timers tick in milliseconds.
const LEAST_LEASE_NS: u64 = 4_000_000;

#[derive(Clone, Copy, Debug)]
struct Lease {
    /// When what is left of it is given up.
    until_ns: u64,
    permits: u64,
    /// `None`: of the local share.
    receipt: Option<Receipt>,
}

/// What was given up, of one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) permits: u64,
    pub(super) receipt: Receipt,
}

/// What a member knows of its limiter at a look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// By the base clock.
    pub(super) now_ns: u64,
    pub(super) level: i128,
    /// What all waiters ask for, and what the first asks for.
    pub(super) queued: i128,
    pub(super) first: i128,
    /// What the limiter is still to accrue under its cover.
    pub(super) pending: i128,
}

impl Seen {
    pub(super) const fn held(&self) -> i128 {
        self.level + self.pending
    }
}

/// What a member asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// Nothing, if it is zero.
    pub(super) most: u64,
    pub(super) least: u64,
    /// Whether a caller lacks permits now.
    pub(super) is_missing: bool,
}

#[derive(Debug)]
pub(super) struct Books {
    pace: Pace,
    leases: VecDeque<Lease>,
    /// All that was ever granted, less what was given up.
    granted: i128,
    used: i128,
    looked_ns: u64,
    /// Permits per second: of late, and over a lease's life.
    demand: f64,
    slow_demand: f64,
    /// The permits that the member wants to hold beside those that waiters ask for.
    target: f64,
}

impl Books {
    pub(super) fn new(pace: Pace, now_ns: u64) -> Self {
        Self {
            pace,
            leases: VecDeque::new(),
            granted: 0,
            used: 0,
            looked_ns: now_ns,
            demand: 0.0,
            slow_demand: 0.0,
            target: 0.0,
        }
    }

    /// How much of what is held is older than a lease may be. What is used first was granted first, so a member holds at
    /// most what it was granted within that time.
    pub(super) fn expire(&mut self, seen: &Seen) -> (i128, Vec<GivenUp>) {
        let mut old = Vec::new();
        while self.next_expiry_ns().is_some_and(|due_ns| due_ns <= seen.now_ns) {
            old.extend(self.leases.pop_front());
        }
        let fresh: i128 = self.leases.iter().map(|lease| i128::from(lease.permits) * NANOS).sum();
        let excess = seen.held() - fresh;
        let excess = if excess > TRIFLE { excess } else { 0 };
        self.granted -= excess;
        (excess, give_back(old.iter().rev(), excess))
    }

    /// All that is held, at the end.
    pub(super) fn give_up_all(&mut self, held: i128) -> Vec<GivenUp> {
        let leases = core::mem::take(&mut self.leases);
        give_back(leases.iter().rev(), held)
    }

    /// Learns from what was used since the last look, and says what to ask for: nothing while more than half of what the member
    /// wants to hold is there. `at_once`: whether nothing can be booked ahead.
    /// `refused`: the most permits of a call that does not wait and was refused.
    pub(super) fn want(&mut self, seen: &Seen, refused: u64, most: u64, at_once: bool) -> Want {
        let used = self.granted - seen.held();
        let is_refused = refused > 0;
        let elapsed_ns = seen.now_ns.saturating_sub(self.looked_ns).max(1_000_000);
        let rate = (used - self.used).max(0) as f64 / NANOS as f64 / (elapsed_ns as f64 / 1e9);
        (self.used, self.looked_ns) = (used, seen.now_ns);
        let weight = |over_ns: u64| (elapsed_ns as f64 / over_ns as f64).min(1.0);
        self.demand += weight(self.pace.lease_ns) * (rate - self.demand);
        self.slow_demand += weight(self.pace.ttl_ns) * (rate - self.slow_demand);
        let lease = self.demand * self.pace.lease_ns as f64 / 1e9;
        if is_refused {
            // Nobody counts the calls that were refused.
            self.target = (self.target * 2.0).max(refused as f64);
        } else {
            self.target += (lease - self.target) / 4.0;
        }
        self.target = self.target.min(most as f64);
        // A call now and then would leave one unused. So no few in advance, but one if it will be used before it is given up.
        let is_steady = self.slow_demand * self.pace.given_up_ns() as f64 / 1e9 >= 4.0;
        let is_short = seen.first > seen.held();
        let target = if is_short {
            // What was used of late is what was there, and not what could be used.
            self.target * 2.0
        } else if self.target >= 2.0 || is_refused {
            self.target
        } else {
            f64::from(is_steady)
        };
        let target = target as i128 * NANOS;
        let spare = seen.held() - seen.queued;
        // The first waiter needs all that it asks for at one time: what is held now may be too old when a booked lease comes.
        let is_trifle = seen.first <= seen.held() + TRIFLE;
        let least = if is_short && !is_trifle {
            whole_up(if at_once { seen.first - seen.held() } else { seen.first }).min(most)
        } else {
            1
        };
        let is_missing = is_short || is_refused;
        if spare * 2 >= target && !is_short {
            return Want { most: 0, least, is_missing };
        }
        let room = i128::from(most) * NANOS - seen.held().max(0);
        // A part of a permit that waiters lack needs a whole one.
        let missing = (target - spare).min(room.max(0)) - TRIFLE;
        let missing = whole_up(missing);
        Want { most: if is_short { missing.max(least) } else { missing }, least, is_missing }
    }

    /// Notes a grant, all of which is there `wait_ns` after the call was sent or somewhat later.
    pub(super) fn grant(&mut self, sent_ns: u64, wait_ns: u64, permits: u64, receipt: Receipt) {
        let until_ns = sent_ns.saturating_add(wait_ns).saturating_add(self.pace.given_up_ns());
        // What is used first counts to the lease that ends first. So none ends before one that came earlier.
        for earlier in &mut self.leases {
            earlier.until_ns = earlier.until_ns.min(until_ns);
        }
        self.note(Lease { until_ns, permits, receipt: Some(receipt) });
    }

    /// Notes a part of the local share. It stays until a lease comes, as large requests may need long to gather it.
    pub(super) fn grant_unleased(&mut self, permits: u64) {
        match self.leases.back_mut().filter(|last| last.until_ns == u64::MAX) {
            Some(last) => {
                last.permits = last.permits.saturating_add(permits);
                self.granted += i128::from(permits) * NANOS;
            }
            None => self.note(Lease { until_ns: u64::MAX, permits, receipt: None }),
        }
    }

    fn note(&mut self, lease: Lease) {
        self.granted += i128::from(lease.permits) * NANOS;
        self.leases.push_back(lease);
    }

    /// When the next lease is to be given up.
    pub(super) fn next_expiry_ns(&self) -> Option<u64> {
        self.leases.front().map(|lease| lease.until_ns).filter(|&until_ns| until_ns < u64::MAX)
    }

    /// Whether the member has had something to do of late.
    pub(super) fn is_active(&self) -> bool {
        self.demand * self.pace.lease_ns as f64 / 1e9 > 0.01
    }
}

/// Whole permits, rounded up; zero for a negative amount.
pub(super) const fn whole_up(nanos: i128) -> u64 {
    if nanos <= 0 { 0 } else { ((nanos + NANOS - 1) / NANOS) as u64 }
}

/// Spreads whole permits over leases, the newest first.
fn give_back<'a>(leases: impl Iterator<Item = &'a Lease>, nanos: i128) -> Vec<GivenUp> {
    let mut left = (nanos / NANOS).max(0) as u64;
    let mut all = Vec::new();
    for lease in leases {
        let permits = lease.permits.min(left);
        if let Some(receipt) = lease.receipt.filter(|_| permits > 0) {
            all.push(GivenUp { permits, receipt });
        }
        left -= permits;
    }
    all
}
