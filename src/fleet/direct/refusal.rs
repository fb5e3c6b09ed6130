//! Why a call was not admitted.

use core::{error::Error, fmt, time::Duration};
use std::sync::Arc;

use crate::{error::Denied, fleet::error::StoreError};

/// Why [`StoreLimits::try_acquire`](super::StoreLimits::try_acquire) has not admitted a call.
///
/// # Examples
/// An amount that can never be granted needs no server:
/// ```
/// use tidegate::{FleetStore, Quota, StoreLimitsError};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let server = FleetStore::new("redis://localhost:6379")?;
/// let limits = server.limits([("requests", Quota::per_minute(60)), ("tokens", Quota::per_minute(9_000))])?;
/// let error = limits.try_acquire("acme", [1, 9_500]).await.unwrap_err();
/// assert!(matches!(error, StoreLimitsError::Denied { limit: 1, .. }));
/// assert!(error.is_never());
/// assert_eq!(
///     error.to_string(),
///     "tokens: rate limited: a request for 9500 permits is more than the burst of 9000: ask for at most 9000 or raise the burst"
/// );
/// # Ok::<(), tidegate::FleetError>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreLimitsError {
    /// A limit refuses. Nothing was taken of any.
    Denied {
        /// The place of the limit among those of [`FleetStore::limits`](crate::FleetStore::limits), from 0. If several limits refuse, that with the longest wait.
        limit: usize,
        /// The name of the limit.
        name: Arc<str>,
        /// Why it refuses: [`Denied::NotYet`] or [`Denied::TooMany`].
        denied: Denied,
    },
    /// The server has failed, or has not answered in time. The amounts may have been taken.
    Store(StoreError),
}

impl StoreLimitsError {
    const fn denied(&self) -> Option<&Denied> {
        match self {
            Self::Denied { denied, .. } => Some(denied),
            Self::Store(_) => None,
        }
    }

    /// How long until the same call is admitted if nobody else takes permits of the key, rounded up to a microsecond; `None` if it can
    /// never be, or the server is away. See [`Denied::retry_after`].
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.denied() {
            Some(denied) => denied.retry_after(),
            None => None,
        }
    }

    /// [`retry_after`](Self::retry_after) rounded up to whole seconds, as in HTTP's `Retry-After`.
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self.denied() {
            Some(denied) => denied.retry_after_secs(),
            None => None,
        }
    }

    /// Whether the same call can never succeed: an amount is above the burst. See the example of [`StoreLimitsError`].
    pub const fn is_never(&self) -> bool {
        match self.denied() {
            Some(denied) => denied.is_never(),
            None => false,
        }
    }
}

impl fmt::Display for StoreLimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { name, denied, .. } => write!(f, "{name}: {denied}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for StoreLimitsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Denied { denied, .. } => Some(denied),
            // Its text is all of this one's.
            Self::Store(_) => None,
        }
    }
}

impl From<StoreError> for StoreLimitsError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
