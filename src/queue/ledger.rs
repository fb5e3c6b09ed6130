//! How much of a grant can still go back.
//!
//! A grant that was not used goes back, except for what would have overflowed the bucket since it was made. Take the bucket
//! in which the grant was never made. Let D be how far its level is above ours: the cost of the grant at first. Whenever the
//! TAT is compared with a time, or clamped at one, that other bucket may have been full already; then D falls to how far
//! the TAT is *ahead* of that time. Nothing else changes D. So what can go back is the least of
//! - the cost,
//! - all the distances by which the TAT was ahead at a comparison since the grant,
//! - the distance now.
//!
//! Only those comparisons are noted that were closer than all after them. A comparison with the same time as the last
//! one needs no note: what was granted in between was granted from that time on, and has not overflowed. If there are more
//! than [`NOTES`], the two oldest are made one, with the lesser distance: rather too little goes back.
//!
//! When a grant goes back, the distances noted since it was made shrink by as much, for without it the TAT would have been
//! less far ahead. A change of quota that keeps the level converts the distances. A step of the clock, a reset and a change
//! that does not keep the level count as a comparison with the TAT itself: nothing granted before goes back.
//!
//! What was taken without the lock has left no note. It raised the TAT, at a time no later than now, so that the word as the
//! last thaw left it is compared with now. What is moved from the slots to the word is no comparison: in the other bucket
//! it would be in the slots still.
//!
//! Random histories against the rule: `tests/models/give_back.rs`.

use arrayvec::ArrayVec;

/// The most notes.
pub(super) const NOTES: usize = 16;

/// What a grant keeps of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    moment: u64,
    /// The ticks to one permit when the grant was made.
    per_permit: u64,
}

impl Receipt {
    /// A cost by a scale of so many ticks to one permit.
    pub(super) fn convert(&self, cost: u64, per_permit: u64) -> u64 {
        proportion(cost.into(), per_permit, self.per_permit).try_into().unwrap_or(u64::MAX)
    }
}

/// A comparison: grants of this moment or before were made before it.
#[derive(Clone, Copy, Debug)]
struct Note {
    moment: u64,
    /// How far the TAT was ahead, in ticks.
    ahead: u64,
}

#[derive(Debug)]
pub(super) struct Ledger {
    /// By moment, and by distance.
    notes: ArrayVec<Note, NOTES>,
    moment: u64,
    /// The time of the last comparison.
    compared: Option<u64>,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self { notes: ArrayVec::new_const(), moment: 0, compared: None }
    }

    /// The TAT is compared with this time, or clamped at it.
    pub(super) fn compare(&mut self, tat: u64, time: u64) {
        if self.compared != Some(time) || tat < time {
            self.note(tat.saturating_sub(time));
            self.compared = Some(time);
        }
    }

    /// The TAT was so far ahead of a time that it was compared with.
    pub(super) fn note(&mut self, ahead: u64) {
        self.moment += 1;
        self.compared = None;
        while self.notes.last().is_some_and(|note| note.ahead >= ahead) {
            self.notes.pop();
        }
        if self.notes.is_full() {
            let oldest = self.notes.remove(0);
            self.notes[0].ahead = oldest.ahead;
        }
        self.notes.push(Note { moment: self.moment, ahead });
    }

    /// The receipt of a grant that is being made, after its comparison.
    pub(super) const fn receipt(&self, per_permit: u64) -> Receipt {
        Receipt { moment: self.moment, per_permit }
    }

    /// How much of a cost can go back, by a scale of so many ticks to one permit.
    pub(super) fn good(&self, cost: u64, receipt: &Receipt, per_permit: u64) -> u64 {
        let least =
            self.notes.iter().find(|note| note.moment > receipt.moment).map_or(u64::MAX, |note| note.ahead);
        receipt.convert(cost, per_permit).min(least)
    }

    /// So much of a grant has gone back.
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

    /// No grant so far goes back.
    pub(super) fn close(&mut self) {
        self.note(0);
    }

    /// Time counts from another origin.
    pub(super) const fn move_origin(&mut self) {
        self.compared = None;
    }

    /// The scale changes from `old` ticks to one permit to `new`.
    pub(super) fn rescale(&mut self, old: u64, new: u64) {
        for note in &mut self.notes {
            // Rounded down: rather too little goes back.
            note.ahead = proportion(note.ahead.into(), new, old).try_into().unwrap_or(u64::MAX);
        }
    }
}

/// `ticks * new / old`, rounded down. Nothing overflows: `new` and `old` are of up to 62 bits, and `ticks` of up to 64.
pub(super) fn proportion(ticks: i128, new: u64, old: u64) -> i128 {
    (ticks * i128::from(new)).div_euclid(i128::from(old))
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
