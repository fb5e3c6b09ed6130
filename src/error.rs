//! Errors: why a call was refused, and why a quota cannot be built.

use core::{error::Error, fmt, time::Duration};

use crate::permits::{InvalidPermits, Permits};

/// Why a limiter refused a call. Nothing was taken.
///
/// "Not yet" says when to call again. "Never" says that waiting is useless.
///
/// # Examples
/// ```
/// use tidegate::{Denied, ManualClock, Quota, RateLimiter};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let limiter = RateLimiter::with_clock(Quota::per_second(10).with_burst(2), clock.clone());
/// limiter.try_acquire_n(2).unwrap();
///
/// let denied = limiter.try_acquire().unwrap_err();
/// assert_eq!(denied.retry_after(), Some(Duration::from_millis(100)));
///
/// // Three never fit a burst of two.
/// assert!(limiter.try_acquire_n(3).unwrap_err().is_never());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The permits are not there yet.
    NotYet {
        /// How long to wait, rounded up to a whole nanosecond: the same call then succeeds if nobody else has come.
        /// Callers that wait in the queue are counted. A waiter that is being granted at that very moment may count
        /// twice, so the time may be too long then, and is never too short.
        retry_after: Duration,
    },
    /// More permits were asked for than one request can be granted, so that waiting cannot help.
    Never {
        /// What was asked for.
        requested: Permits,
        /// The most that can be granted to one request: see
        /// [`largest_request`](crate::RateLimiter::largest_request).
        burst: Permits,
    },
    /// A charge would put the limiter deeper into debt than its word can hold.
    DebtTooDeep {
        /// What was to be charged.
        requested: Permits,
        /// The most that could be charged, in whole permits.
        most: Permits,
    },
    /// The amount is not a number of permits.
    Invalid(InvalidPermits),
}

impl Denied {
    /// How long to wait before the same call can succeed; `None` if it never can.
    ///
    /// See the example of [`Denied`].
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotYet { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether the same call can never succeed, however long the caller waits.
    ///
    /// See the example of [`Denied`].
    pub const fn is_never(&self) -> bool {
        !matches!(self, Self::NotYet { .. })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet { retry_after } => write!(f, "not yet: retry after {retry_after:?}"),
            Self::Never { requested, burst } => {
                write!(f, "never: {requested} permits requested, but the burst is {burst}")
            }
            Self::DebtTooDeep { requested, most } => {
                write!(
                    f,
                    "a charge of {requested} permits is more debt than the limiter can hold: at most {most}"
                )
            }
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl Error for Denied {}

impl From<InvalidPermits> for Denied {
    fn from(invalid: InvalidPermits) -> Self {
        Self::Invalid(invalid)
    }
}

/// Why a [`Quota`](crate::Quota) cannot be built, or cannot be enforced.
///
/// # Examples
/// ```
/// use tidegate::{Quota, QuotaError};
/// use std::time::Duration;
///
/// assert_eq!(Quota::try_new(0, Duration::from_secs(1)), Err(QuotaError::ZeroPermits));
/// let error = Quota::per_second(10).try_with_initial(11).unwrap_err();
/// assert_eq!(error.to_string(), "an initial level of 11 permits is more than the burst of 10");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuotaError {
    /// A rate of no permits.
    ZeroPermits,
    /// A burst of no permits.
    ZeroBurst,
    /// A period or window of no time.
    ZeroPeriod,
    /// A period, window or catch-up longer than 2^64 - 2 ns (some 584 years).
    PeriodTooLong {
        /// What was asked for.
        period: Duration,
    },
    /// A window cannot admit more at once than in all.
    BurstAboveWindow {
        /// The burst asked for.
        burst: u64,
        /// The most permits in any window.
        permits: u64,
    },
    /// The initial level is above the burst.
    InitialAboveBurst {
        /// The initial level asked for.
        initial: u64,
        /// The burst.
        burst: u64,
    },
    /// The burst is too large for the 62 bits of the word.
    BurstTooDeep {
        /// The burst asked for.
        burst: u64,
        /// The largest one that fits at this rate.
        max: u64,
    },
    /// The rate is too high for the 62 bits of the word: more than 2^62 permits in 10 years, and not of so few
    /// permits to so few nanoseconds that an hour is enough.
    RateTooHigh {
        /// The permits of one period.
        permits: u64,
        /// The period.
        period: Duration,
    },
    /// The limiter is deeper in debt than its word can hold by the new quota.
    DebtTooDeep {
        /// The permits that are owed, rounded down.
        permits: u64,
        /// The most that can be owed by the new quota.
        max: u64,
    },
    /// The text does not follow the grammar of quotas.
    Syntax {
        /// The piece that was not understood.
        found: String,
        /// What should have stood there.
        expected: &'static str,
    },
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroPermits => f.write_str("a quota of 0 permits: at least 1 is needed"),
            Self::ZeroBurst => f.write_str("a burst of 0 permits: at least 1 is needed"),
            Self::ZeroPeriod => f.write_str("a period of 0 ns: at least 1 ns is needed"),
            Self::PeriodTooLong { period } => {
                write!(f, "a period of {period:?} is longer than the limit of 2^64 - 2 ns")
            }
            Self::BurstAboveWindow { burst, permits } => {
                write!(f, "a burst of {burst} permits is more than the {permits} of the whole window")
            }
            Self::InitialAboveBurst { initial, burst } => {
                write!(f, "an initial level of {initial} permits is more than the burst of {burst}")
            }
            Self::BurstTooDeep { burst, max } => {
                write!(f, "a burst of {burst} permits is more than the limit of {max} at this rate")
            }
            Self::RateTooHigh { permits, period } => {
                write!(f, "a rate of {permits} permits per {period:?} is above the limit of 2^62 in 10 years")
            }
            Self::DebtTooDeep { permits, max } => {
                write!(f, "a debt of {permits} permits is more than the limit of {max} by the new quota")
            }
            Self::Syntax { found, expected } => {
                write!(f, "expected {expected}, found {found:?}")
            }
        }
    }
}

impl Error for QuotaError {}
