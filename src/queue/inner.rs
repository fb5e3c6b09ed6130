//! What the queue's lock guards: the waiters, and what has to be remembered about the word.

use core::{pin::Pin, task::Waker};

use super::{
    doubt::Doubt,
    list::{List, Node},
    slack::Slack,
    timer::{Runtime, Timer, current_runtime},
};
use crate::{gcra::MAX_TAT, meter::Meter};

/// A waiter's place in the queue.
pub(super) type Place = Node<Entry, Grant>;

/// What stands in the queue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) cost: u64,
    pub(super) waker: Option<Waker>,
    /// The runtime it was polled on, as far as anybody asked.
    pub(super) runtime: Runtime,
}

/// What a grant leaves with the waiter: all that is needed to give it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) cost: u64,
    /// When it was made, for `slack`.
    pub(super) moment: u64,
}

/// What calls without the lock may have compared with the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unlocked {
    /// It concerns grants made before this moment.
    pub(super) before: u64,
    /// The least arrival time that they can have seen.
    pub(super) least: u64,
    /// Grants made before this moment are not given back at all: what they would have to be compared with
    /// has been replaced.
    pub(super) lost_before: u64,
}

/// Whether the hand-off is running (see `hand_off.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandOff {
    Idle,
    Running,
    Called,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) list: List<Entry, Grant>,
    /// Ticks asked for by those in the list. A single cost may have 62 bits.
    pub(super) queued: u128,
    pub(super) slack: Slack,
    pub(super) unlocked: Unlocked,
    /// The arrival time when QUEUED was last cleared.
    pub(super) closed: u64,
    /// By which number of ticks it was ahead then of what calls without the lock compare it with at tick zero.
    pub(super) closed_ahead: u64,
    /// How many want QUEUED to stay set.
    pub(super) holds: usize,
    pub(super) doubt: Option<Doubt>,
    pub(super) timer: Timer,
    /// The clock reading for which an alarm is set.
    pub(super) armed: Option<u64>,
    pub(super) hand_off: HandOff,
}

impl Inner {
    /// For a word of that arrival time.
    pub(super) fn new(tat: u64) -> Self {
        Self {
            list: List::new(),
            queued: 0,
            slack: Slack::new(),
            unlocked: Unlocked { before: 0, least: MAX_TAT, lost_before: 0 },
            closed: tat,
            closed_ahead: tat,
            holds: 0,
            doubt: None,
            timer: Timer::default(),
            armed: None,
            hand_off: HandOff::Idle,
        }
    }

    /// Puts a waiter at the back. QUEUED is set.
    pub(super) fn join(&mut self, place: Pin<&Place>, cost: u64, waker: Waker) {
        self.queued += u128::from(cost);
        // A timer that can be relied on needs nobody to take its place, and to ask for a runtime costs more
        // than all the rest.
        let runtime = if self.timer.is_steady() { None } else { current_runtime() };
        self.list.push_back(place, Entry { cost, waker: Some(waker), runtime });
    }

    /// Takes a waiter out that was not granted yet.
    pub(super) fn remove(&mut self, place: Pin<&Place>) -> Option<Entry> {
        let entry = self.list.remove(place)?;
        self.queued -= u128::from(entry.cost);
        Some(entry)
    }

    /// Tells those without the lock how much is asked for by those who wait.
    pub(super) fn report_queued(&self, meter: &Meter) {
        meter.set_queued(u64::try_from(self.queued).unwrap_or(u64::MAX));
    }
}
