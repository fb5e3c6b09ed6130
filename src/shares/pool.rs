//! The capacity for what is parked, and how much of it is claimed.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// In whole permits.
///
/// # Invariant
/// What is claimed is no more than the capacity, or was claimed when that was larger.
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
        // Relaxed: a claim is limited by the capacity in any case.
        self.largest.load(Ordering::Relaxed)
    }

    /// Sets the capacity; the caller holds the queue's lock, and has subtracted it from the word's burst, or
    /// adds to that what it has come down by.
    pub(super) fn set(&self, largest: u64, capacity: u64) {
        // Relaxed: see `largest`.
        self.largest.store(largest, Ordering::Relaxed);
        // Relaxed: who reads the old capacity claims as if before the change.
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Claims up to so many; how many.
    pub(super) fn claim(&self, most: u64) -> u64 {
        // Relaxed: see `set`.
        let capacity = self.capacity.load(Ordering::Relaxed);
        let left = |claimed: u64| most.min(capacity.saturating_sub(claimed));
        // Acquire: pairs with the Release of `give_up`: who gave up a claim had emptied it before. Relaxed on
        // failure, and for the first look: the exchange decides.
        let claimed = self.claimed.fetch_update(Ordering::Acquire, Ordering::Relaxed, |claimed| {
            (left(claimed) > 0).then(|| claimed + left(claimed))
        });
        claimed.map_or(0, left)
    }

    /// Gives up so many.
    pub(crate) fn give_up(&self, claim: u64) {
        if claim > 0 {
            // Release: pairs with the Acquire of `claim`.
            self.claimed.fetch_sub(claim, Ordering::Release);
        }
    }

    /// Whether more is claimed than by the capacity now could be.
    pub(crate) fn is_overdrawn(&self) -> bool {
        // Relaxed, both of them: a claim that this misses is given up as if it had been made before.
        self.claimed.load(Ordering::Relaxed) > self.capacity.load(Ordering::Relaxed)
    }

    /// What is claimed.
    #[cfg(test)]
    pub(crate) fn claimed(&self) -> u64 {
        // Relaxed: a report.
        self.claimed.load(Ordering::Relaxed)
    }
}
