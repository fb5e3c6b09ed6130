//! The bucket and the queue of `timed_spec.rs`: what waiters have come to, and what a grant that comes back may undo.

/// Who waits: a thread has one future, and may block beside that.
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
        /// How many looks at the bucket came before it.
        looks: usize,
    },
    /// It is told to come again in so long.
    Denied(u64),
}

/// The arrival time has been compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Look {
    /// By how much it was ahead.
    pub(crate) slack: i64,
    /// What it was, if that may have been without the lock.
    pub(crate) unlocked: Option<i64>,
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
    /// Since the oldest of the grants in there.
    pub(crate) looks: Vec<Look>,
}

impl State {
    /// The arrival time is compared with `floor`.
    pub(crate) fn look(&mut self, floor: i64, unlocked: bool) {
        if self.outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Granted { .. })) {
            let slack = (self.tat - floor).max(0);
            self.looks.push(Look { slack, unlocked: unlocked.then_some(self.tat) });
        }
    }

    /// What was taken was not there before `floor`.
    pub(crate) fn take(&mut self, cost: i64, floor: i64) {
        self.look(floor, self.queue.is_empty());
        self.tat = self.tat.max(floor) + cost;
    }

    /// What has become of it is taken from what nobody has heard of.
    pub(crate) fn hear(&mut self, id: Id) -> Option<Outcome> {
        let i = self.outcomes.iter().position(|&(other, _)| other == id)?;
        let (_, outcome) = self.outcomes.remove(i);
        // Who comes first in there was granted first.
        let oldest = self.outcomes.iter().find_map(|&(_, outcome)| match outcome {
            Outcome::Granted { looks, .. } => Some(looks),
            Outcome::Denied(_) => None,
        });
        let oldest = oldest.unwrap_or(self.looks.len());
        self.looks.drain(..oldest);
        for (_, later) in &mut self.outcomes {
            if let Outcome::Granted { looks, .. } = later {
                *looks -= oldest;
            }
        }
        Some(outcome)
    }

    /// It leaves; what that may come to.
    pub(crate) fn leave(&self, id: Id) -> Vec<Self> {
        let mut lost = self.clone();
        lost.queue.retain(|waiter| waiter.id != id);
        let Some(Outcome::Granted { cost, looks }) = lost.hear(id) else { return vec![lost] };
        let since = &self.looks[looks..];
        let known = |look: &Look| look.unlocked.is_none_or(|tat| tat - self.now >= cost);
        if !since.iter().all(|look| look.slack >= cost) {
            return vec![lost];
        }
        let mut back = self.clone();
        for look in &mut back.looks[looks..] {
            look.slack -= cost;
            look.unlocked = look.unlocked.map(|tat| tat - cost);
        }
        back.tat -= cost;
        back.hear(id);
        if since.iter().all(known) { vec![back] } else { vec![lost, back] }
    }
}
