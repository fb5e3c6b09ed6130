//! Reports on a limiter, which take nothing; and the bound on its waiters.

use core::time::Duration;

use super::{Level, RateLimiter};
use crate::{AcquireError, Amount, Clock, Denied};

impl<C: Clock> RateLimiter<C> {
    /// As [`try_acquire_n`](Self::try_acquire_n), and reports the level that the admission leaves, without another look at
    /// the clock and the limiter. See the example of [`Level`].
    ///
    /// If the lock holder admits the call, or a [`PerCore`](crate::PerCore) had the permits parked, the level is that right
    /// after the admission.
    ///
    /// # Errors
    /// As [`try_acquire_n`](Self::try_acquire_n).
    pub fn try_acquire_reporting(&self, n: impl Amount) -> Result<Level, Denied> {
        self.driver.try_take_reporting(n.permits()?, self.lane).map(Level::new)
    }

    /// As [`try_acquire_reporting`](Self::try_acquire_reporting), for a caller that waits if it is refused: it may use the
    /// credit of a late timer.
    #[cfg(feature = "tower")]
    pub(crate) fn take_to_wait(&self, permits: crate::Permits) -> Result<Level, Denied> {
        let (meter, now_ns) = (self.driver.meter(), self.driver.clock().now());
        if !meter.is_owned_beyond_a_step() && meter.take_as_waiter(permits, now_ns) {
            return Ok(self.level());
        }
        self.try_acquire_reporting(permits)
    }

    /// The level now. Takes nothing. See the example of [`Level`].
    pub fn level(&self) -> Level {
        Level::new(self.driver.level())
    }

    /// Whether [`try_acquire_n`](Self::try_acquire_n) of `n` would succeed now. Takes nothing.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// assert!(limiter.has_capacity(0.5));
    /// assert!(!limiter.has_capacity(1.5));
    /// ```
    pub fn has_capacity(&self, n: impl Amount) -> bool {
        n.permits().is_ok_and(|n| self.driver.time_until(n, self.lane) == Ok(Duration::ZERO))
    }

    /// The permits available now, rounded down to a whole permit; negative in debt. Permits parked at cores count, and
    /// so do permits that waiters have asked for and not been granted.
    ///
    /// While callers wait, the call takes the queue's lock. If the clock has stepped back, it also times the waiters
    /// anew and grants those that are due. See the example of [`refund`](Self::refund).
    pub fn available(&self) -> i64 {
        self.driver.level().available()
    }

    /// How long until `n` permits can be taken behind all present waiters of the same and of higher lanes, rounded up to a
    /// nanosecond; zero if they can be taken now. Takes nothing.
    ///
    /// # Errors
    /// [`AcquireError::TooMany`] and [`AcquireError::Invalid`] as [`try_acquire_n`](Self::try_acquire_n).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_second(3), ManualClock::new());
    /// limiter.try_acquire_n(3).unwrap();
    /// assert_eq!(limiter.time_until(1), Ok(Duration::from_nanos(333_333_334)));
    /// assert_eq!(limiter.time_until_full(), Duration::from_secs(1));
    /// ```
    pub fn time_until(&self, n: impl Amount) -> Result<Duration, AcquireError> {
        self.driver.time_until(n.permits()?, self.lane).map_err(AcquireError::of)
    }

    /// How long until the full burst is available again if no caller takes permits, rounded up to a nanosecond. See the
    /// example of [`time_until`](Self::time_until).
    pub fn time_until_full(&self) -> Duration {
        self.driver.level().time_until_full()
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

    /// Bounds the number of waiters. A call with a longest wait, such as [`acquire_within`](Self::acquire_within), fails
    /// at once with [`Denied::QueueFull`] if it would have to wait behind so many. (If it would also wait too long, it fails
    /// with [`Denied::NotYet`].) Calls without a longest wait are not
    /// refused: give them one, if need be of `Duration::MAX`. Callers that wait already stay. Waiters of lower [lanes](Self::lane) do not count: each lane may have as many.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Denied, Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// limiter.set_max_waiters(0);
    /// limiter.acquire_within(1, Duration::MAX).await.unwrap();
    /// let denied = limiter.acquire_within(1, Duration::MAX).await.unwrap_err();
    /// assert!(matches!(denied, Denied::QueueFull(_)));
    /// # });
    /// ```
    pub fn set_max_waiters(&self, most: usize) {
        self.driver.set_max_waiters(most);
    }

    /// How many callers may wait; `usize::MAX` by default. See [`set_max_waiters`](Self::set_max_waiters).
    pub fn max_waiters(&self) -> usize {
        self.driver.max_waiters()
    }
}
