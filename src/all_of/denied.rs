//! Which of several limits refuses.

use core::{error::Error, fmt, time::Duration};

use crate::error::Denied;

/// The refusal to report: one that is for ever, or else the longest.
pub(super) struct Refusals(pub(super) Option<AllOfDenied>);

impl Refusals {
    pub(super) fn note(&mut self, index: usize, denied: Denied) {
        let rank = |denied: &Denied| denied.retry_after().unwrap_or(Duration::MAX);
        if self.0.is_none_or(|known| rank(&known.denied) < rank(&denied)) {
            self.0 = Some(AllOfDenied { index, denied });
        }
    }

    pub(super) const fn result(&self) -> Result<(), AllOfDenied> {
        match self.0 {
            Some(denied) => Err(denied),
            None => Ok(()),
        }
    }
}

/// Which of several limits refused a call, and why. Nothing was taken. See the example of [`AllOf`](super::AllOf).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllOfDenied {
    index: usize,
    denied: Denied,
}

impl AllOfDenied {
    pub(super) const fn new(index: usize, denied: Denied) -> Self {
        Self { index, denied }
    }

    /// The number of the limit that refused, in the order of the [`AllOf::and`](super::AllOf::and) calls, from 0. For a limiter that was
    /// added several times, the first of them.
    pub const fn limit(&self) -> usize {
        self.index
    }

    /// Why that limit refused.
    pub const fn denied(&self) -> Denied {
        self.denied
    }

    /// As [`Denied::retry_after`].
    pub const fn retry_after(&self) -> Option<Duration> {
        self.denied.retry_after()
    }

    /// As [`Denied::is_never`].
    pub const fn is_never(&self) -> bool {
        self.denied.is_never()
    }
}

impl fmt::Display for AllOfDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused by limit {} (counted from 0): {}", self.index, self.denied)
    }
}

impl Error for AllOfDenied {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.denied)
    }
}

impl From<AllOfDenied> for Denied {
    fn from(refusal: AllOfDenied) -> Self {
        refusal.denied
    }
}
