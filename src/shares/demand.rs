//! How large a share is to be: a pure function of when it was drawn last and whether it could be had.
//!
//! A share that lasts for less than [`OFTEN_NS`] doubles, up to the largest there may be; one that lasts for more than
//! [`SELDOM_NS`] halves, once for each such time. So a busy core comes to draw about once in that time, however
//! many permits that takes, and what an idle core has parked goes down as soon as it draws again. Where a share
//! could not be had in full, permits are scarce: it comes down to what there was, and does not grow until
//! there is enough.

/// Draws that follow one another faster than this are too many.
const OFTEN_NS: u64 = 50_000;

/// A share that lasts longer than this is too large.
const SELDOM_NS: u64 = 5_000_000;

/// The first share.
const FIRST: u64 = 2;

/// How the size of shares is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizing {
    /// By demand.
    Adaptive,
    /// So many permits, as far as they may be parked.
    Fixed(u64),
}

/// What a drawer wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// The capacity that it has claimed, in permits.
    pub(crate) claim: u64,
    /// When it last drew.
    pub(crate) drawn_ns: u64,
    /// Whether it then got less than a share.
    pub(crate) scarce: bool,
}

impl Demand {
    /// The share to draw now, of at most `largest` permits.
    pub(crate) fn wanted(&self, sizing: Sizing, largest: u64, now_ns: u64) -> u64 {
        let wanted = match sizing {
            Sizing::Fixed(share) => share,
            Sizing::Adaptive => self.by_demand(now_ns.saturating_sub(self.drawn_ns)),
        };
        wanted.min(largest)
    }

    fn by_demand(&self, lasted_ns: u64) -> u64 {
        match self.claim {
            0 if self.scarce => 0,
            0 => FIRST,
            claim if lasted_ns < OFTEN_NS && !self.scarce => claim.saturating_mul(2),
            claim => claim.checked_shr((lasted_ns / SELDOM_NS).min(64) as u32).unwrap_or(0).max(FIRST),
        }
    }

    /// The share that is left when so much of it could not be had.
    pub(crate) const fn after(&self, got: u64, asked: u64, sizing: Sizing) -> u64 {
        match sizing {
            Sizing::Adaptive if got < asked => self.claim - (asked - got),
            _ => self.claim,
        }
    }
}
