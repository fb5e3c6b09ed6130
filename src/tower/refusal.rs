//! A refused request.

use core::{fmt, time::Duration};

use crate::error::Denied;

/// Why a request was refused, and by which policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    pub(super) policy: &'a str,
    pub(super) reason: Reason,
}

/// Why a policy refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The limiter refused it.
    Denied(Denied),
    /// It has no key, and the policy demands one.
    MissingKey,
    /// A function of the policy panicked.
    Panicked,
}

impl Refusal<'_> {
    /// The name of the policy that refused the request.
    pub const fn policy(&self) -> &str {
        self.policy
    }

    /// Why.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// After which time the same request may be admitted; `None` if never, or nobody knows.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.reason {
            Reason::Denied(denied) => denied.retry_after(),
            Reason::MissingKey | Reason::Panicked => None,
        }
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {:?}: ", self.policy)?;
        match self.reason {
            Reason::Denied(denied) => denied.fmt(f),
            Reason::MissingKey => f.write_str("the request has no key, such as a user or an address"),
            Reason::Panicked => f.write_str("the function for the key or the cost of the request panicked"),
        }
    }
}
