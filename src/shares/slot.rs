//! One slot: what is parked there, and the flag of whoever is drawing for it.

use super::demand::Demand;
use crate::sync::{AtomicU8, AtomicU64, Ordering};

/// The most that can be parked in all, in millionths: a slot can hold it, and twice as much.
pub(crate) const MAX_PARKED: u64 = u64::MAX >> 2;

const DRAWING: u64 = 1;

#[derive(Debug)]
pub(crate) struct Slot {
    /// Millionths parked, and DRAWING.
    state: AtomicU64,
    /// What its owners want of it. Written only by the holder of DRAWING.
    claim: AtomicU64,
    drawn_ns: AtomicU64,
    scarce: AtomicU8,
    /// How often it was drawn for, and how many millionths were parked in all. Written only by the holder of
    /// DRAWING.
    draws: AtomicU64,
    brought: AtomicU64,
    /// How many millionths others took.
    stolen: AtomicU64,
}

/// What a slot has seen so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) claim: u64,
    pub(crate) parked: u64,
    pub(crate) draws: u64,
    pub(crate) brought: u64,
    pub(crate) stolen: u64,
}

impl Slot {
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            claim: AtomicU64::new(0),
            drawn_ns: AtomicU64::new(0),
            scarce: AtomicU8::new(0),
            draws: AtomicU64::new(0),
            brought: AtomicU64::new(0),
            stolen: AtomicU64::new(0),
        }
    }

    /// What is parked, in millionths.
    pub(crate) fn parked(&self) -> u64 {
        // Relaxed: a report, or a hint to take.
        self.state.load(Ordering::Relaxed) >> 1
    }

    /// Takes so many millionths, at most [`MAX_PARKED`], if they are there.
    #[inline]
    pub(crate) fn take(&self, millionths: u64) -> bool {
        debug_assert!(millionths <= MAX_PARKED);
        self.take_with(|parked| if parked >= millionths { millionths } else { 0 }) == millionths
    }

    /// As [`take`](Self::take), for somebody else than those whose slot it is.
    pub(crate) fn steal(&self, millionths: u64) -> bool {
        let stolen = self.take(millionths);
        self.note_stolen(if stolen { millionths } else { 0 });
        stolen
    }

    /// Takes up to so many millionths for somebody else, a multiple of `grain`.
    pub(crate) fn steal_up_to(&self, most: u64, grain: u64) -> u64 {
        let stolen = self.take_with(|parked| {
            let some = parked.min(most);
            some - some % grain
        });
        self.note_stolen(stolen);
        stolen
    }

    /// Takes what `amount` makes of what is parked; nothing is written if that is none.
    #[inline]
    fn take_with(&self, amount: impl Fn(u64) -> u64) -> u64 {
        // Relaxed: a number, taken by the exchange below if it is still the one that was seen.
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let taken = amount(seen >> 1);
            if taken == 0 {
                return 0;
            }
            // Relaxed: nothing else is read or written by the right of what is taken. The flag stays.
            let new = seen - (taken << 1);
            match self.state.compare_exchange_weak(seen, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return taken,
                Err(changed) => seen = changed,
            }
        }
    }

    fn note_stolen(&self, millionths: u64) {
        if millionths > 0 {
            // Relaxed: for reports only.
            self.stolen.fetch_add(millionths, Ordering::Relaxed);
        }
    }

    /// Whether it has a claim and nobody has drawn for it in so long.
    pub(crate) fn is_idle(&self, now_ns: u64, idle_ns: u64) -> bool {
        // Relaxed: a hint. Whoever acts on it sets DRAWING first.
        let drawn_ns = self.drawn_ns.load(Ordering::Relaxed);
        // Relaxed: as above.
        self.claim.load(Ordering::Relaxed) > 0 && drawn_ns.saturating_add(idle_ns) <= now_ns
    }

    /// Sets DRAWING; `None` if somebody else has.
    pub(crate) fn begin(&self) -> Option<Draw<'_>> {
        // Acquire: pairs with the Release that cleared it, for the claim and the times.
        let before = self.state.fetch_or(DRAWING, Ordering::Acquire);
        (before & DRAWING == 0).then(|| Draw { slot: self, parked: before >> 1, brought: 0 })
    }

    /// What it has seen so far.
    pub(crate) fn account(&self) -> Account {
        // Relaxed, all of them: a report; they need not belong together to the last permit.
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Account {
            claim: read(&self.claim),
            parked: self.parked(),
            draws: read(&self.draws),
            brought: read(&self.brought),
            stolen: read(&self.stolen),
        }
    }
}

/// The right to park in a slot and to change its claim; given up on drop, with what was brought.
#[derive(Debug)]
pub(crate) struct Draw<'a> {
    slot: &'a Slot,
    /// What was parked when it began, in millionths; it has not grown since.
    parked: u64,
    /// What is to be parked.
    brought: u64,
}

impl Draw<'_> {
    /// What was parked when it began, and what has been brought since, in millionths.
    pub(crate) const fn held(&self) -> u64 {
        self.parked + self.brought
    }

    /// What its owners want of it.
    pub(crate) fn demand(&self) -> Demand {
        // Relaxed, all of them: written by holders of DRAWING, which was set with Acquire.
        Demand {
            claim: self.slot.claim.load(Ordering::Relaxed),
            drawn_ns: self.slot.drawn_ns.load(Ordering::Relaxed),
            scarce: self.slot.scarce.load(Ordering::Relaxed) != 0,
        }
    }

    /// Notes what its owners want of it.
    pub(crate) fn set_demand(&self, demand: Demand) {
        // Relaxed, all of them: before the Release that clears DRAWING.
        self.slot.claim.store(demand.claim, Ordering::Relaxed);
        self.slot.drawn_ns.store(demand.drawn_ns, Ordering::Relaxed);
        self.slot.scarce.store(u8::from(demand.scarce), Ordering::Relaxed);
        // Relaxed: written only by the holder of DRAWING.
        self.slot.draws.store(self.slot.draws.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Brings so many millionths, to be parked at the end. They are within the claim (invariant 1).
    pub(crate) const fn bring(&mut self, millionths: u64) {
        self.brought += millionths;
    }

    /// Parks what was brought. Whether that is anything.
    pub(crate) fn park(self) -> bool {
        self.brought > 0
    }

    /// Takes all that is parked, and the claim, in millionths and permits: the claim first.
    pub(crate) fn empty(self) -> (u64, u64) {
        // Relaxed: DRAWING is held.
        let claim = self.slot.claim.load(Ordering::Relaxed);
        // Relaxed: before the Release that clears DRAWING.
        self.slot.claim.store(0, Ordering::Relaxed);
        let parked = self.slot.steal_up_to(u64::MAX >> 1, 1);
        (claim, parked)
    }
}

impl Drop for Draw<'_> {
    fn drop(&mut self) {
        if self.brought > 0 {
            // Relaxed: written only by the holder of DRAWING.
            let brought = self.slot.brought.load(Ordering::Relaxed).wrapping_add(self.brought);
            self.slot.brought.store(brought, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire of `begin`. The flag is set, so that to take it away borrows from
        // nothing else.
        self.slot.state.fetch_add((self.brought << 1).wrapping_sub(DRAWING), Ordering::Release);
    }
}
