//! The level of a limiter at one instant.

use core::{fmt, time::Duration};

use crate::queue::LevelAt;

/// The level of a limiter at one instant: what is left, and when there is more, as for the headers of an HTTP answer.
///
/// Callers that wait are not counted. During a [pause](crate::RateLimiter::pause_for) the level is that at its end, and the
/// times include what is left of it.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{ManualClock, Quota, RateLimiter};
///
/// let limiter = RateLimiter::with_clock(Quota::per_second(10), ManualClock::new());
/// let level = limiter.try_acquire_reporting(7).unwrap();
/// assert_eq!(level.available(), 3);
/// assert_eq!(level.time_until_next(), Duration::from_millis(100));
/// assert_eq!(level.time_until_full(), Duration::from_millis(700));
/// assert_eq!(limiter.level(), level);
/// ```
#[derive(Clone, Copy)]
pub struct Level(LevelAt);

impl Level {
    pub(crate) const fn new(level: LevelAt) -> Self {
        Self(level)
    }

    /// The permits left, rounded down to a whole permit; negative in debt.
    pub fn available(&self) -> i64 {
        self.0.available()
    }

    /// How long until [`available`](Self::available) is one more, rounded up to a nanosecond; zero if the bucket is
    /// full.
    pub fn time_until_next(&self) -> Duration {
        self.0.time_until_next()
    }

    /// How long until the full burst is available, rounded up to a nanosecond.
    pub fn time_until_full(&self) -> Duration {
        self.0.time_until_full()
    }
}

impl PartialEq for Level {
    fn eq(&self, other: &Self) -> bool {
        let parts = |level: &Self| (level.available(), level.time_until_next(), level.time_until_full());
        parts(self) == parts(other)
    }
}

impl Eq for Level {}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Level")
            .field("available", &self.available())
            .field("time_until_next", &self.time_until_next())
            .field("time_until_full", &self.time_until_full())
            .finish()
    }
}
