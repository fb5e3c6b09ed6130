//! The limiter: a clock, a quota, the word, and the queue, behind one handle.

mod waiting;

use core::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    time::Duration,
};
use std::sync::Arc;

use crate::{
    AcquireError, Amount, ChargeError, Clock, Denied, Inherit, InvalidPermits, QuantaClock, Quota,
    QuotaError, Reservation, gcra::Scale, queue::Driver,
};

/// A rate limiter that threads and tasks share.
///
/// Cloning it gives another handle on the same limiter. It is `Send` and `Sync`, and every method takes
/// `&self`.
///
/// Methods named `_n` take an [`Amount`]: an integer, or a fraction such as `0.5`. Zero is always admitted
/// and changes nothing.
///
/// # Fairness
/// Callers that wait are granted in order of arrival. While a caller waits, newcomers go to the back of the queue, and
/// `try_acquire` is refused. A waiter for many permits is not overtaken by waiters for few.
///
/// # Examples
/// ```
/// use tidegate::{Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(100).with_burst(20));
/// match limiter.try_acquire() {
///     Ok(()) => { /* go on */ }
///     Err(denied) => println!("{denied}"),
/// }
/// ```
pub struct RateLimiter<C: Clock = QuantaClock> {
    driver: Arc<Driver<C>>,
}

