//! The limiter: a handle on a clock, a quota, the word, and the queue.

mod level;
mod pausing;
mod reports;
mod saved;
mod waiting;
#[cfg(feature = "stats")]
mod watching;

pub use self::{
    level::Level,
    saved::{InvalidSavedState, SavedState},
};

pub(crate) use self::waiting::BLOCKED_FOR_GOOD;

use core::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    time::Duration,
};
use std::sync::Arc;

use crate::{
    Amount, ChargeError, Clock, Denied, Inherit, InvalidPermits, QuantaClock, Quota, QuotaError, Reservation,
    gcra::Scale, lane::Lane, queue::Driver,
};

/// A rate limiter that threads and tasks share.
///
/// Cloning it gives another handle on the same limiter. Every method takes `&self`.
///
/// Methods named `_n` take an [`Amount`]: an integer, or a fraction such as `0.5`. Zero is always admitted and changes
/// nothing. Mind the burst of the quota: see [`Quota`].
///
/// # Fairness
/// Callers that wait are granted in order of arrival. While a caller waits, later callers join the back of the queue,
/// and `try_acquire` is refused. Details: [`acquire`](Self::acquire).
///
/// # Examples
/// ```
/// use tidegate::{Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(100).with_burst(20));
/// match limiter.try_acquire() {
///     Ok(()) => { /* make the call */ }
///     Err(denied) => println!("{denied}"), // rate limited: retry after 10ms
/// }
/// ```
pub struct RateLimiter<C: Clock = QuantaClock> {
    driver: Arc<Driver<C>>,
    /// That of the calls through this handle.
    lane: Lane,
}

impl RateLimiter {
    /// A limiter on the default clock. See the example of [`RateLimiter`].
    ///
    /// # Panics
    /// If [`try_new`](Self::try_new) would fail.
    #[track_caller]
    pub fn new(quota: Quota) -> Self {
        Self::with_clock(quota, QuantaClock::new())
    }

    /// As [`new`](Self::new), for quotas that come from outside the program.
    ///
    /// # Errors
    /// [`QuotaError::BurstTooDeep`] or [`QuotaError::RateTooHigh`]. A burst of up to 10^18 permits at a rate of up to
    /// 10^9 permits a second never fails.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// assert!(RateLimiter::try_new(Quota::per_day(1).with_burst(u64::MAX)).is_err());
    /// ```
    pub fn try_new(quota: Quota) -> Result<Self, QuotaError> {
        Self::try_with_clock(quota, QuantaClock::new())
    }
}

