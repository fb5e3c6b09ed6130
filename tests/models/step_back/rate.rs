//! The quotas of the histories.

use std::time::Duration;

use tidegate::Quota;

use crate::{pick, random::Random};

/// How far apart the readings of two threads may be, in nanoseconds.
pub(super) const SKEW: u64 = 1_000_000;

/// The units of a permit: at each rate below, a nanosecond is a whole number of them.
pub(super) const PERMIT: i64 = 100_000_000;

/// The nanoseconds of a permit.
const INTERVALS: [u64; 4] = [100_000, 1_000_000, 10_000_000, 100_000_000];

#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) permit_ns: u64,
    pub(super) burst: i64,
}

impl Rate {
    pub(super) fn random(random: &mut Random) -> Self {
        Self { permit_ns: pick(random, &INTERVALS), burst: pick(random, &[1, 1, 2, 5, 50]) }
    }

    pub(super) fn quota(self, catch_up_ns: u64) -> Quota {
        Quota::new(1, Duration::from_nanos(self.permit_ns))
            .with_burst(self.burst as u64)
            .with_catch_up(Duration::from_nanos(catch_up_ns))
    }

    /// The units of a nanosecond.
    pub(super) fn per_ns(self) -> i64 {
        PERMIT / self.permit_ns as i64
    }

    pub(super) fn units(self, ns: u64) -> i64 {
        ns as i64 * self.per_ns()
    }

    /// What a thread may find more or less than another.
    pub(super) fn skew(self) -> i64 {
        self.units(SKEW)
    }

    pub(super) fn full(self) -> i64 {
        self.burst * PERMIT
    }

    pub(super) fn burst_ns(self) -> u64 {
        self.burst as u64 * self.permit_ns
    }
}
