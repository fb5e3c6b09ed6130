//! Errors: why a call was refused, and why a quota cannot be built.

mod quota;

use core::{error::Error, fmt, num::NonZeroU64, time::Duration};

pub use self::quota::QuotaError;
#[cfg(feature = "serde")]
pub(crate) use self::quota::write_syntax;
pub(crate) use self::quota::{FIXED, ZERO_BURST, ZERO_PERIOD, ZERO_PERMITS};

use crate::permits::{InvalidPermits, Permits};

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
    /// Waiters in the queue count. A waiter that is granted at the same moment may count twice, which makes the time
    /// too long. The time is never too short. See the example of [`NotYet`].
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
/// let denied = limiter.try_acquire_n(3).unwrap_err();
/// assert!(denied.is_never());
/// assert_eq!(
///     denied.to_string(),
///     "rate limited: a request for 3 permits is more than the burst of 2: ask for at most 2 or raise the burst"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The permits are not available yet. [`retry_after`](NotYet::retry_after) says when to call again.
    NotYet(NotYet),
    /// The request is for more permits than one request can ever be granted.
    TooMany(TooMany),
    /// The amount is negative, not a number, or too large for 64 bits.
    Invalid(InvalidPermits),
    /// The limiter has been [closed](crate::RateLimiter::close).
    Closed,
}

impl Denied {
    /// As [`NotYet::retry_after`]; `None` if the same call can never succeed. See the example of [`Denied`].
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotYet(not_yet) => Some(not_yet.retry_after()),
            _ => None,
        }
    }

    /// As [`NotYet::retry_after_secs`]; `None` if the same call can never succeed.
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::NotYet(not_yet) => Some(not_yet.retry_after_secs()),
            _ => None,
        }
    }

    /// The same refusal of a larger request, a part of which the caller already holds.
    pub(crate) fn of_request(self, requested: Permits) -> Self {
        match self {
            Self::TooMany(too_many) => Self::TooMany(TooMany { requested, ..too_many }),
            other => other,
        }
    }

    /// Whether the same call can never succeed, however long the caller waits. See the example of [`Denied`].
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
            Self::Closed => f.write_str("the limiter is closed: make another for further calls"),
        }
    }
}

impl Error for Denied {}

/// Why a call without a longest wait was refused: it can never be granted. Nothing was taken.
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
    /// As [`Denied::TooMany`].
    TooMany(TooMany),
    /// As [`Denied::Invalid`].
    Invalid(InvalidPermits),
    /// As [`Denied::Closed`].
    Closed,
}

impl AcquireError {
    /// As [`Denied::of_request`].
    pub(crate) fn of_request(self, requested: Permits) -> Self {
        Self::of(Denied::from(self).of_request(requested))
    }

    pub(crate) fn of(denied: Denied) -> Self {
        match denied {
            Denied::TooMany(too_many) => Self::TooMany(too_many),
            Denied::Invalid(invalid) => Self::Invalid(invalid),
            Denied::Closed => Self::Closed,
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

/// A request for more permits than one request can ever be granted.
///
/// # Examples
/// ```
/// use tidegate::{Denied, PerCore, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(800));
/// let _per_core = PerCore::new(&limiter);
/// assert_eq!(limiter.largest_request(), 700);
/// let Err(Denied::TooMany(too_many)) = limiter.try_acquire_n(750) else { panic!() };
/// assert_eq!((too_many.burst(), too_many.set_aside(), too_many.largest()), (800, 100, 700));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    requested: Permits,
    burst: u64,
    largest: u64,
}

impl TooMany {
    pub(crate) const fn new(requested: Permits, burst: u64, largest: u64) -> Self {
        Self { requested, burst, largest }
    }

    /// The permits asked for.
    pub const fn requested(&self) -> Permits {
        self.requested
    }

    /// The burst of the quota.
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// The part of the burst that is set aside for a [`PerCore`](crate::PerCore).
    pub const fn set_aside(&self) -> u64 {
        self.burst - self.largest
    }

    /// The most permits that one request can take: the burst less the part set aside.
    pub const fn largest(&self) -> u64 {
        self.largest
    }
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requested, burst, largest } = self;
        write!(f, "rate limited: a request for {requested} permits is more than the burst of {burst}")?;
        if largest < burst {
            write!(f, " less {} set aside for a PerCore", self.set_aside())?;
        }
        write!(f, ": ask for at most {largest} or raise the burst")
    }
}

impl Error for TooMany {}

/// Why a [charge](crate::RateLimiter::charge) was refused. Nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChargeError {
    /// The limiter cannot hold so large a debt. As time pays the present debt, `most` grows.
    DebtTooDeep {
        /// The permits asked for.
        requested: Permits,
        /// The most whole permits that can be charged now.
        most: u64,
    },
    /// As [`Denied::Invalid`].
    Invalid(InvalidPermits),
}

impl fmt::Display for ChargeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DebtTooDeep { requested, most } => {
                write!(
                    f,
                    "rate limited: a charge of {requested} permits is too large: charge at most {most} now or wait"
                )
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
            AcquireError::Closed => Self::Closed,
        }
    }
}
