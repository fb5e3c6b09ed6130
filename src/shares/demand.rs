//! The size of a share, as a pure function of the time of the last draw and whether the share could be drawn in full.
//!
//! A share that lasts less than [`OFTEN_NS`] doubles, up to the largest allowed. A share that lasts longer than
//! [`SELDOM_NS`] halves, once for each such time. So a busy core comes to draw once in a time between the two, and an
//! idle core's share shrinks at its next draw. A share that could not be drawn in full, because permits are scarce,
//! shrinks to what was available, and grows again only after a full draw.

const OFTEN_NS: u64 = 50_000;

const SELDOM_NS: u64 = 5_000_000;

/// The first share, in permits.
const FIRST: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizing {
    /// By demand.
    Adaptive,
    Fixed(u64),
}

/// What a slot, or a thread or task with its own share, draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// The claimed capacity, in permits.
    pub(crate) claim: u64,
    pub(crate) drawn_ns: u64,
    /// Whether the last draw gave less than a share.
    pub(crate) scarce: bool,
}

impl Demand {
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

    /// The share after a draw that gave `got` of the permits `asked` for.
    pub(crate) const fn after(&self, got: u64, asked: u64, sizing: Sizing) -> u64 {
        match sizing {
            Sizing::Adaptive if got < asked => self.claim - (asked - got),
            _ => self.claim,
        }
    }
}
