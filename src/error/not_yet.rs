//! The refusal of a call for permits that are not available yet.

use core::{error::Error, fmt, num::NonZeroU64, time::Duration};

/// The permits are not available yet. Nothing was taken.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{Denied, ManualClock, Quota, RateLimiter};
///
/// let limiter = RateLimiter::with_clock(Quota::per_second(10).with_burst(1), ManualClock::new());
/// limiter.try_acquire().unwrap();
/// let Err(Denied::NotYet(not_yet)) = limiter.try_acquire() else { panic!() };
/// assert_eq!(not_yet.retry_after(), Duration::from_millis(100));
/// // For the HTTP header `Retry-After`, in whole seconds.
/// assert_eq!(not_yet.retry_after_secs(), 1);
/// assert_eq!(not_yet.to_string(), "rate limited: retry after 100ms");
/// ```
#[derive(Clone, Copy)]
pub struct NotYet {
    /// The wait in ticks, and the ticks per nanosecond: the division is left to a caller that asks for the time.
    ticks: u64,
    per_ns: NonZeroU64,
}

impl NotYet {
    /// A refusal with this wait, clamped to 1 up to 2^64 - 1 ns: for tests of programs that handle refusals.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::NotYet;
    /// assert_eq!(NotYet::after(Duration::from_secs(3)).retry_after_secs(), 3);
    /// ```
    pub fn after(wait: Duration) -> Self {
        Self::after_ns(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) const fn after_ns(ns: u64) -> Self {
        Self::in_ticks(if ns == 0 { 1 } else { ns }, NonZeroU64::MIN)
    }

    /// The caller makes sure that `ticks` is at least 1.
    pub(crate) const fn in_ticks(ticks: u64, per_ns: NonZeroU64) -> Self {
        Self { ticks, per_ns }
    }

    /// How long until the same call succeeds if no other caller comes, rounded up to a nanosecond.
    ///
    /// Waiters of the same and of higher lanes count. A waiter that is granted at the same moment may count twice, which makes the
    /// time too long. The time is never too short, unless waiters of a lower [lane](crate::Lane) take permits meanwhile. See the
    /// example of [`NotYet`].
    pub const fn retry_after(&self) -> Duration {
        Duration::from_nanos(self.wait_ns())
    }

    /// [`retry_after`](Self::retry_after) rounded up to whole seconds, as in HTTP's `Retry-After`.
    pub const fn retry_after_secs(&self) -> u64 {
        self.wait_ns().div_ceil(1_000_000_000)
    }

    const fn wait_ns(&self) -> u64 {
        self.ticks.div_ceil(self.per_ns.get())
    }
}

impl PartialEq for NotYet {
    fn eq(&self, other: &Self) -> bool {
        self.wait_ns() == other.wait_ns()
    }
}

impl Eq for NotYet {}

impl fmt::Debug for NotYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotYet").field("retry_after", &self.retry_after()).finish()
    }
}

impl fmt::Display for NotYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rate limited: retry after {:?}", self.retry_after())
    }
}

impl Error for NotYet {}
