//! The parts of a quota that have defaults: burst, initial level and catch-up.

use core::time::Duration;

use super::{Kind, Quota, literal::literal, nanos};
use crate::error::QuotaError;

impl Quota {
    /// Sets the burst, in permits: the most permits admitted at one instant. See the example of [`Quota`].
    ///
    /// # Panics
    /// If [`try_with_burst`](Self::try_with_burst) would fail.
    #[track_caller]
    #[must_use]
    pub const fn with_burst(self, burst: u64) -> Self {
        literal(self.try_with_burst(burst))
    }

    /// As [`with_burst`](Self::with_burst), for values from outside the program. See the example of [`QuotaError`].
    ///
    /// # Errors
    /// If `burst` is zero, below an initial level set before, or above the permits of an [`at_most`](Self::at_most)
    /// quota; and for [`UNLIMITED`](Self::UNLIMITED) and [`BLOCKED`](Self::BLOCKED).
    pub const fn try_with_burst(self, burst: u64) -> Result<Self, QuotaError> {
        if self.is_fixed() {
            return Err(QuotaError::Fixed);
        }
        if burst == 0 {
            return Err(QuotaError::ZeroBurst);
        }
        if matches!(self.kind, Kind::AtMost) && burst > self.permits {
            return Err(QuotaError::BurstAboveWindow { burst, permits: self.permits });
        }
        match self.initial {
            Some(initial) if initial > burst => Err(QuotaError::InitialAboveBurst { initial, burst }),
            _ => Ok(Self { burst, ..self }),
        }
    }

    /// Sets the initial level: how many permits are available at the start.
    ///
    /// # Panics
    /// If [`try_with_initial`](Self::try_with_initial) would fail.
    ///
    /// ```
    /// # use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(100).with_initial(0));
    /// assert!(limiter.try_acquire().is_err());
    /// ```
    #[track_caller]
    #[must_use]
    pub const fn with_initial(self, initial: u64) -> Self {
        literal(self.try_with_initial(initial))
    }

    /// As [`with_initial`](Self::with_initial), for values from outside the program. See the example of [`QuotaError`].
    ///
    /// # Errors
    /// If `initial` is above the burst; and for [`UNLIMITED`](Self::UNLIMITED) and [`BLOCKED`](Self::BLOCKED).
    pub const fn try_with_initial(self, initial: u64) -> Result<Self, QuotaError> {
        if self.is_fixed() {
            return Err(QuotaError::Fixed);
        }
        if initial > self.burst {
            return Err(QuotaError::InitialAboveBurst { initial, burst: self.burst });
        }
        Ok(Self { initial: Some(initial), ..self })
    }

    /// Sets the catch-up: how late a timer may wake waiters without lowering the rate. See the example of [`Quota`].
    ///
    /// # Panics
    /// If [`try_with_catch_up`](Self::try_with_catch_up) would fail.
    #[track_caller]
    #[must_use]
    pub const fn with_catch_up(self, catch_up: Duration) -> Self {
        literal(self.try_with_catch_up(catch_up))
    }

    /// As [`with_catch_up`](Self::with_catch_up), for values from outside the program. See the example of
    /// [`QuotaError`].
    ///
    /// # Errors
    /// If `catch_up` is too long; and for [`UNLIMITED`](Self::UNLIMITED) and [`BLOCKED`](Self::BLOCKED).
    pub const fn try_with_catch_up(self, catch_up: Duration) -> Result<Self, QuotaError> {
        if self.is_fixed() {
            return Err(QuotaError::Fixed);
        }
        match nanos(catch_up) {
            Some(catch_up_ns) => Ok(Self { catch_up_ns, ..self }),
            None => Err(QuotaError::PeriodTooLong { period: catch_up }),
        }
    }

    /// The burst, in permits. See the example of [`Quota`].
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// The initial level, in permits. See the example of [`Quota`].
    pub const fn initial(&self) -> u64 {
        match self.initial {
            Some(initial) => initial,
            None => self.burst,
        }
    }

    /// The catch-up. See the example of [`Quota`].
    pub const fn catch_up(&self) -> Duration {
        Duration::from_nanos(self.catch_up_ns)
    }
}
