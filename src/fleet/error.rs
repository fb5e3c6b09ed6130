//! Why a fleet cannot be joined, and what a call to the server may fail with.

use core::{error::Error, fmt, time::Duration};

use crate::{error::QuotaError, quota::Quota};

/// Why a [`Fleet`](crate::Fleet) or [`StoreLimits`](crate::StoreLimits) cannot be made, or paused.
///
/// # Examples
/// ```
/// use tidegate::{Fleet, FleetError, Quota};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let joined = Fleet::builder("api", Quota::per_second(100).with_burst(1)).join("redis://localhost").await;
/// let error = joined.unwrap_err();
/// assert!(matches!(error, FleetError::BurstTooSmall { burst: 1, set_aside: 2 }));
/// assert!(error.to_string().contains("raise the burst to at least 3"));
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FleetError {
    /// No limiter can have this quota.
    Quota(QuotaError),
    /// The quota is [`Quota::UNLIMITED`] or [`Quota::BLOCKED`], which need no server.
    Fixed,
    /// The script on the server counts in doubles, in which this quota is not exact.
    NotExact {
        /// The quota.
        quota: Quota,
        /// The largest burst that is exact at this rate; zero if none is.
        max_burst: u64,
    },
    /// Nothing is left of the burst beside what is [set aside](crate::FleetBuilder::set_aside) for leases.
    BurstTooSmall {
        /// The burst of the quota.
        burst: u64,
        /// The permits to set aside.
        set_aside: u64,
    },
    /// So few permits are [set aside](crate::FleetBuilder::set_aside) that a lease would end before it can be used.
    LeaseTooShort {
        /// The permits to set aside.
        set_aside: u64,
        /// The least number at this rate.
        least: u64,
    },
    /// The name is empty, or has unpaired braces, or any in a fleet by key or in [`StoreLimits`](crate::StoreLimits).
    Name(String),
    /// Two limits of one [`StoreLimits`](crate::StoreLimits) have this name.
    SameName(String),
    /// The address of the server cannot be parsed.
    Address(String),
    /// A timeout of zero, or a pause of more than 71 years.
    Duration(Duration),
    /// The server did not do what it was asked for.
    Store(StoreError),
}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota(error) => error.fmt(f),
            Self::Fixed => f.write_str(
                "an unlimited or blocked quota at a server: use a RateLimiter with that quota, which needs no server",
            ),
            Self::NotExact { quota, max_burst: 0 } => {
                write!(f, "the quota {quota} at a server: it cannot count this rate exactly: write the rate with smaller numbers, such as permits per second")
            }
            Self::NotExact { quota, max_burst } => {
                write!(f, "the quota {quota} at a server: it cannot count so large a burst exactly: set a burst of at most {max_burst}, or write the rate with smaller numbers")
            }
            Self::BurstTooSmall { burst, set_aside } => {
                write!(
                    f,
                    "a fleet with a burst of {burst}, of which {set_aside} are set aside for leases, can admit nothing: raise the burst to at least {}, or set less aside",
                    set_aside.saturating_add(1)
                )
            }
            Self::LeaseTooShort { set_aside, least } => write!(
                f,
                "a fleet that sets {set_aside} permits aside for leases, which end too soon then: set at least {least} aside, or none"
            ),
            Self::Name(name) => {
                write!(f, "a fleet or limit named {name:?}: write a name that is not empty, and has no braces, or one pair if it is a fleet that is not one by key")
            }
            Self::SameName(name) => {
                write!(f, "two limits named {name:?}: give each a name of its own, which is its key on the server")
            }
            Self::Address(reason) => {
                write!(f, "the address of the server: {reason}: write one such as redis://localhost:6379")
            }
            Self::Duration(duration) => {
                write!(f, "a timeout or pause of {duration:?}: write one above zero and below 71 years")
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for FleetError {}

impl From<QuotaError> for FleetError {
    fn from(error: QuotaError) -> Self {
        Self::Quota(error)
    }
}

impl From<StoreError> for FleetError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a call to the server failed. It may have been carried out nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The server has not answered in time.
    TimedOut(Duration),
    /// The server cannot be reached, has closed the connection, or has answered with an error.
    Failed(String),
    /// The answer has a form that the script does not produce: another program uses the key, maybe.
    Unexpected,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(after) => write!(f, "the server has not answered within {after:?}"),
            Self::Failed(reason) => write!(f, "the server could not be asked: {reason}"),
            Self::Unexpected => {
                f.write_str("the server's answer has an unknown form: use the key for nothing else")
            }
        }
    }
}

impl Error for StoreError {}
