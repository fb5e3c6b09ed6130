//! Which of several limits refuses.

use core::{error::Error, fmt, time::Duration};

use crate::error::{ChargeError, Denied};

/// One limit of a call, as refusals show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Which {
    /// The number of its [`AllOf::and`](super::AllOf::and) call, from 0.
    pub(super) index: usize,
    pub(super) name: Option<&'static str>,
}

impl Which {
    /// With this name, if it has none.
    pub(super) fn or_named(self, name: Option<&'static str>) -> Self {
        Self { name: self.name.or(name), ..self }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "refused by limit {} (counted from 0)", self.index),
        }
    }
}

/// The refusal to report: one that is for ever, or else the longest.
pub(super) struct Refusals(pub(super) Option<AllOfDenied>);

impl Refusals {
    pub(super) fn note(&mut self, which: Which, denied: Denied) {
        let rank = |denied: &Denied| denied.retry_after().unwrap_or(Duration::MAX);
        if self.0.is_none_or(|known| rank(&known.denied) < rank(&denied)) {
            self.0 = Some(AllOfDenied { which, denied });
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
    which: Which,
    denied: Denied,
}

impl AllOfDenied {
    pub(super) const fn new(which: Which, denied: Denied) -> Self {
        Self { which, denied }
    }

    /// The number of the limit that refused, in the order of the [`AllOf::and`](super::AllOf::and) calls, from 0. For a limiter that was
    /// added several times, the first of them.
    pub const fn limit(&self) -> usize {
        self.which.index
    }

    /// The name of the limit, if it was added by [`AllOf::and_named`](super::AllOf::and_named); see the example there.
    pub const fn name(&self) -> Option<&'static str> {
        self.which.name
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
        write!(f, "{}: {}", self.which, self.denied)
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

/// Which of several limits refused a charge, and why. See the example of [`AllOf::charge`](super::AllOf::charge).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllOfChargeError {
    which: Which,
    error: ChargeError,
}

impl AllOfChargeError {
    pub(super) const fn new(which: Which, error: ChargeError) -> Self {
        Self { which, error }
    }

    /// Of two errors the one of the limit that was added first.
    pub(super) fn first(known: Option<Self>, error: Self) -> Option<Self> {
        known.filter(|known| known.limit() <= error.limit()).or(Some(error))
    }

    /// As [`AllOfDenied::limit`]. For [`ReservationAll::settle`](super::ReservationAll::settle) it counts in the costs.
    pub const fn limit(&self) -> usize {
        self.which.index
    }

    /// As [`AllOfDenied::name`].
    pub const fn name(&self) -> Option<&'static str> {
        self.which.name
    }

    /// Why that limit refused.
    pub const fn error(&self) -> ChargeError {
        self.error
    }
}

impl fmt::Display for AllOfChargeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.which, self.error)
    }
}

impl Error for AllOfChargeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl From<AllOfChargeError> for ChargeError {
    fn from(refusal: AllOfChargeError) -> Self {
        refusal.error
    }
}
