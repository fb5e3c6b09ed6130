//! The queue's interface to permits that are parked in slots.

use core::{any::Any, fmt};
use std::sync::Arc;

use super::core::Core;
use crate::{
    permits::Permits,
    sync::{AtomicU64, Ordering, fence},
};

pub(crate) trait Shares: fmt::Debug + Send + Sync {
    /// Takes up to `most` millionths of a permit from the slots. Returns how many.
    fn reclaim(&self, most: u64) -> u64;

    /// The millionths of a permit that are parked.
    fn parked(&self) -> u64;

    /// The millionths that were parked, and taken by other threads or moved to the queue.
    #[cfg(feature = "stats")]
    fn stolen(&self) -> u64;

    /// Takes permits from one slot, for a call that the word would refuse.
    fn steal(&self, permits: Permits) -> Stolen;

    /// Takes whole permits, each from one slot, up to `most`. Returns how many.
    fn steal_whole(&self, most: u64) -> u64;

    /// The part of `burst` to set aside for parked permits.
    fn capacity_of(&self, burst: u64) -> u64;

    /// Sets the capacity to that of `burst`. `None`: no permits may be parked any more; returns the millionths that
    /// were parked. The caller holds the queue's lock.
    fn set_capacity(&self, burst: Option<u64>) -> u64;

    /// Whether the claims exceed the capacity.
    fn is_overdrawn(&self) -> bool;

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// How many times a pause began or ended, or the level was set: a [`Local`](crate::Local) uses what it holds only under the
/// number by which it was drawn.
#[derive(Debug)]
pub(crate) struct LevelChanges(AtomicU64);

impl LevelChanges {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn number(&self) -> u64 {
        // Relaxed: a single number. A caller that knows of the change sees it.
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a change. The caller holds the queue's lock.
    pub(super) fn count(&self) {
        // Relaxed: as above; the lock makes it the only writer.
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stolen {
    /// One slot had all the permits.
    All,
    /// No slot has all the permits, but several together may.
    Parts,
    /// All slots were seen empty.
    Nothing,
}

impl dyn Shares {
    /// Moves parked permits to the word, as many as a request for `cost` ticks lacks. Returns whether any moved.
    pub(crate) fn reclaim_for(&self, core: &mut Core, cost: u64) -> bool {
        let short = core.short_of(cost);
        if short == 0 {
            return false;
        }
        // SeqCst fence: pairs with the fence in `offer`, between parking and reading OWNED. Either this thread sees the
        // parked permits, or the parking thread sees OWNED, which is set.
        fence(Ordering::SeqCst);
        core.reclaim(short, |most| self.reclaim(most))
    }

    pub(crate) fn reclaim_for_first(&self, core: &mut Core) -> bool {
        core.first_cost().is_some_and(|cost| self.reclaim_for(core, cost))
    }
}
