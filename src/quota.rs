//! What a limiter enforces: a rate, a burst, and how much lateness it makes up for.

mod inherit;
#[cfg(feature = "serde")]
mod serde;
mod text;

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

use core::time::Duration;

pub use self::inherit::Inherit;

use crate::error::QuotaError;

/// Two ticks of a runtime's timer: less catch-up than that could not make up for its lateness.
const TICKS_NS: u64 = 2_000_000;

/// The catch-up of a quota that names none.
const DEFAULT_CATCH_UP_NS: u64 = 10_000_000;

/// A rate and a burst: how many permits a limiter admits, and how many at once.
///
/// - The **rate** is a whole number of permits per period, kept as that fraction and never rounded.
/// - The **burst** is the most permits that are admitted at one instant after a long enough pause. In any
///   window of length `w`, at most `burst + rate * w` permits are admitted by `try_acquire` and its kin.
///   Unless set, it is the permits of one period: `per_second(100)` admits 100 at once, then one every
///   10 ms. [`at_most`](Self::at_most) is the quota for "no more than `n` in *any* window".
/// - The **catch-up** is how late a timer may be without lowering the rate when callers wait in the queue.
///   With waiters any window sees at most `burst + rate * (w + catch_up)`. The default is 10 ms. Zero gives
///   textbook GCRA, where a late timer lowers the rate.
/// - The **initial level** is the number of permits there at the start; a full burst unless set.
///
/// # Panics
/// Constructors and builder methods panic on values that make no sense, such as a rate of zero: they are
/// meant for literals. For values that come from outside, each has a `try_` form that returns a
/// [`QuotaError`], and the text form can be parsed.
///
/// # Text form
/// `"100/s"`, `"100/s burst 20"`, `"5 per 10s"`, `"1000/h burst 50 initial 0 catch-up 5ms"`,
/// `"at most 100 per 1s"`. [`Display`](core::fmt::Display) writes a form that parses to an equal quota. With the
/// feature `serde`, this is what it is written as and read from.
///
/// # Examples
/// ```
/// use tidegate::Quota;
/// use std::time::Duration;
///
/// let quota = Quota::per_second(100).with_burst(20);
/// assert_eq!(quota, "100/s burst 20".parse().unwrap());
/// assert_eq!(quota.to_string(), "100/s burst 20");
///
/// // Five per ten seconds, five at once.
/// assert_eq!(Quota::new(5, Duration::from_secs(10)).burst(), 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    kind: Kind,
    permits: u64,
    period_ns: u64,
    burst: u64,
    initial: Option<u64>,
    catch_up_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// `permits` per `period_ns`.
    Rate,
    /// Never more than `permits` in any window of `period_ns`.
    AtMost,
}

/// Unwraps the result of the `try_` form for the literal form.
#[track_caller]
fn literal(quota: Result<Quota, QuotaError>) -> Quota {
    match quota {
        Ok(quota) => quota,
        Err(error) => panic!("{error}"),
    }
}

fn nanos(period: Duration) -> Result<u64, QuotaError> {
    match u64::try_from(period.as_nanos()) {
        Ok(ns) if ns < u64::MAX => Ok(ns),
        _ => Err(QuotaError::PeriodTooLong { period }),
    }
}

impl Quota {
    /// A rate of `permits` per `period`, with a burst of `permits`.
    ///
    /// # Panics
    /// If either is zero, or `period` is longer than 584 years. See [`try_new`](Self::try_new).
    ///
    /// ```
    /// # use tidegate::Quota;
    /// # use std::time::Duration;
    /// let quota = Quota::new(5, Duration::from_secs(10));
    /// assert_eq!((quota.permits(), quota.period()), (5, Duration::from_secs(10)));
    /// ```
    #[track_caller]
    pub fn new(permits: u64, period: Duration) -> Self {
        literal(Self::try_new(permits, period))
    }

    /// As [`new`](Self::new), for values from outside.
    ///
    /// # Errors
    /// If either is zero, or `period` is longer than 584 years.
    ///
    /// ```
    /// # use tidegate::{Quota, QuotaError};
    /// # use std::time::Duration;
    /// assert_eq!(Quota::try_new(5, Duration::ZERO), Err(QuotaError::ZeroPeriod));
    /// ```
    pub fn try_new(permits: u64, period: Duration) -> Result<Self, QuotaError> {
        let period_ns = nanos(period)?;
        if permits == 0 {
            return Err(QuotaError::ZeroPermits);
        }
        if period_ns == 0 {
            return Err(QuotaError::ZeroPeriod);
        }
        Ok(Self {
            kind: Kind::Rate,
            permits,
            period_ns,
            burst: permits,
            initial: None,
            catch_up_ns: DEFAULT_CATCH_UP_NS,
        })
    }

