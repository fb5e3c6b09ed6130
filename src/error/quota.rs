//! Errors of quotas, and of their text form.

use core::{error::Error, fmt, time::Duration};

/// Why a [`Quota`](crate::Quota) cannot be built, or cannot be enforced.
///
/// # Examples
/// ```
/// use tidegate::{Quota, QuotaError};
/// use std::time::Duration;
///
/// assert_eq!(Quota::try_new(5, Duration::ZERO), Err(QuotaError::ZeroPeriod));
/// assert_eq!(Quota::try_at_most(0, Duration::from_secs(1)), Err(QuotaError::ZeroPermits));
/// assert_eq!(Quota::per_second(10).try_with_burst(0), Err(QuotaError::ZeroBurst));
/// assert!(Quota::per_second(10).try_with_catch_up(Duration::MAX).is_err());
/// let error = Quota::per_second(10).try_with_initial(11).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "an initial level of 11 permits is more than the burst of 10: lower it or raise the burst"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuotaError {
    /// A rate of 0 permits.
    ZeroPermits,
    /// A burst of 0 permits.
    ZeroBurst,
    /// A period or window of 0 ns.
    ZeroPeriod,
    /// A period, window or catch-up longer than 2^64 - 2 ns (some 584 years).
    PeriodTooLong {
        /// The duration asked for.
        period: Duration,
    },
    /// The burst of an [`at_most`](crate::Quota::at_most) quota is above the permits of its window.
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
    /// A burst, an initial level or a catch-up for [`UNLIMITED`](crate::Quota::UNLIMITED) or
    /// [`BLOCKED`](crate::Quota::BLOCKED).
    Fixed,
    /// An initial level for a `Keyed`, where a key that is not in the table has a full bucket.
    InitialOfKeys {
        /// The initial level asked for.
        initial: u64,
    },
    /// More classes than a `Keyed` can have.
    TooManyClasses {
        /// The classes asked for, with class 0.
        classes: usize,
        /// The most classes.
        max: usize,
    },
    /// A `Keyed` has no class of this number.
    NoSuchClass {
        /// The number.
        class: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// The burst is too large for the 62 bits of the limiter's word, or the 61 of a key's in a `Keyed`.
    BurstTooDeep {
        /// The burst asked for.
        burst: u64,
        /// The largest burst that fits at this rate.
        max: u64,
    },
    /// The rate is too high for the 62 bits of the limiter's word: more than 2^62 permits in 10 years. A rate of few
    /// permits per few nanoseconds, in lowest terms, may be higher.
    RateTooHigh {
        /// The permits of one period.
        permits: u64,
        /// The period.
        period: Duration,
    },
    /// The limiter is deeper in debt than its word can hold under the new quota.
    DebtTooDeep {
        /// The permits owed, rounded down.
        permits: u64,
        /// The most permits that can be owed under the new quota.
        max: u64,
    },
    /// The text does not follow the [grammar](crate::Quota#text-form) of quotas.
    Syntax {
        /// The whole text.
        text: String,
        /// Where the piece that was not understood starts, in bytes; the length of the text if something is missing
        /// at its end.
        at: usize,
        /// What to write there.
        expected: &'static str,
    },
}

// The panics of constant functions show these texts as well.
pub(crate) const ZERO_PERMITS: &str =
    "a quota of 0 permits: write at least 1, or Quota::BLOCKED to admit no call";
pub(crate) const ZERO_BURST: &str = "a burst of 0 permits: write at least 1";
pub(crate) const FIXED: &str =
    "an unlimited or blocked quota has no burst, initial level or catch-up to set: leave them out";
pub(crate) const ZERO_PERIOD: &str = "a period of 0 ns: write at least 1 ns";

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroPermits => f.write_str(ZERO_PERMITS),
            Self::ZeroBurst => f.write_str(ZERO_BURST),
            Self::ZeroPeriod => f.write_str(ZERO_PERIOD),
            Self::Fixed => f.write_str(FIXED),
            Self::InitialOfKeys { initial } => {
                write!(
                    f,
                    "an initial level of {initial} permits cannot be that of all keys, of which those that are not in the \
                     table are full: leave it out, or set the level of single keys"
                )
            }
            Self::TooManyClasses { classes, max } => {
                write!(f, "{classes} classes of keys, with class 0, are too many: write at most {max}")
            }
            Self::NoSuchClass { class, classes } => {
                write!(f, "there is no class {class} of keys: write 0 to {}", classes - 1)
            }
            Self::PeriodTooLong { period } => {
                write!(f, "a period, window or catch-up of {period:?} is too long: write at most 2^64 - 2 ns")
            }
            Self::BurstAboveWindow { burst, permits } => {
                write!(
                    f,
                    "a burst of {burst} permits is more than the {permits} of a window: write at most {permits}"
                )
            }
            Self::InitialAboveBurst { initial, burst } => {
                write!(
                    f,
                    "an initial level of {initial} permits is more than the burst of {burst}: \
                     lower it or raise the burst"
                )
            }
            Self::BurstTooDeep { burst, max } => {
                write!(f, "a burst of {burst} permits is too large at this rate: write at most {max}")
            }
            Self::RateTooHigh { permits, period } => {
                write!(
                    f,
                    "a rate of {permits} permits per {period:?} is too high: write at most 2^62 in 10 years"
                )
            }
            Self::DebtTooDeep { permits, max } => {
                write!(
                    f,
                    "a debt of {permits} permits is more than the limit of {max} under the new quota: \
                     set it later or with Inherit::Reset"
                )
            }
            Self::Syntax { text, at, expected } => write_syntax(f, "quota", text, *at, expected),
        }
    }
}

/// Writes what was found in the text at that byte, and what to write there.
pub(crate) fn write_syntax(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    text: &str,
    at: usize,
    expected: &str,
) -> fmt::Result {
    write!(f, "invalid {what} {text:?}: ")?;
    let rest = text.get(at..).unwrap_or_default();
    // A word or a number is named alone, and other things up to the next space.
    let end = match rest.chars().next() {
        Some(first) if first.is_alphanumeric() => {
            rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.' | '-'))
        }
        _ => rest.find(char::is_whitespace),
    };
    let found = &rest[..end.unwrap_or(rest.len())];
    if !found.is_empty() {
        write!(f, "found {found:?} at byte {at}, ")?;
    }
    write!(f, "expected {expected}")
}

impl Error for QuotaError {}
