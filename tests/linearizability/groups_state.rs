//! The buckets and queues of `groups_spec.rs`.

use super::several::MOST;

/// What one asks for of each limit.
pub(crate) type Amounts = [u64; MOST];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Waiter {
    /// A thread has one future.
    pub(crate) thread: usize,
    pub(crate) amounts: Amounts,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// It waits for that limit, or was granted it last.
    In(usize),
    /// At the front of all queues, or granted all.
    Front,
    /// It takes nothing any more.
    Leaving,
}

/// What one of them holds of a limit, or was granted without having heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grant {
    pub(crate) thread: usize,
    /// How often permits had come before it.
    pub(crate) comings: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Limit {
    pub(crate) level: u64,
    /// Threads, from front to back.
    pub(crate) queue: Vec<usize>,
    pub(crate) grants: Vec<Grant>,
    /// What was missing each time after permits had come since the oldest of the grants.
    pub(crate) comings: Vec<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) limits: Vec<Limit>,
    /// By thread.
    pub(crate) waiters: Vec<Waiter>,
}

impl Limit {
    /// Whether a newcomer is admitted.
    pub(crate) fn admits(&self, n: u64) -> bool {
        self.queue.is_empty() && n <= self.level
    }

    pub(crate) fn grant(&mut self, thread: usize, n: u64) {
        self.queue.retain(|&other| other != thread);
        self.level -= n;
        self.grants.push(Grant { thread, comings: self.comings.len() });
    }

    /// So many come, up to a full burst.
    pub(crate) fn add(&mut self, n: u64, burst: u64) {
        self.level = (self.level + n).min(burst);
        let missing = burst - self.level;
        match self.grants.last() {
            Some(latest) if latest.comings < self.comings.len() => {
                // Only the least after each grant matters.
                let last = self.comings.last_mut().expect("it is not empty");
                *last = missing.min(*last);
            }
            Some(_) => self.comings.push(missing),
            None => {}
        }
    }

    pub(crate) fn granted(&self, thread: usize) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.thread == thread)
    }

    /// How much of so many would go back.
    pub(crate) fn good(&self, thread: usize, n: u64) -> u64 {
        let Some(grant) = self.granted(thread) else { return 0 };
        self.comings[grant.comings..].iter().copied().fold(n, u64::min)
    }

    pub(crate) fn give_back(&mut self, thread: usize, n: u64) {
        let good = self.good(thread, n);
        let since = self.granted(thread).map_or(self.comings.len(), |grant| grant.comings);
        for missing in &mut self.comings[since..] {
            *missing -= good;
        }
        self.level += good;
        self.forget(thread);
    }

    /// Its grant is used, or has gone back.
    pub(crate) fn forget(&mut self, thread: usize) {
        self.grants.retain(|grant| grant.thread != thread);
        // The one that comes first in there was granted first.
        let oldest = self.grants.first().map_or(self.comings.len(), |grant| grant.comings);
        self.comings.drain(..oldest);
        for later in &mut self.grants {
            later.comings -= oldest;
        }
    }

    pub(crate) fn is_about(&self, thread: usize) -> bool {
        self.queue.contains(&thread) || self.granted(thread).is_some()
    }
}

pub(crate) fn members(amounts: Amounts) -> impl Iterator<Item = usize> {
    (0..MOST).filter(move |&i| amounts[i] > 0)
}

pub(crate) fn only(i: usize, n: u64) -> Amounts {
    std::array::from_fn(|j| if i == j { n } else { 0 })
}

impl State {
    pub(crate) fn waiter(&self, thread: usize) -> Option<Waiter> {
        self.waiters.iter().find(|waiter| waiter.thread == thread).copied()
    }

    pub(crate) fn set_place(&mut self, thread: usize, place: Place) {
        let own = self.waiters.iter_mut().find(|waiter| waiter.thread == thread);
        own.expect("it waits").place = place;
    }

    /// It has what it has asked for, and keeps it.
    pub(crate) fn over(&mut self, thread: usize) {
        for limit in &mut self.limits {
            limit.forget(thread);
        }
        self.waiters.retain(|waiter| waiter.thread != thread);
        self.waiters.sort_by_key(|waiter| waiter.thread);
    }

    pub(crate) fn admits(&self, amounts: Amounts) -> bool {
        members(amounts).all(|i| self.limits[i].admits(amounts[i]))
    }
}
