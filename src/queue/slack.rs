//! How late a grant may still be given back.
//!
//! To give a grant back is to say that it never was. That is exact if all else would have come out the
//! same without it: the arrival time would have been earlier by its cost ever since, and wherever it is
//! compared with the clock it would still have been ahead. Else the bucket would have been full meanwhile,
//! what came would have been lost, and giving it back would be a second burst.
//!
//! So each time the arrival time is compared with the clock, by how much it is ahead is noted: the *slack*.
//! A grant can be given back if its cost is no more than the least slack noted since.
//!
//! # Invariants
//! 1. Notes are kept in the order in which they were made, and by rising slack: a note is dropped when one
//!    with no more slack comes after it. So the least since any moment is the first one made after it.
//! 2. There is room for so many; else the two newest are merged into one with the later number and the lesser
//!    slack. That errs on the side of not giving back, and only for a cost above the lesser slack, which is
//!    more than all but one of the others.
//! 3. A note by the same floor as the one before is left out if the arrival time has only risen since. For
//!    grants from before both, it is no less. And for one made in between it is no less than its cost: it
//!    was made after it, by a floor below what that grant was added to. So a thousand that are granted at
//!    one time make one note.
//! 4. When a grant is given back, the notes made since it was granted shrink by its cost: they were made
//!    with it. Notes from before may then be no less than one that follows, and are dropped (1).

const NOTES: usize = if cfg!(all(test, tidegate_loom)) { 2 } else { 32 };

#[derive(Clone, Copy, Debug)]
struct Note {
    number: u64,
    slack: u64,
}

/// The least slack since any moment.
#[derive(Debug)]
pub(super) struct Slack {
    notes: [Note; NOTES],
    len: usize,
    number: u64,
    /// The floor of the latest note, if it counts from one, and the latest slack by it.
    by_floor: Option<(u64, u64)>,
}

impl Slack {
    pub(super) const fn new() -> Self {
        Self { notes: [Note { number: 0, slack: 0 }; NOTES], len: 0, number: 0, by_floor: None }
    }

    /// This moment, to ask about later.
    pub(super) const fn moment(&self) -> u64 {
        self.number
    }

    /// Notes by how much the arrival time is ahead of the floor that it is compared with.
    pub(super) fn note_by(&mut self, tat: u64, floor: u64) {
        let slack = tat.saturating_sub(floor);
        let risen =
            self.by_floor.is_some_and(|(latest, least)| latest == floor && least <= slack && slack > 0);
        if !risen {
            self.note(slack);
        }
        self.by_floor = Some((floor, slack));
    }

    /// Notes by how much the arrival time was ahead; zero if it was set by the clock.
    pub(super) fn note(&mut self, slack: u64) {
        self.by_floor = None;
        self.number += 1;
        while self.len > 0 && self.notes[self.len - 1].slack >= slack {
            self.len -= 1;
        }
        if self.len == NOTES {
            self.notes[NOTES - 2].number = self.notes[NOTES - 1].number;
            self.len -= 1;
        }
        self.notes[self.len] = Note { number: self.number, slack };
        self.len += 1;
    }

    /// The least that was noted after a moment; `u64::MAX` if nothing was.
    pub(super) fn least_since(&self, moment: u64) -> u64 {
        let first = self.notes[..self.len].iter().find(|note| note.number > moment);
        first.map_or(u64::MAX, |note| note.slack)
    }

    /// Converts all notes, by something that does not fall as its argument rises.
    pub(super) fn convert(&mut self, convert: impl Fn(u64) -> u64) {
        self.by_floor = None;
        for note in &mut self.notes[..self.len] {
            note.slack = convert(note.slack);
        }
        // Some that rose may have become equal; the first of them says it all, so the rest does no harm.
    }

    /// What was granted at that cost at that moment never was.
    pub(super) fn shrink(&mut self, moment: u64, cost: u64) {
        if let Some((_, slack)) = &mut self.by_floor {
            *slack = slack.saturating_sub(cost);
        }
        let len = self.len;
        let Some(first) = self.notes[..len].iter().position(|note| note.number > moment) else { return };
        for note in &mut self.notes[first..len] {
            note.slack = note.slack.saturating_sub(cost);
        }
        let least = self.notes[first].slack;
        let kept = self.notes[..first].iter().take_while(|note| note.slack < least).count();
        self.notes.copy_within(first..len, kept);
        self.len -= first - kept;
    }
}
