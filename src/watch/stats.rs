use crate::permits::Permits;

use super::waits::Waits;

/// What has happened at a [watched](crate::RateLimiter::watched) limiter since it was made, and its state now.
///
/// Numbers of calls, unless said otherwise, whatever each call asked for. They only grow, and wrap around at 2^64. Calls that
/// are under way on other threads may be missing from some of them.
///
/// Each call is in `admitted`, `refused` or `waited`, and each call in `waited` is in `granted`, `too_late`, `cancelled` or
/// `waiting`. A call that waits for [several limits](crate::AllOf) counts at each of them, and again at a limit for which it
/// has to wait again. A refused one counts at the limit that refused it; of an `AllOf` within an `AllOf`, at the first limit of
/// the inner one. Calls through a [`PerCore`](crate::PerCore) count. A [`Local`](crate::Local) counts only the calls that it
/// cannot serve from what it holds.
///
/// # Examples
/// ```
/// use tidegate::{ManualClock, Quota, RateLimiter};
///
/// let limiter = RateLimiter::with_clock(Quota::per_second(3), ManualClock::new()).watched("api");
/// for _ in 0..5 {
///     let _ = limiter.try_acquire();
/// }
/// let stats = limiter.stats().unwrap();
/// assert_eq!((stats.admitted, stats.refused, stats.available), (3, 2, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls admitted without a wait.
    pub admitted: u64,
    /// Calls refused without a wait.
    pub refused: u64,
    /// Calls that joined the queue.
    pub waited: u64,
    /// Waiters that were granted, and ran.
    pub granted: u64,
    /// Waiters that were refused, mostly because their longest wait could not be kept any more.
    pub too_late: u64,
    /// Waiters that left.
    pub cancelled: u64,
    /// Refunds, and reservations that were not used up.
    pub given_back: u64,
    /// [Charges](crate::RateLimiter::charge).
    pub charged: u64,
    /// How often the limiter was paused or blocked.
    pub pauses: u64,
    /// Callers that wait now.
    pub waiting: usize,
    /// The whole permits available now; negative in debt.
    pub available: i64,
    /// The permits parked now for [`PerCore`](crate::PerCore).
    pub parked: Permits,
    /// The permits that were parked, and taken by other threads than those that parked them, or moved to the queue.
    pub stolen: Permits,
    /// How long granted waiters have waited.
    pub waits: Waits,
}

impl Stats {
    /// What has happened since an earlier snapshot of the same limiter, and the state now.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10)).watched("api");
    /// limiter.try_acquire().unwrap();
    /// let first = limiter.stats().unwrap();
    /// limiter.try_acquire_n(3).unwrap();
    /// let second = limiter.stats().unwrap().since(&first);
    /// assert_eq!((second.admitted, second.available), (1, 6));
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let since = |count: fn(&Self) -> u64| count(self).wrapping_sub(count(earlier));
        Self {
            admitted: since(|stats| stats.admitted),
            refused: since(|stats| stats.refused),
            waited: since(|stats| stats.waited),
            granted: since(|stats| stats.granted),
            too_late: since(|stats| stats.too_late),
            cancelled: since(|stats| stats.cancelled),
            given_back: since(|stats| stats.given_back),
            charged: since(|stats| stats.charged),
            pauses: since(|stats| stats.pauses),
            waiting: self.waiting,
            available: self.available,
            parked: self.parked,
            stolen: self.stolen.minus(earlier.stolen).unwrap_or_default(),
            waits: self.waits.since(&earlier.waits),
        }
    }
}

/// The state that the counters of a watch lack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) waiting: usize,
    pub(crate) available: i64,
    pub(crate) parked: Permits,
    pub(crate) stolen: Permits,
}
