//! The capacity for parked permits, and how much of it is claimed.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// Numbers of whole permits. The claims are at most the capacity, or were made when the capacity was larger.
#[derive(Debug)]
pub(crate) struct Pool {
    claimed: CachePadded<AtomicU64>,
    /// Written only under the queue's lock.
    capacity: AtomicU64,
    /// The largest claim of one drawer. Written only under the queue's lock.
    largest: AtomicU64,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self {
            claimed: CachePadded::new(AtomicU64::new(0)),
            capacity: AtomicU64::new(0),
            largest: AtomicU64::new(0),
        }
    }

    /// The largest claim of one drawer; zero if nothing may be parked.
    #[inline]
    pub(crate) fn largest(&self) -> u64 {
        // Relaxed: the capacity limits a claim in any case.
        self.largest.load(Ordering::Relaxed)
    }

    /// Sets the capacity. The caller holds the queue's lock, and in the same step changes the word's burst by as much.
    pub(super) fn set(&self, largest: u64, capacity: u64) {
        // Relaxed: see `largest`.
        self.largest.store(largest, Ordering::Relaxed);
        // Relaxed: a thread that reads the old capacity claims as if before the change.
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Claims up to `most` permits. Returns how many.
    pub(super) fn claim(&self, most: u64) -> u64 {
        // Relaxed: see `set`.
        let capacity = self.capacity.load(Ordering::Relaxed);
        let left = |claimed: u64| most.min(capacity.saturating_sub(claimed));
        // Acquire: pairs with the Release of `give_up`, before which the permits of that claim were gone. Relaxed on
        // failure, and for the first load: the exchange decides.
        let claimed = self.claimed.fetch_update(Ordering::Acquire, Ordering::Relaxed, |claimed| {
            (left(claimed) > 0).then(|| claimed + left(claimed))
        });
        claimed.map_or(0, left)
    }

    pub(crate) fn give_up(&self, claim: u64) {
        if claim > 0 {
            // Release: pairs with the Acquire of `claim`.
            self.claimed.fetch_sub(claim, Ordering::Release);
        }
    }

    pub(crate) fn is_overdrawn(&self) -> bool {
        // Relaxed, both of them: a claim that this misses counts as made before the change, and is given up likewise.
        self.claimed.load(Ordering::Relaxed) > self.capacity.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn claimed(&self) -> u64 {
        // Relaxed: a report.
        self.claimed.load(Ordering::Relaxed)
    }
}