impl RateLimiter {
    /// A limiter on the default clock.
    ///
    /// # Panics
    /// If the burst is too large for its word, which takes a bucket of some 10^18 permits. See
    /// [`try_new`](Self::try_new).
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(100));
    /// assert!(limiter.try_acquire().is_ok());
    /// ```
    #[track_caller]
    pub fn new(quota: Quota) -> Self {
        Self::with_clock(quota, QuantaClock::new())
    }

    /// As [`new`](Self::new), for quotas from outside.
    ///
    /// # Errors
    /// If the burst or the rate is too large for the limiter's word.
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
    /// A limiter on another clock, such as a [`ManualClock`](crate::ManualClock) or a `TokioClock`.
    ///
    /// # Panics
    /// As [`new`](RateLimiter::new).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::with_clock(Quota::per_second(1), clock.clone());
    /// assert!(limiter.try_acquire().is_ok());
    /// assert!(limiter.try_acquire().is_err());
    /// clock.advance(Duration::from_secs(1));
    /// assert!(limiter.try_acquire().is_ok());
    /// ```
    #[track_caller]
    pub fn with_clock(quota: Quota, clock: C) -> Self {
        match Self::try_with_clock(quota, clock) {
            Ok(limiter) => limiter,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`with_clock`](Self::with_clock), for quotas from outside.
    ///
    /// # Errors
    /// If the burst or the rate is too large for the limiter's word.
    ///
    /// ```
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// assert!(RateLimiter::try_with_clock(Quota::per_second(5), ManualClock::new()).is_ok());
    /// ```
    pub fn try_with_clock(quota: Quota, clock: C) -> Result<Self, QuotaError> {
        let scale = Scale::new(&quota)?;
        Ok(Self { driver: Driver::new(quota, scale, clock) })
    }

    pub(crate) const fn driver(&self) -> &Arc<Driver<C>> {
        &self.driver
    }

    /// The clock.
    ///
    /// ```
    /// use tidegate::{Clock, Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(100));
    /// let _now = limiter.clock().now();
    /// ```
    pub fn clock(&self) -> &C {
        self.driver.clock()
    }

    /// The quota.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(100));
    /// assert_eq!(limiter.quota(), Quota::per_second(100));
    /// ```
    pub fn quota(&self) -> Quota {
        self.driver.quota()
    }

    /// The most permits that one request can be for: the burst, less what is set aside while there is a
    /// [`PerCore`](crate::PerCore).
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(8000));
    /// assert_eq!(limiter.largest_request(), 8000);
    /// let per_core = PerCore::new(&limiter);
    /// assert_eq!(limiter.largest_request(), 7000);
    /// ```
    pub fn largest_request(&self) -> u64 {
        self.driver.largest_request()
    }

    // === without waiting ===

    /// Takes one permit if it is available and no caller waits.
    ///
    /// An admission is one reading of the clock and one compare-and-swap; a refusal writes nothing.
    ///
    /// # Errors
    /// [`Denied::NotYet`], with the time after which the call succeeds if nobody else comes.
    ///
    /// # Panics
    /// If the clock panics, as every method that reads it. The limiter can be used afterwards.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// assert!(limiter.try_acquire().is_ok());
    /// assert!(limiter.try_acquire().unwrap_err().retry_after().is_some());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<(), Denied> {
        self.driver.try_take(1.into())
    }

    /// Takes `n` permits if all are available and no caller waits; else none.
    ///
    /// # Errors
    /// [`Denied::NotYet`] as [`try_acquire`](Self::try_acquire); [`Denied::TooMany`] if `n` is more than the
    /// burst; [`Denied::Invalid`] if it is negative or not a number.
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
        self.driver.try_take(n.permits()?)
    }

    /// Takes `n` permits as [`try_acquire_n`](Self::try_acquire_n). They go back on drop unless they are
    /// [spent](Reservation::spend). An admission takes the queue's lock.
    ///
    /// # Errors
    /// As [`try_acquire_n`](Self::try_acquire_n).
    ///
    /// See the example of [`Reservation`].
    pub fn try_reserve(&self, n: impl Amount) -> Result<Reservation<C>, Denied> {
        Reservation::try_new(&self.driver, n.permits()?)
    }

    /// Takes as many whole permits as are available, but not more than `most`; returns how many. None while
    /// a caller waits.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// assert_eq!(limiter.try_acquire_up_to(7), 7);
    /// assert_eq!(limiter.try_acquire_up_to(7), 3);
    /// assert_eq!(limiter.try_acquire_up_to(7), 0);
    /// ```
    pub fn try_acquire_up_to(&self, most: u64) -> u64 {
        self.driver.try_take_up_to(most)
    }

    /// Takes `n` permits whether they are available or not, if need be into debt: for costs that are known only
    /// afterwards. Returns how long until the debt is paid, rounded up to a nanosecond; zero if there is none.
    ///
    /// It does not wait, and may take more than the burst. It goes ahead of the callers that wait: they are granted later
    /// by as much, and a waiter that can no longer be granted [within](Self::acquire_within) its longest wait is
    /// refused. Waiters that are due by now are granted first.
    ///
    /// # Errors
    /// [`ChargeError::DebtTooDeep`] if the limiter cannot hold such a debt. It can always hold a debt of one burst, and far
    /// more for usual quotas. [`ChargeError::Invalid`] if `n` is negative or not a number. Nothing is taken then.
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

    /// Gives back `n` permits that were taken and not used. Waiters are granted them first, in their order. The level
    /// does not rise above the burst; what would is lost.
    ///
    /// The limiter believes the caller: it does not know whether so many were taken, nor whether they would have
    /// overflowed the bucket since. So windows with refunds may see more than the bound. A [`Reservation`] gives back
    /// only what keeps within it.
    ///
    /// A fraction is rounded down to a tick, so that many small refunds make no permit. For the rates that people
    /// write a millionth is a whole number of ticks.
    ///
    /// # Errors
    /// If `n` is negative or not a number.
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

    /// Makes the full burst available again, whatever was taken.
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

    /// Replaces the quota of the live limiter. The time up to now counts at the old rate, the permits that are
    /// available stay (up to the new burst), and all waiters are re-timed at once.
    ///
    /// Calls that do not wait pay nothing for the possibility. A call that takes permits while the quota changes is
    /// decided by the old quota or by the new one.
    ///
    /// # Waiters
    /// The order stays. A waiter for more than the new burst is refused with [`Denied::TooMany`]. A waiter that can no longer
    /// be granted [within](Self::acquire_within) its longest wait is refused with [`Denied::NotYet`]. Nothing is taken for
    /// either. A waiter for [one permit](Self::acquire) always stays.
    ///
    /// # Errors
    /// If the burst, the rate, or the present debt is too large for the limiter's word; nothing changes then.
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
    /// // Half a permit from before, and half a permit at the new rate.
    /// assert_eq!(limiter.time_until(1), Ok(Duration::from_millis(50)));
    /// ```
    pub fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.set_quota_with(quota, Inherit::AsIs)
    }

    /// As [`set_quota`](Self::set_quota), with a choice of what becomes of the level.
    ///
    /// # Errors
    /// As [`set_quota`](Self::set_quota).
    ///
    /// See the example of [`Inherit`].
    pub fn set_quota_with(&self, quota: Quota, inherit: Inherit) -> Result<(), QuotaError> {
        self.driver.set_quota(quota, inherit)
    }

    // === reports ===

    /// Whether [`try_acquire_n`](Self::try_acquire_n) of that amount would succeed now. Takes nothing.
    ///
    /// An amount that is negative or not a number never fits.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// assert!(limiter.has_capacity(0.5));
    /// assert!(!limiter.has_capacity(1.5));
    /// ```
    pub fn has_capacity(&self, n: impl Amount) -> bool {
        n.permits().is_ok_and(|n| self.driver.time_until(n) == Ok(Duration::ZERO))
    }

    /// The permits that are available now, rounded down to a whole one; negative in debt. What is parked at cores
    /// counts. What waiters have asked for has not been taken yet, and counts too.
    ///
    /// While callers wait, this takes the queue's lock. If it finds that the clock has stepped back, it re-times the
    /// waiters, and grants those that are due.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// assert_eq!(RateLimiter::new(Quota::per_hour(10)).available(), 10);
    /// ```
    pub fn available(&self) -> i64 {
        self.driver.available()
    }

    /// How long until `n` permits can be taken, rounded up to a nanosecond, with all waiters ahead counted; zero if they
    /// are available now. Takes nothing.
    ///
    /// # Errors
    /// [`AcquireError::TooMany`] if `n` is more than the burst; [`AcquireError::Invalid`] if it is negative or not a
    /// number.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_second(3), ManualClock::new());
    /// limiter.try_acquire_n(3).unwrap();
    /// assert_eq!(limiter.time_until(1), Ok(Duration::from_nanos(333_333_334)));
    /// ```
    pub fn time_until(&self, n: impl Amount) -> Result<Duration, AcquireError> {
        self.driver.time_until(n.permits()?).map_err(AcquireError::of)
    }

    /// How long until the full burst is available again if nobody takes any, rounded up to a nanosecond.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_second(10), ManualClock::new());
    /// limiter.try_acquire_n(10).unwrap();
    /// assert_eq!(limiter.time_until_full(), Duration::from_secs(1));
    /// ```
    pub fn time_until_full(&self) -> Duration {
        self.driver.time_until_full()
    }

    /// How many callers wait in the queue.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// assert_eq!(RateLimiter::new(Quota::per_hour(10)).waiting(), 0);
    /// ```
    pub fn waiting(&self) -> usize {
        self.driver.waiting()
    }
}

impl<C: Clock> Clone for RateLimiter<C> {
    fn clone(&self) -> Self {
        Self { driver: Arc::clone(&self.driver) }
    }
}

/// A panic under the lock can come of a clock alone, and leaves the limiter as it was before the call.
impl<C: Clock> RefUnwindSafe for RateLimiter<C> {}
impl<C: Clock> UnwindSafe for RateLimiter<C> {}

impl<C: Clock> fmt::Debug for RateLimiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("quota", &format_args!("{}", self.quota()))
            .field("available", &self.driver.available())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
