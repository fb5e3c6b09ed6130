//! What has been granted, and has not been used.

use std::task::Poll;

use tidegate::Reservation;

use super::{
    super::{clock::TestClock, tasks::Call},
    rules::Room,
};
use crate::Outcome;

/// Permits that are going to be unused, or are in use.
pub(super) enum Kept {
    Reservation(Reservation<TestClock>),
    /// Granted, but not told so yet.
    Untold(Call),
}

pub(super) struct Held {
    pub(super) n: i64,
    pub(super) kept: Kept,
    pub(super) used: bool,
    pub(super) room: Room,
}

impl Kept {
    /// The permits stay taken.
    pub(super) fn spend(self) -> Outcome {
        let reservation = match self {
            Self::Reservation(reservation) => Some(reservation),
            Self::Untold(mut call) => match call.poll() {
                Poll::Ready(Ok(reservation)) => reservation,
                other => return Err(format!("granted, but {:?}", other.map_ok(drop))),
            },
        };
        if let Some(reservation) = reservation {
            reservation.spend();
        }
        Ok(())
    }
}
