//! Errors: why a call was refused, and why a quota cannot be built.

use core::{error::Error, fmt, num::NonZeroU64, time::Duration};

use crate::permits::{InvalidPermits, Permits};

/// The permits are not available yet. Nothing was taken.
///
/// The time is computed when it is asked for, so that a refusal costs a caller that does not ask no division.
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
/// // For the header of that name, which counts whole seconds.
/// assert_eq!(not_yet.retry_after_secs(), 1);
/// assert_eq!(not_yet.to_string(), "rate limited: retry after 100ms");
/// ```
#[derive(Clone, Copy)]
pub struct NotYet {
    /// The wait in ticks, and the ticks of a nanosecond.
    ticks: u64,
    per_ns: NonZeroU64,
}

impl NotYet {
    /// A refusal with this wait, of at least a nanosecond and at most 2^64 - 1 of them: for tests of a program that
    /// handles refusals.
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

    /// The caller makes sure that there is at least one tick.
    pub(crate) const fn in_ticks(ticks: u64, per_ns: NonZeroU64) -> Self {
        Self { ticks, per_ns }
    }

    /// How long to wait, rounded up to a whole nanosecond: the same call then succeeds if nobody else has come.
    ///
    /// Callers that wait in the queue are counted. A waiter that is being granted at that very moment may count
    /// twice, so the time may be too long then. It is never too short.
    ///
    /// See the example of [`NotYet`].
    pub const fn retry_after(&self) -> Duration {
        Duration::from_nanos(self.ticks.div_ceil(self.per_ns.get()))
    }

    /// The same, rounded up to whole seconds, as HTTP's `Retry-After` has it.
    ///
    /// See the example of [`NotYet`].
    pub const fn retry_after_secs(&self) -> u64 {
        self.ticks.div_ceil(self.per_ns.get()).div_ceil(1_000_000_000)
    }
}

impl PartialEq for NotYet {
    fn eq(&self, other: &Self) -> bool {
        self.retry_after() == other.retry_after()
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

/// Why a limiter refused a call. Nothing was taken.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{ManualClock, Quota, RateLimiter};
///
/// let clock = ManualClock::new();
/// let limiter = RateLimiter::with_clock(Quota::per_second(10).with_burst(2), clock.clone());
/// limiter.try_acquire_n(2).unwrap();
///
/// let denied = limiter.try_acquire().unwrap_err();
/// assert_eq!(denied.retry_after(), Some(Duration::from_millis(100)));
///
/// // Three never fit a burst of two.
/// let denied = limiter.try_acquire_n(3).unwrap_err();
/// assert!(denied.is_never());
/// assert_eq!(denied.to_string(), "request too large: 3 permits, but at most 2, the burst, are granted at once");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The permits are not available yet: this says when to call again.
    NotYet(NotYet),
    /// One request cannot be granted so many permits, however long it waits.
    TooMany(TooMany),
    /// The amount is not a number of permits.
    Invalid(InvalidPermits),
}

impl Denied {
    /// How long to wait before the same call can succeed; `None` if it never can.
    ///
    /// See [`NotYet::retry_after`] and the example of [`Denied`].
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotYet(not_yet) => Some(not_yet.retry_after()),
            _ => None,
        }
    }

    /// The same, rounded up to whole seconds, as HTTP's `Retry-After` has it.
    ///
    /// ```
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_minute(50).with_burst(1), ManualClock::new());
    /// limiter.try_acquire().unwrap();
    /// // The next permit comes in 1.2 s.
    /// assert_eq!(limiter.try_acquire().unwrap_err().retry_after_secs(), Some(2));
    /// ```
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::NotYet(not_yet) => Some(not_yet.retry_after_secs()),
            _ => None,
        }
    }

    /// The same refusal of a larger request, of which the caller has had a part in hand.
    pub(crate) fn of_request(self, requested: Permits) -> Self {
        match self {
            Self::TooMany(too_many) => Self::TooMany(TooMany { requested, ..too_many }),
            other => other,
        }
    }

    /// Whether the same call can never succeed, however long the caller waits.
    ///
    /// See the example of [`Denied`].
    pub const fn is_never(&self) -> bool {
        !matches!(self, Self::NotYet(_))
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet(not_yet) => not_yet.fmt(f),
            Self::TooMany(too_many) => too_many.fmt(f),
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl Error for Denied {}

/// Why a caller that would have waited as long as it takes is refused: waiting cannot help. Nothing was taken.
///
/// # Examples
/// ```
/// use tidegate::{AcquireError, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(10));
/// let Err(AcquireError::TooMany(too_many)) = limiter.blocking_acquire_n(11) else { panic!() };
/// assert_eq!(too_many.largest(), 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcquireError {
    /// One request cannot be granted so many permits.
    TooMany(TooMany),
    /// The amount is not a number of permits.
    Invalid(InvalidPermits),
}

