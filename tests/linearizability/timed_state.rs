//! The bucket and the queue of `timed_spec.rs`: what waiters have come to, and what of a grant may come back.

/// The waiter of a thread: the thread has one future, and may also block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub(crate) thread: usize,
    pub(crate) blocked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Waiter {
    pub(crate) id: Id,
    pub(crate) cost: i64,
    pub(crate) deadline: i64,
}

/// What a waiter has not heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Granted {
        cost: i64,
        /// How many comparisons came before it.
        comparisons: usize,
    },
    /// It is told to come again in so long.
    Denied(u64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) now: i64,
    /// The theoretical arrival time.
    pub(crate) tat: i64,
    /// The hand-off has read the clock.
    pub(crate) reading: Option<i64>,
    /// Until when a queue that has run empty leaves credit.
    pub(crate) credit_until: i64,
    /// From front to back.
    pub(crate) queue: Vec<Waiter>,
    pub(crate) outcomes: Vec<(Id, Outcome)>,
    /// By how much the arrival time was ahead of the times that it was compared with, since the oldest of the grants in
    /// there.
    pub(crate) comparisons: Vec<i64>,
    /// The arrival time as the lock has left it, if a call without the lock has taken something since.
    pub(crate) left: Option<i64>,
}

impl State {
    /// The lock is taken, and the clock is read. What was taken without the lock counts as decided by then.
    pub(crate) fn lock(&mut self, read: i64) {
        if let Some(tat) = self.left.take() {
            self.note(tat - read);
        }
    }

    /// The arrival time is compared with a time, and was so far ahead.
    fn note(&mut self, ahead: i64) {
        if self.outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Granted { .. })) {
            self.comparisons.push(ahead.max(0));
        }
    }

    /// With the lock. What was taken was not there before `floor`.
    pub(crate) fn take(&mut self, cost: i64, floor: i64) {
        if cost > 0 {
            self.note(self.tat - floor);
            self.tat = self.tat.max(floor) + cost;
        }
    }

    /// Without the lock.
    pub(crate) fn take_unlocked(&mut self, cost: i64, floor: i64) {
        if cost > 0 {
            self.left = self.left.or(Some(self.tat));
            self.tat = self.tat.max(floor) + cost;
        }
    }

    /// So much comes, up to a full burst.
    pub(crate) fn refund(&mut self, cost: i64, read: i64) {
        if self.tat > read {
            self.tat = (self.tat - cost).max(read);
            self.note(self.tat - read);
        }
    }

    /// No grant so far comes back.
    pub(crate) fn reset(&mut self, read: i64) {
        self.tat = self.tat.min(read);
        self.note(0);
    }

    /// The outcome of a waiter that has just been granted so much.
    pub(crate) fn granted(&self, cost: i64) -> Outcome {
        Outcome::Granted { cost, comparisons: self.comparisons.len() }
    }

    /// Removes its outcome from the outcomes that no call has seen.
    pub(crate) fn hear(&mut self, id: Id) -> Option<Outcome> {
        let i = self.outcomes.iter().position(|&(other, _)| other == id)?;
        let (_, outcome) = self.outcomes.remove(i);
        // The one that comes first in there was granted first.
        let oldest = self.outcomes.iter().find_map(|&(_, outcome)| match outcome {
            Outcome::Granted { comparisons, .. } => Some(comparisons),
            Outcome::Denied(_) => None,
        });
        let oldest = oldest.unwrap_or(self.comparisons.len());
        self.comparisons.drain(..oldest);
        for (_, later) in &mut self.outcomes {
            if let Outcome::Granted { comparisons, .. } = later {
                *comparisons -= oldest;
            }
        }
        Some(outcome)
    }

    /// A waiter leaves with what it was granted: by a reading, and by the floor for waiters. Of that as much comes back
    /// as would not have overflowed: no more than by how much the arrival time was ahead at any comparison since.
    pub(crate) fn give_back(&mut self, id: Id, read: i64, floor: i64) {
        self.lock(read);
        self.note(self.tat - floor);
        let outcome = self.outcomes.iter().find(|&&(other, _)| other == id);
        if let Some(&(_, Outcome::Granted { cost, comparisons })) = outcome {
            let since = &mut self.comparisons[comparisons..];
            let back = since.iter().copied().fold(cost, i64::min);
            for ahead in since {
                *ahead -= back;
            }
            self.tat -= back;
        }
        self.hear(id);
    }
}