    /// A rate of `permits` per second, with a burst of `permits`.
    ///
    /// # Panics
    /// If `permits` is zero.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_second(100).to_string(), "100/s");
    /// ```
    #[track_caller]
    pub fn per_second(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(1))
    }

    /// A rate of `permits` per minute, with a burst of `permits`.
    ///
    /// # Panics
    /// If `permits` is zero.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_minute(7).to_string(), "7/min");
    /// ```
    #[track_caller]
    pub fn per_minute(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(60))
    }

    /// A rate of `permits` per hour, with a burst of `permits`.
    ///
    /// # Panics
    /// If `permits` is zero.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_hour(1000).to_string(), "1000/h");
    /// ```
    #[track_caller]
    pub fn per_hour(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(3_600))
    }

    /// A rate of `permits` per day of 24 hours, with a burst of `permits`.
    ///
    /// # Panics
    /// If `permits` is zero.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_day(3).to_string(), "3/day");
    /// ```
    #[track_caller]
    pub fn per_day(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(86_400))
    }

    /// Never more than `permits` in *any* window of length `window`, wherever it starts, both ends
    /// included, waiters and late timers counted.
    ///
    /// A plain rate of 100/s with a burst of 100 lets 200 pass in its first second. This one trades the
    /// burst for a promise: with the burst `b` (1 unless set) and the catch-up `c` (a hundredth of the window, at
    /// least 2 ms, at most 10 ms and at most the window, unless set), permits come at
    /// `(permits - b + 1) / (window + c + 1 ns)`. The steady use of the allowance is thus
    /// `window / (window + c)`, at a burst of one:
    ///
    /// | window           | 1 s and more | 200 ms | 50 ms | 10 ms | 2 ms |
    /// |------------------|--------------|--------|-------|-------|------|
    /// | catch-up         | 10 ms        | 2 ms   | 2 ms  | 2 ms  | 2 ms |
    /// | steady use, at least | 99 %     | 99 %   | 96 %  | 83 %  | 50 % |
    ///
    /// What arrives elsewhere is also spread by the way there: to respect a limit that another machine
    /// enforces over its own window, add the jitter of that way to `window`.
    ///
    /// # Panics
    /// If either is zero, or `window` is longer than 584 years. See [`try_at_most`](Self::try_at_most).
    ///
    /// ```
    /// # use tidegate::Quota;
    /// # use std::time::Duration;
    /// let quota = Quota::at_most(100, Duration::from_secs(1));
    /// assert_eq!(quota.to_string(), "at most 100/s");
    /// assert_eq!(quota.burst(), 1);
    /// ```
    #[track_caller]
    pub fn at_most(permits: u64, window: Duration) -> Self {
        literal(Self::try_at_most(permits, window))
    }

    /// As [`at_most`](Self::at_most), for values from outside.
    ///
    /// # Errors
    /// If either is zero, or `window` is longer than 584 years.
    ///
    /// ```
    /// # use tidegate::{Quota, QuotaError};
    /// # use std::time::Duration;
    /// assert_eq!(Quota::try_at_most(0, Duration::from_secs(1)), Err(QuotaError::ZeroPermits));
    /// ```
    pub fn try_at_most(permits: u64, window: Duration) -> Result<Self, QuotaError> {
        let plain = Self::try_new(permits, window)?;
        Ok(Self {
            kind: Kind::AtMost,
            burst: 1,
            catch_up_ns: (plain.period_ns / 100).clamp(TICKS_NS, DEFAULT_CATCH_UP_NS).min(plain.period_ns),
            ..plain
        })
    }

    /// Sets the burst: the most permits admitted at one instant. An initial level above it is an error.
    ///
    /// # Panics
    /// If `burst` is zero or below an initial level set before, or above the permits of an
    /// [`at_most`](Self::at_most) quota. See [`try_with_burst`](Self::try_with_burst).
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_second(100).with_burst(20).burst(), 20);
    /// ```
    #[track_caller]
    #[must_use]
    pub fn with_burst(self, burst: u64) -> Self {
        literal(self.try_with_burst(burst))
    }

    /// As [`with_burst`](Self::with_burst), for values from outside.
    ///
    /// # Errors
    /// If `burst` is zero or below an initial level set before, or above the permits of an
    /// [`at_most`](Self::at_most) quota.
    ///
    /// ```
    /// # use tidegate::{Quota, QuotaError};
    /// assert_eq!(Quota::per_second(100).try_with_burst(0), Err(QuotaError::ZeroBurst));
    /// ```
    pub fn try_with_burst(self, burst: u64) -> Result<Self, QuotaError> {
        if burst == 0 {
            return Err(QuotaError::ZeroBurst);
        }
        if self.kind == Kind::AtMost && burst > self.permits {
            return Err(QuotaError::BurstAboveWindow { burst, permits: self.permits });
        }
        match self.initial {
            Some(initial) if initial > burst => Err(QuotaError::InitialAboveBurst { initial, burst }),
            _ => Ok(Self { burst, ..self }),
        }
    }

    /// Sets how many permits are there at the start; a full burst unless set.
    ///
    /// # Panics
    /// If `initial` is above the burst. See [`try_with_initial`](Self::try_with_initial).
    ///
    /// ```
    /// # use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(100).with_initial(0));
    /// assert!(limiter.try_acquire().is_err());
    /// ```
    #[track_caller]
    #[must_use]
    pub fn with_initial(self, initial: u64) -> Self {
        literal(self.try_with_initial(initial))
    }

    /// As [`with_initial`](Self::with_initial), for values from outside.
    ///
    /// # Errors
    /// If `initial` is above the burst.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert!(Quota::per_second(5).try_with_initial(6).is_err());
    /// ```
    pub fn try_with_initial(self, initial: u64) -> Result<Self, QuotaError> {
        if initial > self.burst {
            return Err(QuotaError::InitialAboveBurst { initial, burst: self.burst });
        }
        Ok(Self { initial: Some(initial), ..self })
    }

    /// Sets how much lateness of timers is made up for when callers wait; 10 ms unless set.
    ///
    /// # Panics
    /// If `catch_up` is longer than 584 years. See [`try_with_catch_up`](Self::try_with_catch_up).
    ///
    /// ```
    /// # use tidegate::Quota;
    /// # use std::time::Duration;
    /// let textbook = Quota::per_second(10).with_catch_up(Duration::ZERO);
    /// assert_eq!(textbook.to_string(), "10/s catch-up 0ns");
    /// ```
    #[track_caller]
    #[must_use]
    pub fn with_catch_up(self, catch_up: Duration) -> Self {
        literal(self.try_with_catch_up(catch_up))
    }

    /// As [`with_catch_up`](Self::with_catch_up), for values from outside.
    ///
    /// # Errors
    /// If `catch_up` is longer than 584 years.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// # use std::time::Duration;
    /// assert!(Quota::per_second(10).try_with_catch_up(Duration::MAX).is_err());
    /// ```
    pub fn try_with_catch_up(self, catch_up: Duration) -> Result<Self, QuotaError> {
        let catch_up_ns = nanos(catch_up)?;
        Ok(Self { catch_up_ns, ..self })
    }

    /// The permits of one period (or window).
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_minute(7).permits(), 7);
    /// ```
    pub const fn permits(&self) -> u64 {
        self.permits
    }

    /// The period (or window).
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_minute(7).period().as_secs(), 60);
    /// ```
    pub const fn period(&self) -> Duration {
        Duration::from_nanos(self.period_ns)
    }

    /// The burst.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_minute(7).burst(), 7);
    /// ```
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// The permits that are there at the start.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_minute(7).initial(), 7);
    /// ```
    pub const fn initial(&self) -> u64 {
        match self.initial {
            Some(initial) => initial,
            None => self.burst,
        }
    }

    /// How much lateness of timers is made up for when callers wait.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_minute(7).catch_up().as_millis(), 10);
    /// ```
    pub const fn catch_up(&self) -> Duration {
        Duration::from_nanos(self.catch_up_ns)
    }

    /// The rate that is enforced, as permits per nanoseconds; not in lowest terms.
    pub(crate) fn rate(&self) -> (u64, u128) {
        match self.kind {
            Kind::Rate => (self.permits, u128::from(self.period_ns)),
            // Over a closed window of length w, `burst + floor(rate * (w + catch_up))` is `permits`
            // exactly, since the one nanosecond keeps the product below the next whole number.
            Kind::AtMost => {
                (self.permits - self.burst + 1, u128::from(self.period_ns) + u128::from(self.catch_up_ns) + 1)
            }
        }
    }

    pub(crate) const fn catch_up_ns(&self) -> u64 {
        self.catch_up_ns
    }
}
