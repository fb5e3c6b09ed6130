//! Pausing a live limiter, and setting its level.
//!
//! Waiters that are due have been granted before, so the time before the pause counts. Parked permits return to the
//! word, as far as they do not overflow it. A thread that parks permits during a pause then runs the hand-off, which
//! returns them; nobody takes from a slot meanwhile. What a `Local` holds is discarded when it is used next.

use core::{task::Waker, time::Duration};

use super::{
    core::{Core, after},
    driver::Driver,
};
use crate::{
    clock::Clock,
    sync::{Ordering, fence},
};

impl<C: Clock + ?Sized> Driver<C> {
    pub(crate) fn pause_for(&self, pause: Duration) {
        // Then this limiter is paused with the others.
        if let Some(supplier) = self.clock().supplier() {
            return supplier.pause(pause);
        }
        self.change_pause(|core, _| core.pause(after(core.now_ns(), pause)));
        self.watch().paused(Some(pause));
    }

    pub(crate) fn pause_until(&self, until_ns: u64) {
        self.change_pause(|core, _| core.pause(until_ns));
        self.watch().paused_until(until_ns, self.clock());
    }

    /// Ends a pause now, with the level that it has, or from empty.
    pub(crate) fn resume(&self, from_empty: bool) {
        self.change_pause(|core, _| core.resume(from_empty));
        self.watch().resumed();
    }

    pub(super) fn block(&self) {
        self.change_pause(|core, _| core.block());
        self.watch().paused(None);
    }

    /// A part of a step that blocks the limiter.
    #[cfg(feature = "keyed")]
    pub(super) fn block_in(&self, core: &mut Core) {
        if core.block() {
            self.level_changes().count();
            self.return_parked(core);
        }
    }

    pub(crate) fn close(&self) {
        self.change_pause(|core, refused| {
            core.refuse_all(refused);
            true
        });
        self.watch().closed();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.meter().is_closed()
    }

    pub(crate) fn paused_until_ns(&self) -> Option<u64> {
        let resumes_ns = self.meter().resumes_ns();
        (self.clock().now() < resumes_ns).then_some(resumes_ns)
    }

    /// Runs `change`, which returns whether it changed anything, and collects wakers.
    fn change_pause(&self, change: impl Fn(&mut Core, &mut Vec<Waker>) -> bool) {
        self.change_after_grants(|core, woken| {
            if change(core, woken) {
                self.level_changes().count();
                self.return_parked(core);
            }
        });
    }

    pub(crate) fn set_level(&self, permits: u64) {
        self.change_after_grants(|core, _| {
            if let Some(shares) = self.shares() {
                // Discarded: the level counts all permits.
                shares.reclaim(u64::MAX);
            }
            self.level_changes().count();
            core.set_level(permits);
        });
    }

    /// Returns parked permits to the word if there is a pause.
    pub(super) fn return_parked(&self, core: &mut Core) {
        let Some(shares) = self.shares().filter(|_| core.is_paused()) else { return };
        // SeqCst fence: as in `reclaim_for`.
        fence(Ordering::SeqCst);
        let parked = shares.reclaim(u64::MAX);
        core.refund(core.frame().scale().parked(parked));
    }
}