impl AcquireError {
    /// As [`Denied::of_request`].
    pub(crate) fn of_request(self, requested: Permits) -> Self {
        Self::of(Denied::from(self).of_request(requested))
    }

    /// Of a call that has no longest wait.
    pub(crate) fn of(denied: Denied) -> Self {
        match denied {
            Denied::TooMany(too_many) => Self::TooMany(too_many),
            Denied::Invalid(invalid) => Self::Invalid(invalid),
            Denied::NotYet(_) => unreachable!("a caller without a longest wait is not refused for the time"),
        }
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Denied::from(*self).fmt(f)
    }
}

impl Error for AcquireError {}

/// One request asked for more permits than it can be granted, however long it waits.
///
/// # Examples
/// ```
/// use tidegate::{Denied, PerCore, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(800));
/// let _per_core = PerCore::new(&limiter);
/// let Err(Denied::TooMany(too_many)) = limiter.try_acquire_n(750) else { panic!() };
/// assert_eq!((too_many.burst(), too_many.set_aside(), too_many.largest()), (800, 100, 700));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    requested: Permits,
    burst: u64,
    set_aside: u64,
}

impl TooMany {
    pub(crate) const fn new(requested: Permits, burst: u64, largest: u64) -> Self {
        Self { requested, burst, set_aside: burst - largest }
    }

    /// The permits that were asked for.
    pub const fn requested(&self) -> Permits {
        self.requested
    }

    /// The burst of the quota.
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// The part of the burst that is set aside while there is a [`PerCore`](crate::PerCore).
    pub const fn set_aside(&self) -> u64 {
        self.set_aside
    }

    /// The most permits that one request can be for: the burst, less the part that is set aside.
    pub const fn largest(&self) -> u64 {
        self.burst - self.set_aside
    }
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requested, burst, set_aside } = self;
        let largest = self.largest();
        write!(f, "request too large: {requested} permits, but at most {largest}, ")?;
        if *set_aside == 0 {
            return f.write_str("the burst, are granted at once");
        }
        write!(f, "the burst of {burst} less {set_aside} set aside for a PerCore, are granted at once")
    }
}

impl Error for TooMany {}

/// Why a [charge](crate::RateLimiter::charge) was refused. Nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChargeError {
    /// It would put the limiter deeper into debt than the limiter can count. The debt is paid as time passes, so that a
    /// charge that is no larger than all that can be counted succeeds later.
    DebtTooDeep {
        /// The permits that were to be charged.
        requested: Permits,
        /// The most whole permits that can be charged now.
        most: u64,
    },
    /// The amount is not a number of permits.
    Invalid(InvalidPermits),
}

impl fmt::Display for ChargeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DebtTooDeep { requested, most } => {
                write!(f, "charge too large: {requested} permits, but at most {most} can be charged now")
            }
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl Error for ChargeError {}

macro_rules! conversions {
    ($($from:ident => $into:ident::$variant:ident),* $(,)?) => {$(
        impl From<$from> for $into {
            fn from(error: $from) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}
conversions! {
    NotYet => Denied::NotYet,
    TooMany => Denied::TooMany,
    InvalidPermits => Denied::Invalid,
    TooMany => AcquireError::TooMany,
    InvalidPermits => AcquireError::Invalid,
    InvalidPermits => ChargeError::Invalid,
}

impl From<AcquireError> for Denied {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::TooMany(too_many) => Self::TooMany(too_many),
            AcquireError::Invalid(invalid) => Self::Invalid(invalid),
        }
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
