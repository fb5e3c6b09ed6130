//! All that the queue knows of permits that are parked at cores.

use core::{any::Any, fmt};
use std::sync::Arc;

use super::core::Core;
use crate::{
    permits::Permits,
    sync::{Ordering, fence},
};

/// Permits that have been drawn from the word and are parked elsewhere, within the burst.
pub(crate) trait Shares: fmt::Debug + Send + Sync {
    /// Takes up to so many millionths of a permit from what is parked; how many.
    fn reclaim(&self, most: u64) -> u64;

    /// What is parked, in millionths of a permit.
    fn parked(&self) -> u64;

    /// Takes so many permits for a call that the word would refuse. What came of it.
    fn steal(&self, permits: Permits) -> Stolen;

    /// As many whole permits as are parked in single slots, up to `most`.
    fn steal_whole(&self, most: u64) -> u64;

    /// What of such a burst is set aside for what is parked.
    fn capacity_of(&self, burst: u64) -> u64;

    /// Sets what may be parked to what it is of such a burst; `None` parks nothing any more, and returns the millionths
    /// that were parked. The caller holds the queue's lock.
    fn set_capacity(&self, burst: Option<u64>) -> u64;

    /// Whether more is claimed than may be parked now.
    fn is_overdrawn(&self) -> bool;

    /// The type that it is, for the handles that park.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// What came of an attempt to take what is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stolen {
    /// It was there, all in one place.
    All,
    /// No place holds it all, but some hold something.
    Parts,
    /// All places were seen to be empty.
    Nothing,
}

impl dyn Shares {
    /// Has what is parked moved to the word, as far as a request for `cost` ticks calls for it. Whether that is anything.
    pub(crate) fn reclaim_for(&self, core: &mut Core, cost: u64) -> bool {
        let short = core.short_of(cost);
        if short == 0 {
            return false;
        }
        // SeqCst fence: pairs with that of a thread that parks and then looks at OWNED. Either this sees what was
        // parked, or that sees OWNED, which is set.
        fence(Ordering::SeqCst);
        core.reclaim(short, |most| self.reclaim(most))
    }

    /// As `reclaim_for`, for the first waiter.
    pub(crate) fn reclaim_for_first(&self, core: &mut Core) -> bool {
        core.first_cost().is_some_and(|cost| self.reclaim_for(core, cost))
    }
}
