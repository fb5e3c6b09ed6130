//! How much of a grant can still go back.
//!
//! An unused grant goes back, except for what would have overflowed if it had never been made. Compare the bucket with
//! the one *without the grant*, and let D be how much higher the level of that one is. At first D is the cost. When the
//! TAT is compared with a time, or raised to it, the bucket without the grant may have been full. Then D falls to how
//! far the TAT is *ahead* of that time, if that is less. Nothing else changes D. So what can go back is the least of
//! the cost, of how far the TAT was ahead at each comparison since the grant, and of how far it is ahead now.
//!
//! ```text
//! time   call                   TAT ahead   D of the first grant   TAT after (a full bucket at first)
//!  100   40 ticks are granted       0                40             140
//!  125   50 ticks are granted      15                15             190
//!  180   the first goes back       10                10             180: 10 of its 40 ticks go back
//! ```
//!
//! A note is dropped when a later one is as near or nearer, so the distances ascend from the oldest note to the newest.
//! A second comparison with the same time needs no note: what was granted in between was granted from that time on, and
//! has not overflowed. Above [`NOTES`] notes two neighbours become one, with the lesser distance: rather too little goes
//! back. These are the two whose distances differ least in proportion, so a grant loses at most a part. (The two oldest may
//! differ by all of it: before the first grant of a full bucket the TAT was not ahead at all.)
//!
//! When a grant goes back, the distances since it shrink by as much: without the grant, the TAT would have been less
//! far ahead. A change of quota that keeps the level converts them. After a step back of the clock, a reset, or another
//! change of quota, no earlier grant goes back. Calls without the lock leave no note; invariant 3 of `core.rs` says
//! what they count as. Moving parked permits into the word is no comparison: in the bucket without the grant they would
//! still be in the slots. `tests/models/give_back.rs` checks random histories against the rule.

use arrayvec::ArrayVec;

use crate::permits::Permits;

pub(super) const NOTES: usize = 16;

/// The moment of a grant, and the ticks per permit at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    moment: u64,
    per_permit: u64,
}

impl Receipt {
    /// The cost of `permits` when the grant was made.
    pub(super) fn ticks(&self, permits: Permits) -> u64 {
        permits.ticks(self.per_permit).try_into().unwrap_or(u64::MAX)
    }

    pub(super) fn convert(&self, cost: u64, per_permit: u64) -> u64 {
        proportion(cost.into(), per_permit, self.per_permit).try_into().unwrap_or(u64::MAX)
    }
}

/// A comparison. The grants of lesser moments were made before it.
#[derive(Clone, Copy, Debug)]
struct Note {
    moment: u64,
    /// How far the TAT was ahead, in ticks.
    ahead: u64,
}

#[derive(Debug)]
pub(super) struct Ledger {
    /// Ascending by moment, and by distance.
    notes: ArrayVec<Note, NOTES>,
    moment: u64,
    /// The time of the last note, if it is known and counts from the present origin.
    compared: Option<u64>,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self { notes: ArrayVec::new_const(), moment: 0, compared: None }
    }

    /// Notes that `tat` is compared with `time`, or raised to it.
    pub(super) fn compare(&mut self, tat: u64, time: u64) {
        // `tat < time`: clamped again, so the bucket without the grant loses again.
        if self.compared != Some(time) || tat < time {
            self.note(tat.saturating_sub(time));
            self.compared = Some(time);
        }
    }

    /// Notes a comparison at which the TAT was `ahead` ticks ahead.
    pub(super) fn note(&mut self, ahead: u64) {
        self.moment += 1;
        self.compared = None;
        while self.notes.last().is_some_and(|note| note.ahead >= ahead) {
            self.notes.pop();
        }
        if self.notes.is_full() {
            self.merge_two();
        }
        self.notes.push(Note { moment: self.moment, ahead });
    }

    /// Makes one note of two neighbours: of those whose distances differ least in proportion.
    fn merge_two(&mut self) {
        let ahead = |i: usize| u128::from(self.notes[i].ahead);
        let nearest = (0..self.notes.len() - 1).reduce(|best, i| {
            // Which of the quotients of neighbours is the greater.
            if ahead(i) * ahead(best + 1) > ahead(best) * ahead(i + 1) { i } else { best }
        });
        if let Some(nearest) = nearest {
            // Notes ascend, so the older one has the lesser distance.
            let older = self.notes.remove(nearest);
            self.notes[nearest].ahead = older.ahead;
        }
    }

    pub(super) const fn receipt(&self, per_permit: u64) -> Receipt {
        Receipt { moment: self.moment, per_permit }
    }

    /// How much of a cost can go back, in ticks at `per_permit` ticks per permit.
    pub(super) fn returnable(&self, cost: u64, receipt: &Receipt, per_permit: u64) -> u64 {
        let least =
            self.notes.iter().find(|note| note.moment > receipt.moment).map_or(u64::MAX, |note| note.ahead);
        receipt.convert(cost, per_permit).min(least)
    }

    /// `by` ticks of a grant have gone back.
    pub(super) fn shrink(&mut self, receipt: &Receipt, by: u64) {
        let first = self.notes.iter().position(|note| note.moment > receipt.moment);
        let Some(mut first) = first else { return };
        for note in &mut self.notes[first..] {
            note.ahead = note.ahead.saturating_sub(by);
        }
        while first > 0 && self.notes[first - 1].ahead >= self.notes[first].ahead {
            first -= 1;
            self.notes.remove(first);
        }
    }

    /// No earlier grant goes back from now on.
    pub(super) fn close(&mut self) {
        self.note(0);
    }

    /// Time counts from another origin.
    pub(super) const fn move_origin(&mut self) {
        self.compared = None;
    }

    /// Converts the distances from `old` ticks per permit to `new`.
    pub(super) fn rescale(&mut self, old: u64, new: u64) {
        for note in &mut self.notes {
            // Rounded down: rather too little goes back.
            note.ahead = proportion(note.ahead.into(), new, old).try_into().unwrap_or(u64::MAX);
        }
    }
}

/// `ticks * new / old`, rounded down. No overflow: `new` and `old` have up to 62 bits, and `ticks` up to 64.
pub(super) fn proportion(ticks: i128, new: u64, old: u64) -> i128 {
    (ticks * i128::from(new)).div_euclid(i128::from(old))
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
