//! Pauses, a level that a server tells, and the end of a limiter.

use core::time::Duration;

use super::RateLimiter;
use crate::Clock;

impl<C: Clock> RateLimiter<C> {
    /// Admits nobody for `pause`, as a server asks for by `Retry-After`: no caller, waiting or not, no
    /// [`PerCore`](crate::PerCore), no [`AllOf`](crate::AllOf) with this limiter.
    ///
    /// - Nothing accrues meanwhile. At the end the level is what it was at the beginning, and the rate goes on from
    ///   there. A server that has refused a call wants no burst: also call [`set_available(0)`](Self::set_available).
    /// - If the limiter is paused already, the later end counts. Pauses do not add up.
    /// - Waiters keep their order, and are due later. A waiter that can no longer be granted by its deadline fails at
    ///   once.
    /// - [`retry_after`](crate::Denied::retry_after), [`time_until`](Self::time_until) and the result of
    ///   [`charge`](Self::charge) include what is left of the pause. [`available`](Self::available) shows the level at
    ///   its end.
    /// - A call on another thread that overlaps with this one may still be admitted.
    ///
    /// The pause ends when the clock shows that time: if the clock steps back meanwhile, the pause and the deadlines of its
    /// waiters are later by as much. Permits that are parked in the slots of a `PerCore` return to the limiter, as far as
    /// they fit beside the level. Permits that a [`Local`](crate::Local) holds are lost.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Clock, ManualClock, Quota, RateLimiter};
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::with_clock(Quota::per_second(10).with_burst(1), clock.clone());
    /// // The server has answered 429, with "Retry-After: 600"; and the same to a second caller.
    /// limiter.pause_for(Duration::from_secs(600));
    /// limiter.pause_for(Duration::from_secs(600));
    /// let denied = limiter.try_acquire().unwrap_err();
    /// assert_eq!(denied.retry_after(), Some(Duration::from_secs(600)));
    /// assert_eq!(limiter.paused_until(), Some(clock.now() + 600_000_000_000));
    ///
    /// clock.advance(Duration::from_secs(600));
    /// assert!(limiter.try_acquire().is_ok());
    /// assert_eq!(limiter.try_acquire().unwrap_err().retry_after(), Some(Duration::from_millis(100)));
    /// ```
    pub fn pause_for(&self, pause: Duration) {
        self.driver.pause_for(pause);
    }

    /// As [`pause_for`](Self::pause_for), until the [clock](Self::clock) shows `reading`, in nanoseconds. A reading that
    /// has passed changes nothing. `u64::MAX` pauses until [`resume`](Self::resume).
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(10));
    /// limiter.pause_until(u64::MAX);
    /// assert!(limiter.try_acquire().is_err());
    /// limiter.resume();
    /// assert!(limiter.try_acquire().is_ok());
    /// ```
    pub fn pause_until(&self, reading: u64) {
        self.driver.pause_until(reading);
    }

    /// Ends a pause now. The level is what it was when the pause began. Waiters that are due are granted.
    ///
    /// See the example of [`pause_until`](Self::pause_until).
    pub fn resume(&self) {
        self.driver.resume(false);
    }

    /// Ends a pause now, with an empty bucket: what was available before the pause is not released at once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_second(10), ManualClock::new());
    /// limiter.pause_for(Duration::from_secs(600));
    /// limiter.resume_gently();
    /// assert_eq!(limiter.try_acquire().unwrap_err().retry_after(), Some(Duration::from_millis(100)));
    /// ```
    pub fn resume_gently(&self) {
        self.driver.resume(true);
    }

    /// The reading of the [clock](Self::clock) at which the pause ends, in nanoseconds; `None` if there is no pause.
    ///
    /// See the example of [`pause_for`](Self::pause_for).
    pub fn paused_until(&self) -> Option<u64> {
        self.driver.paused_until_ns()
    }

    /// Closes the limiter for all its handles, for good: for a program that shuts down, or gives up an API.
    ///
    /// Waiters that are due are granted before. All others, tasks and threads, get [`Denied::Closed`] or
    /// [`AcquireError::Closed`], and so do later calls that take permits, also through a [`PerCore`](crate::PerCore) or an
    /// [`AllOf`](crate::AllOf). Unused permits may still be given back.
    ///
    /// Calls that cannot fail, such as [`acquire`](Self::acquire), [`run`](Self::run) and a
    /// [`throttle`](crate::throttle()), never complete on a closed limiter; drop their futures. For a thread,
    /// [`blocking_acquire`](Self::blocking_acquire) panics. To be told, use `acquire_n(1)` and `blocking_acquire_n(1)`.
    ///
    /// [`Denied::Closed`]: crate::Denied::Closed
    /// [`AcquireError::Closed`]: crate::AcquireError::Closed
    ///
    /// ```
    /// use tidegate::{AcquireError, Denied, Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// limiter.blocking_acquire();
    /// std::thread::scope(|scope| {
    ///     let waiting = scope.spawn(|| limiter.blocking_acquire_n(1));
    ///     limiter.close();
    ///     assert_eq!(waiting.join().unwrap(), Err(AcquireError::Closed));
    /// });
    /// assert_eq!(limiter.try_acquire(), Err(Denied::Closed));
    /// ```
    pub fn close(&self) {
        self.driver.close();
    }

    /// Whether the limiter has been [closed](Self::close).
    pub fn is_closed(&self) -> bool {
        self.driver.is_closed()
    }

    /// Sets the level to `permits`: to what a server says is left, for instance by `RateLimit-Remaining`. A level above
    /// the burst makes the bucket full.
    ///
    /// Waiters that are due are granted before. The others are due by the new level, and a waiter that can no longer be
    /// granted by its deadline fails at once.
    ///
    /// Permits that are parked in the slots of a [`PerCore`](crate::PerCore), or held by a [`Local`](crate::Local), are
    /// discarded. The level is at most the part of the burst that is not set aside for them. Unused permits of earlier
    /// [reservations](crate::Reservation) do not return.
    ///
    /// ```
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_minute(60), ManualClock::new());
    /// limiter.set_available(7);
    /// assert_eq!(limiter.available(), 7);
    /// ```
    pub fn set_available(&self, permits: u64) {
        self.driver.set_level(permits);
    }
}