impl<C: Clock> RateLimiter<C> {
    /// A limiter on another clock, such as a `TokioClock`, or a [`ManualClock`](crate::ManualClock) as in its example.
    ///
    /// # Panics
    /// As [`new`](RateLimiter::new).
    #[track_caller]
    pub fn with_clock(quota: Quota, clock: C) -> Self {
        match Self::try_with_clock(quota, clock) {
            Ok(limiter) => limiter,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`with_clock`](Self::with_clock), for quotas that come from outside the program.
    ///
    /// # Errors
    /// As [`try_new`](RateLimiter::try_new); see its example.
    pub fn try_with_clock(quota: Quota, clock: C) -> Result<Self, QuotaError> {
        let scale = Scale::new(&quota)?;
        Ok(Self::of(Driver::new(quota, scale, clock)))
    }

    pub(crate) const fn of(driver: Arc<Driver<C>>) -> Self {
        Self { driver, lane: Lane::Normal }
    }

    pub(crate) const fn driver(&self) -> &Arc<Driver<C>> {
        &self.driver
    }

    pub(crate) const fn lane_of_calls(&self) -> Lane {
        self.lane
    }

    /// The clock. See the example of [`Clock`].
    pub fn clock(&self) -> &C {
        self.driver.clock()
    }

    /// The quota. See the example of [`set_quota`](Self::set_quota).
    pub fn quota(&self) -> Quota {
        self.driver.quota()
    }

    /// The most permits that one request can take: the burst, less the part set aside for a [`PerCore`](crate::PerCore)
    /// if there is one. See the example of [`TooMany`](crate::TooMany).
    pub fn largest_request(&self) -> u64 {
        self.driver.largest_request()
    }

    // === without waiting ===

    /// Takes one permit if it is available and no caller waits.
    ///
    /// An admission is one clock reading and one compare-and-swap. A refusal writes nothing. Example: [`RateLimiter`].
    ///
    /// # Errors
    /// [`Denied::NotYet`], with the time after which the call succeeds if no other caller comes.
    ///
    /// # Panics
    /// If the clock panics, as every method that reads it. The limiter can be used afterwards.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "an admission takes fewer instructions than a call of this size")]
    pub fn try_acquire(&self) -> Result<(), Denied> {
        self.driver.try_take(1.into(), self.lane)
    }

    /// Takes `n` permits if all are available and no caller waits; otherwise takes none.
    ///
    /// # Errors
    /// [`Denied::NotYet`] as [`try_acquire`](Self::try_acquire); [`Denied::TooMany`] if `n` is above
    /// [`largest_request`](Self::largest_request); [`Denied::Invalid`] if `n` is negative, not a number, or too large
    /// for 64 bits.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// assert!(limiter.try_acquire_n(7).is_ok());
    /// assert!(limiter.try_acquire_n(2.5).is_ok());
    /// assert!(limiter.try_acquire_n(1).is_err());
    /// assert!(limiter.try_acquire_n(11).unwrap_err().is_never());
    /// ```
    #[inline]
    pub fn try_acquire_n(&self, n: impl Amount) -> Result<(), Denied> {
        self.driver.try_take(n.permits()?, self.lane)
    }

    /// Takes `n` permits that go back on drop unless they are [spent](Reservation::spend). An admission takes the
    /// queue's lock. See the example of [`Reservation`].
    ///
    /// # Errors
    /// As [`try_acquire_n`](Self::try_acquire_n).
    pub fn try_reserve(&self, n: impl Amount) -> Result<Reservation<C>, Denied> {
        Reservation::try_new(&self.driver, n.permits()?, self.lane)
    }

    /// Takes as many whole permits as are available, up to `most`, and returns how many; none while a caller waits.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// assert_eq!(limiter.try_acquire_up_to(7), 7);
    /// assert_eq!(limiter.try_acquire_up_to(7), 3);
    /// assert_eq!(limiter.try_acquire_up_to(7), 0);
    /// ```
    pub fn try_acquire_up_to(&self, most: u64) -> u64 {
        self.driver.try_take_up_to(most, self.lane)
    }

    /// Takes `n` permits for a cost that is known only afterwards, if need be into debt. Returns how long until the
    /// debt is paid, rounded up to a nanosecond; zero if there is none.
    ///
    /// It does not wait, and may take more than the burst. Waiters that are due by now are granted first. All other
    /// waiters are granted later by as much, and a waiter that can no longer be granted [within](Self::acquire_within)
    /// its `max_wait` is refused.
    ///
    /// # Errors
    /// Nothing is taken if the call fails.
    /// - [`ChargeError::DebtTooDeep`] if the limiter cannot hold such a debt. It can always hold a debt of one burst,
    ///   and far more for usual quotas.
    /// - [`ChargeError::Invalid`] if `n` is negative, not a number, or too large for 64 bits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_second(10), ManualClock::new());
    /// assert_eq!(limiter.charge(15), Ok(Duration::from_millis(500)));
    /// assert_eq!(limiter.available(), -5);
    /// ```
    pub fn charge(&self, n: impl Amount) -> Result<Duration, ChargeError> {
        self.driver.charge(n.permits()?)
    }

    /// Gives back `n` permits that were taken and not used. Waiters are granted them first, in order. Permits above the
    /// burst are lost. A fraction is rounded down to a tick, so that a refund is never worth more than the same amount
    /// cost.
    ///
    /// The limiter does not check that `n` permits were taken, nor whether they would have overflowed the bucket
    /// meanwhile. So a window with refunds can see more permits than the [bound](Quota). A [`Reservation`] gives back
    /// only as much as keeps the bound.
    ///
    /// # Errors
    /// If `n` is negative, not a number, or too large for 64 bits.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// limiter.try_acquire_n(10).unwrap();
    /// limiter.refund(4).unwrap();
    /// assert_eq!(limiter.available(), 4);
    /// ```
    pub fn refund(&self, n: impl Amount) -> Result<(), InvalidPermits> {
        self.driver.refund(n.permits()?);
        Ok(())
    }

    /// Makes the full burst available, whatever was taken.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// limiter.charge(100).unwrap();
    /// limiter.reset();
    /// assert_eq!(limiter.available(), 10);
    /// ```
    pub fn reset(&self) {
        self.driver.reset();
    }

    // === another quota ===

    /// Replaces the quota of the live limiter. Time up to now counts at the old rate. The permits available stay, up to
    /// the new burst. A concurrent call is decided by the old quota or by the new one.
    ///
    /// # Waiters
    /// The order stays, and all waiters are timed anew. A waiter for more than the new burst is refused with
    /// [`Denied::TooMany`]. A waiter that can no longer be granted [within](Self::acquire_within) its `max_wait` is
    /// refused with [`Denied::NotYet`]. Nothing is taken for either.
    ///
    /// # Errors
    /// As [`try_new`](RateLimiter::try_new), or [`QuotaError::DebtTooDeep`] if the limiter is deeper in debt than the
    /// new quota allows. Nothing changes then.
    ///
    /// ```
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::with_clock(Quota::per_second(5).with_burst(2), clock.clone());
    /// limiter.try_acquire_n(2).unwrap();
    /// clock.advance(Duration::from_millis(100));
    /// limiter.set_quota(Quota::per_second(10).with_burst(2)).unwrap();
    /// assert_eq!(limiter.quota().to_string(), "10/s burst 2");
    /// // Half a permit came at the old rate. The other half comes at the new rate.
    /// assert_eq!(limiter.time_until(1), Ok(Duration::from_millis(50)));
    /// ```
    pub fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.set_quota_with(quota, Inherit::AsIs)
    }

    /// As [`set_quota`](Self::set_quota), with a choice of what becomes of the level. See the example of [`Inherit`].
    ///
    /// # Errors
    /// As [`set_quota`](Self::set_quota).
    pub fn set_quota_with(&self, quota: Quota, inherit: Inherit) -> Result<(), QuotaError> {
        self.driver.set_quota(quota, inherit)
    }
}

impl<C: Clock> Clone for RateLimiter<C> {
    fn clone(&self) -> Self {
        Self { driver: Arc::clone(&self.driver), lane: self.lane }
    }
}

/// Only the clock can panic under the lock, and such a panic leaves the limiter as it was before that step of the call.
impl<C: Clock> RefUnwindSafe for RateLimiter<C> {}
impl<C: Clock> UnwindSafe for RateLimiter<C> {}

impl<C: Clock> fmt::Debug for RateLimiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("quota", &format_args!("{}", self.quota()))
            .field("available", &self.driver.level().available())
            .field("waiting", &self.waiting())
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}
