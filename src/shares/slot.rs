//! A slot: its parked permits, and the flag of the thread that is drawing for it.

use super::demand::Demand;
use crate::sync::{AtomicU8, AtomicU64, Ordering};

/// The most that all slots together hold, in millionths. One slot has room for twice as much.
pub(crate) const MAX_PARKED: u64 = u64::MAX >> 2;

const DRAWING: u64 = 1;

#[derive(Debug)]
pub(crate) struct Slot {
    /// Millionths parked, and DRAWING.
    state: AtomicU64,
    /// The demand of the slot. Written only by the holder of DRAWING.
    claim: AtomicU64,
    drawn_ns: AtomicU64,
    scarce: AtomicU8,
    /// The number of draws, and the millionths parked by them. Written only by the holder of DRAWING.
    draws: AtomicU64,
    brought: AtomicU64,
    /// The millionths that other threads took.
    stolen: AtomicU64,
}

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

    /// The millionths that are parked.
    pub(crate) fn parked(&self) -> u64 {
        // Relaxed: a report, or a hint to take.
        self.state.load(Ordering::Relaxed) >> 1
    }

    /// Takes `millionths`, at most [`MAX_PARKED`], if as many are parked.
    #[inline]
    pub(crate) fn take(&self, millionths: u64) -> bool {
        debug_assert!(millionths <= MAX_PARKED);
        self.take_with(|parked| if parked >= millionths { millionths } else { 0 }) == millionths
    }

    /// As [`take`](Self::take), for a thread of another slot.
    pub(crate) fn steal(&self, millionths: u64) -> bool {
        let stolen = self.take(millionths);
        self.note_stolen(if stolen { millionths } else { 0 });
        stolen
    }

    /// Takes up to `most` millionths, a multiple of `grain`, for a thread of another slot.
    pub(crate) fn steal_up_to(&self, most: u64, grain: u64) -> u64 {
        let stolen = self.take_with(|parked| {
            let some = parked.min(most);
            some - some % grain
        });
        self.note_stolen(stolen);
        stolen
    }

    /// Takes what `amount` returns for the parked millionths. Writes nothing for zero.
    #[inline]
    fn take_with(&self, amount: impl Fn(u64) -> u64) -> u64 {
        // Relaxed: the exchange below checks the value.
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let taken = amount(seen >> 1);
            if taken == 0 {
                return 0;
            }
            // Acquire: pairs with the Release of the drawer that parked, so that the slots do not count as known to be empty.
            // Relaxed on failure: the value is checked again. The flag stays.
            let new = seen - (taken << 1);
            match self.state.compare_exchange_weak(seen, new, Ordering::Acquire, Ordering::Relaxed) {
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

    /// Whether the slot has a claim, and its last draw is at least `idle_ns` ago.
    pub(crate) fn is_idle(&self, now_ns: u64, idle_ns: u64) -> bool {
        // Relaxed: a hint. A thread that acts on it sets DRAWING first.
        let drawn_ns = self.drawn_ns.load(Ordering::Relaxed);
        // Relaxed: as above.
        self.claim.load(Ordering::Relaxed) > 0 && drawn_ns.saturating_add(idle_ns) <= now_ns
    }

    /// Sets DRAWING; `None` if another thread has.
    pub(crate) fn begin(&self) -> Option<Draw<'_>> {
        // Acquire: pairs with the Release that cleared it, for the claim and the times.
        let before = self.state.fetch_or(DRAWING, Ordering::Acquire);
        (before & DRAWING == 0).then(|| Draw { slot: self, parked: before >> 1, brought: 0 })
    }

    pub(crate) fn account(&self) -> Account {
        // Relaxed, all of them: a report, whose numbers need not match exactly.
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

/// The right to park in a slot and to change its claim. Its drop parks what was brought, and clears DRAWING.
#[derive(Debug)]
pub(crate) struct Draw<'a> {
    slot: &'a Slot,
    /// The millionths parked when the draw began. They do not grow meanwhile.
    parked: u64,
    brought: u64,
}

impl Draw<'_> {
    /// The millionths that were parked when the draw began, or were brought since.
    pub(crate) const fn held(&self) -> u64 {
        self.parked + self.brought
    }

    pub(crate) fn demand(&self) -> Demand {
        // Relaxed, all of them: written by holders of DRAWING, which was set with Acquire.
        Demand {
            claim: self.slot.claim.load(Ordering::Relaxed),
            drawn_ns: self.slot.drawn_ns.load(Ordering::Relaxed),
            scarce: self.slot.scarce.load(Ordering::Relaxed) != 0,
        }
    }

    pub(crate) fn set_demand(&self, demand: Demand) {
        // Relaxed, all of them: before the Release that clears DRAWING.
        self.slot.claim.store(demand.claim, Ordering::Relaxed);
        self.slot.drawn_ns.store(demand.drawn_ns, Ordering::Relaxed);
        self.slot.scarce.store(u8::from(demand.scarce), Ordering::Relaxed);
        // Relaxed: written only by the holder of DRAWING.
        self.slot.draws.store(self.slot.draws.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Adds millionths to park, within the claim (invariant 1).
    pub(crate) const fn bring(&mut self, millionths: u64) {
        self.brought += millionths;
    }

    /// Whether it brings permits to park.
    pub(crate) const fn brings(&self) -> bool {
        self.brought > 0
    }

    /// Takes the claim, in permits, then all that is parked, in millionths.
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
        // Release: pairs with the Acquire of `begin`. The flag is set, so subtracting it borrows from no other bit.
        self.slot.state.fetch_add((self.brought << 1).wrapping_sub(DRAWING), Ordering::Release);
    }
}
