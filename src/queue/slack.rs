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
//! Calls without the lock note nothing. Between two holds of the lock all that is known of them is the least arrival
//! time that they can have compared, and that no clock reading of theirs is later than one made once the word is
//! QUEUED again. So that arrival time is noted by itself, and counts as ahead of whatever the clock then shows, or of
//! the latest reading that is known if the clock has stepped back. (Of one that was made without the lock, that it was
//! no earlier than the arrival time it led to, less a burst and what debt there was.)
//!
//! # Invariants
//! 1. Notes are kept in the order in which they were made, and rising: a note is dropped when one with no more comes
//!    after it. So the least since any moment is the first one made after it.
//! 2. There is room for so many. Of slacks, the two newest are then merged into one with the later number and the
//!    lesser slack. That errs on the side of not giving back, and only for a cost above the lesser slack, which is
//!    more than all but one of the others. Arrival times rise with the clock, so the new ones have to last: the two
//!    oldest are merged, and those that the clock has reached, which are worth nothing, are one.
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
    value: u64,
}

/// Notes of one kind, and the least of them since any moment.
#[derive(Debug)]
struct Notes {
    notes: [Note; NOTES],
    len: usize,
}

impl Notes {
    const NONE: Self = Self { notes: [Note { number: 0, value: 0 }; NOTES], len: 0 };

    fn all(&self) -> &[Note] {
        &self.notes[..self.len]
    }

    fn all_mut(&mut self) -> &mut [Note] {
        &mut self.notes[..self.len]
    }

    /// Those made since a moment.
    fn since(&self, moment: u64) -> usize {
        self.all().iter().position(|note| note.number > moment).unwrap_or(self.len)
    }

    /// The least that was noted after a moment, if anything was.
    fn least_since(&self, moment: u64) -> Option<u64> {
        self.all().get(self.since(moment)).map(|note| note.value)
    }

    fn push(&mut self, note: Note) {
        while self.all().last().is_some_and(|last| last.value >= note.value) {
            self.len -= 1;
        }
        if self.len == NOTES {
            self.notes[NOTES - 2].number = self.notes[NOTES - 1].number;
            self.len -= 1;
        }
        self.notes[self.len] = note;
        self.len += 1;
    }

    /// Merges the oldest, of which there are so many, into one.
    fn merge_oldest(&mut self, count: usize) {
        if count > 1 {
            self.notes[count - 1].value = self.notes[0].value;
            self.notes.copy_within(count - 1..self.len, 0);
            self.len -= count - 1;
        }
    }

    /// Takes `cost` off those made since a moment.
    fn shrink(&mut self, moment: u64, cost: u64) {
        let first = self.since(moment);
        for note in &mut self.all_mut()[first..] {
            note.value = note.value.saturating_sub(cost);
        }
        let Some(&Note { value: least, .. }) = self.all().get(first) else { return };
        let kept = self.all()[..first].iter().take_while(|note| note.value < least).count();
        self.notes.copy_within(first..self.len, kept);
        self.len -= first - kept;
    }
}

/// The least slack since any moment.
#[derive(Debug)]
pub(super) struct Slack {
    slacks: Notes,
    /// The least arrival times that calls without the lock can have compared.
    unlocked: Notes,
    /// No earlier than the latest of their readings that is known, as far as these are noted.
    latest: u64,
    number: u64,
    /// The floor of the latest note, if it counts from one, and the latest slack by it.
    by_floor: Option<(u64, u64)>,
}

impl Slack {
    pub(super) const fn new() -> Self {
        Self { slacks: Notes::NONE, unlocked: Notes::NONE, latest: 0, number: 0, by_floor: None }
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
        let number = self.next();
        self.slacks.push(Note { number, value: slack });
    }

    /// Notes that there were calls without the lock, and the least arrival time that they can have compared. The
    /// clock has shown `now`.
    pub(super) fn note_unlocked(&mut self, least: u64, now: u64) {
        let number = self.next();
        self.latest = self.latest.max(now);
        let reached = self.unlocked.all().iter().take_while(|note| note.value <= self.latest).count();
        self.unlocked.merge_oldest(reached);
        if self.unlocked.len == NOTES {
            self.unlocked.merge_oldest(2);
        }
        self.unlocked.push(Note { number, value: least });
    }

    /// No grant so far can be given back.
    pub(super) fn forget(&mut self) {
        self.unlocked = Notes::NONE;
        self.latest = 0;
        self.note(0);
    }

    fn next(&mut self) -> u64 {
        self.by_floor = None;
        self.number += 1;
        self.number
    }

    /// The least that was noted after a moment; `u64::MAX` if nothing was. The clock was read, as `now`, after all calls
    /// without the lock since then.
    pub(super) fn least_since(&self, moment: u64, now: u64) -> u64 {
        let unlocked = self.unlocked.least_since(moment).map(|tat| tat.saturating_sub(now.max(self.latest)));
        let slack = self.slacks.least_since(moment);
        slack.into_iter().chain(unlocked).min().unwrap_or(u64::MAX)
    }

    /// Converts all notes, by something that does not fall as its argument rises. The clock was read, as `now`, after
    /// all calls without the lock so far.
    pub(super) fn convert(&mut self, now: u64, convert: impl Fn(u64) -> u64) {
        self.by_floor = None;
        let now = now.max(core::mem::take(&mut self.latest));
        let unlocked = self.unlocked.all().iter();
        let unlocked = unlocked.map(|note| Note { value: note.value.saturating_sub(now), ..*note });
        let mut all: Vec<_> = self.slacks.all().iter().copied().chain(unlocked).collect();
        all.sort_by_key(|note| note.number);
        self.slacks = Notes::NONE;
        self.unlocked = Notes::NONE;
        for note in all {
            self.slacks.push(Note { value: convert(note.value), ..note });
        }
    }

    /// The arrival time counts from another origin, and so do the floors: what was `was` is `now`.
    pub(super) fn count_from(&mut self, was: u128, now: u64) {
        self.by_floor = None;
        let moved = |tick: u64| {
            let moved = (u128::from(tick) + u128::from(now)).saturating_sub(was);
            moved.try_into().unwrap_or(u64::MAX)
        };
        for note in self.unlocked.all_mut() {
            note.value = moved(note.value);
        }
        self.latest = moved(self.latest);
    }

    /// What was granted at that cost at that moment never was.
    pub(super) fn shrink(&mut self, moment: u64, cost: u64) {
        if let Some((_, slack)) = &mut self.by_floor {
            *slack = slack.saturating_sub(cost);
        }
        self.slacks.shrink(moment, cost);
        self.unlocked.shrink(moment, cost);
    }
}
