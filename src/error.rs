//! Errors: why a call was refused, and why a quota cannot be built.

mod not_yet;
mod queue_full;
mod quota;

use core::{error::Error, fmt, time::Duration};

#[cfg(feature = "serde")]
pub(crate) use self::quota::write_syntax;
pub(crate) use self::quota::{FIXED, ZERO_BURST, ZERO_PERIOD, ZERO_PERMITS};
pub use self::{not_yet::NotYet, queue_full::QueueFull, quota::QuotaError};

use crate::permits::{InvalidPermits, Permits};

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
    /// Too many callers wait: only for a call with a longest wait, on a limiter with a bound on its
    /// [waiters](crate::RateLimiter::set_max_waiters).
    QueueFull(QueueFull),
    /// There is no room for another key in a `Keyed` that refuses new keys when it is full.
    TooManyKeys,
}

impl Denied {
    const fn not_yet(&self) -> Option<&NotYet> {
        match self {
            Self::NotYet(not_yet) => Some(not_yet),
            Self::QueueFull(full) => Some(full.not_yet()),
            Self::TooMany(_) | Self::Invalid(_) | Self::Closed | Self::TooManyKeys => None,
        }
    }

    /// As [`NotYet::retry_after`]; `None` if the same call can never succeed, or nobody knows when. See the example of
    /// [`Denied`].
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.not_yet() {
            Some(not_yet) => Some(not_yet.retry_after()),
            None => None,
        }
    }

    /// As [`NotYet::retry_after_secs`]; `None` if the same call can never succeed, or nobody knows when.
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self.not_yet() {
            Some(not_yet) => Some(not_yet.retry_after_secs()),
            None => None,
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
        matches!(self, Self::TooMany(_) | Self::Invalid(_) | Self::Closed)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet(not_yet) => not_yet.fmt(f),
            Self::TooMany(too_many) => too_many.fmt(f),
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Closed => f.write_str("the limiter is closed: make another for further calls"),
            Self::QueueFull(full) => full.fmt(f),
            Self::TooManyKeys => f.write_str(
                "rate limited: the table has no room for another key: raise max_keys or change WhenFull",
            ),
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
            Denied::NotYet(_) | Denied::QueueFull(_) | Denied::TooManyKeys => {
                unreachable!(
                    "a caller without a longest wait is not refused for the time, the queue or its key"
                )
            }
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
    QueueFull => Denied::QueueFull,
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
