//! What the models look at from outside.

use crate::{clock::Clock, queue::WaitQueue, word::State};

impl<C: Clock> WaitQueue<C> {
    /// The word, the ticks that those who wait are said to ask for, and the ticks to one permit.
    pub(crate) fn word(&self) -> (State, u64, u64) {
        (self.meter.word.load(), self.meter.queued(), self.meter.published.frame().scale.per_permit)
    }

    /// Whether those are waited for who have just been released.
    pub(crate) fn awaits_others(&self) -> bool {
        self.locked(|locked| locked.awaits_others(false))
    }

    /// As if so many had just been released.
    pub(crate) fn release(&self, away: usize) {
        self.locked(|locked| {
            let now_ns = locked.now_ns;
            (0..away).for_each(|_| locked.inner.rounds.released(now_ns));
        });
    }
}
