//! The refusal of a caller that finds too many waiters.

use core::{error::Error, fmt, time::Duration};

use super::not_yet::NotYet;

/// As many callers wait as [may](crate::RateLimiter::set_max_waiters). Nothing was taken.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{Denied, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_hour(1));
/// limiter.set_max_waiters(0);
/// limiter.try_acquire().unwrap();
/// let Err(Denied::QueueFull(full)) = limiter.blocking_acquire_within(1, Duration::MAX) else { panic!() };
/// assert_eq!(full.max_waiters(), 0);
/// assert!(full.retry_after() > Duration::from_secs(3_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull {
    max_waiters: usize,
    not_yet: NotYet,
}

impl QueueFull {
    pub(crate) const fn new(max_waiters: usize, not_yet: NotYet) -> Self {
        Self { max_waiters, not_yet }
    }

    /// How many callers may wait.
    pub const fn max_waiters(&self) -> usize {
        self.max_waiters
    }

    /// How long until the request can be granted behind all present waiters, as [`NotYet::retry_after`].
    pub const fn retry_after(&self) -> Duration {
        self.not_yet.retry_after()
    }

    pub(super) const fn not_yet(&self) -> &NotYet {
        &self.not_yet
    }
}

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_waiters, not_yet } = self;
        write!(f, "{not_yet} (the queue is full: at most {max_waiters} callers may wait)")
    }
}

impl Error for QueueFull {}
