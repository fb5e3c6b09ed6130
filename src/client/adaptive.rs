//! The rate for a server that does not tell its limit, learned from its refusals: additive growth, multiplicative decrease, on
//! plain numbers.
//!
//! # The rule
//! - Before the first refusal the rate doubles each second.
//! - A refusal sets the *mark* to the present rate, and the rate to 9/10 of it. Refusals of requests that were sent before the
//!   last decrease count for nothing: they are the same news. So do those of the next tenth of a second: a server whose window is
//!   full refuses whatever comes, and says nothing about the rate by that.
//! - From then on the rate goes back to the mark along a cubic curve, fast at first and slowly near the mark, and beyond the mark
//!   slowly at first. It is at the mark again after 2 seconds and the time of 60 permits.
//! - Time counts only as far as responses come: a client that is idle learns nothing, so its rate does not grow.
//! - The rate never leaves the range from floor to ceiling.
//!
//! The curve is that of CUBIC, the congestion control of TCP. With 9/10 and this time, simulations against servers that count
//! windows of 0.5 to 3 seconds use 92 % to 98 % of the limit, with 0.3 % to 1.7 % refused. A factor of 7/10, as clients of AWS
//! have it, uses up to 10 % less.

use core::time::Duration;

const BACK: f64 = 0.9;
/// Until the rate is at the mark again: seconds, and permits.
const BACK_SECONDS: f64 = 2.0;
const BACK_PERMITS: f64 = 60.0;
/// So many times the interval between permits, the time between two responses counts.
const INTERVALS: f64 = 4.0;
/// After a decrease, refusals count for nothing for so long.
const DEAF: Duration = Duration::from_millis(100);

/// The responses to these requests came from before a decrease, or after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// The range of a rate that is learned, in permits a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) floor: f64,
    pub(super) ceiling: f64,
}

#[derive(Debug)]
pub(super) struct Adaptive {
    range: Range,
    /// The rate at the last refusal, or at the beginning.
    mark: f64,
    is_learned: bool,
    epoch: Epoch,
    /// The time that has counted since the mark was set, in seconds.
    grown: f64,
    latest: Option<Duration>,
    deaf_until: Duration,
}

impl Adaptive {
    /// Begins with a rate in permits a second.
    pub(super) fn new(range: Range, rate: f64) -> Self {
        let mark = rate.clamp(range.floor, range.ceiling);
        Self {
            range,
            mark,
            is_learned: false,
            epoch: Epoch::default(),
            grown: 0.0,
            latest: None,
            deaf_until: Duration::ZERO,
        }
    }

    /// For a request that is being sent.
    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn rate(&self) -> f64 {
        let rate = if self.is_learned {
            let whole = BACK_SECONDS + BACK_PERMITS / self.mark;
            self.mark * (1.0 + (1.0 - BACK) * ((self.grown - whole) / whole).powi(3))
        } else {
            // Far more than any ceiling; a larger exponent would only make an infinity of it.
            self.mark * self.grown.min(100.0).exp2()
        };
        rate.clamp(self.range.floor, self.range.ceiling)
    }

    /// A response to a request of that epoch, at a reading of a monotonic clock.
    pub(super) fn respond(&mut self, sent: Epoch, is_refusal: bool, now: Duration) {
        let elapsed = self.latest.map_or(0.0, |latest| now.saturating_sub(latest).as_secs_f64());
        self.latest = self.latest.max(Some(now));
        if !is_refusal {
            let at_ceiling = self.rate() >= self.range.ceiling;
            if !at_ceiling {
                self.grown += elapsed.min(INTERVALS / self.rate());
            }
        } else if sent == self.epoch && now >= self.deaf_until {
            self.deaf_until = now.saturating_add(DEAF);
            self.mark = self.rate();
            self.is_learned = true;
            self.epoch.0 += 1;
            self.grown = 0.0;
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
