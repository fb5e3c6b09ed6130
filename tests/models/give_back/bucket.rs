//! A bucket in exact arithmetic, whose rate and burst may change.
//!
//! It counts in a unit so fine that a nanosecond is a whole number of units at every rate that the histories use. So
//! nothing is rounded, except the level of a change in proportion, which is rounded up.

use tidegate::Inherit;

/// The units of a permit: those of a nanosecond, at one permit in a millisecond, are 10,080, which all numbers up to 10
/// divide.
pub(super) const PERMIT: i64 = 10_080 * 1_000_000;

#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// One permit comes in so many milliseconds.
    pub(super) every_ms: i64,
    pub(super) burst: i64,
    /// By how much the arrival time is ahead of the present; negative while it lies before that.
    pub(super) ahead: i64,
}

impl Bucket {
    pub(super) fn new(every_ms: i64, burst: i64, initial: i64) -> Self {
        Self { every_ms, burst, ahead: (burst - initial) * PERMIT }
    }

    /// The units of a nanosecond.
    pub(super) fn per_ns(&self) -> i64 {
        10_080 / self.every_ms
    }

    pub(super) fn units(&self, ns: u64) -> i64 {
        i64::try_from(ns).unwrap() * self.per_ns()
    }

    /// The permits available, in whole permits.
    pub(super) fn available(&self) -> i64 {
        (self.burst * PERMIT - self.ahead.max(0)).div_euclid(PERMIT)
    }

    pub(super) fn pass(&mut self, ns: u64) {
        self.ahead -= self.units(ns);
    }

    /// Takes permits as of the time that is `floor` units from now, if the bucket was full by then.
    pub(super) fn take(&mut self, n: i64, floor: i64) {
        self.ahead = self.ahead.max(floor) + n * PERMIT;
    }

    /// Whether what has been taken was there.
    pub(super) fn conforms(&self) -> bool {
        self.ahead <= self.burst * PERMIT
    }

    pub(super) fn refund(&mut self, n: i64) {
        self.ahead = (self.ahead - n * PERMIT).max(self.ahead.min(0));
    }

    pub(super) fn reset(&mut self) {
        self.ahead = self.ahead.min(0);
    }

    /// Another rate and burst. With `floor` before the present, as much beyond the burst is kept by the old rate, and
    /// up to the same time by the new one.
    pub(super) fn change(&mut self, every_ms: i64, burst: i64, inherit: Inherit, floor: i64) {
        let level = self.burst * PERMIT - self.ahead.max(floor);
        let kept = match inherit {
            Inherit::Proportionally => {
                let product = i128::from(level) * i128::from(burst);
                let old = i128::from(self.burst);
                i64::try_from((product + old - 1).div_euclid(old)).unwrap()
            }
            _ => level,
        };
        let beyond = if self.ahead < 0 { -floor * self.every_ms / every_ms + 1 } else { 0 };
        let most = burst * PERMIT + beyond;
        (self.every_ms, self.burst) = (every_ms, burst);
        self.ahead = burst * PERMIT - kept.min(most);
    }
}
