//! Permits that have been drawn from the word and are parked at cores, where a take is one uncontended
//! compare-and-swap and needs no clock.
//!
//! A *slot* is a cache line with permits in it. A thread takes from the slot that its number leads to; when
//! that is empty, it draws a *share* from the word along with what it asks for, and parks it there. Who would
//! be refused takes from the slots of others first; who waits is given what is parked anywhere.
//!
//! ```text
//! bit 63 ............................ 1    0
//!     parked, in millionths of a permit    DRAWING
//! ```
//!
//! # Why the bound holds
//! A *claim* is capacity: so many permits may be parked, or be on the way there. All claims together are no
//! more than the *capacity*, which has been subtracted from the word's burst. Let the total be the level of the
//! word and all that is parked or on its way. Then
//! 1. the total is at most the burst: `burst - capacity` in the word, and no more than the capacity elsewhere;
//! 2. it grows only by time, at the rate: a draw, a steal, or a return moves permits and makes none;
//! 3. whatever is admitted comes out of it.
//!
//! So no more than `burst + rate * w` are admitted in any window of length w, and to give parked permits back
//! to the word is exact at any time. A change of quota may leave claims above the new capacity until they are
//! given up; they are from before, and the bound is that of the larger quota meanwhile. What is parked in slots by
//! their right goes back to the word at once, so that only what is on its way, or in the hands of a single
//! thread or task, can be more than the new quota allows.
//!
//! # Invariants
//! 1. What is parked in a slot and what is on its way there is at most its claim. Only the holder of DRAWING
//!    parks in a slot, or changes its claim; what it may bring is what was free when it set the flag. Others
//!    only take.
//! 2. A claim is made before permits are drawn for it, and given up only when they are gone.
//! 3. While someone waits in the queue, a slot is empty, or whoever parked in it is about to run the
//!    hand-off, which empties it. Parking is followed by a look at OWNED, and setting OWNED by a look at the
//!    slots, each with a `SeqCst` fence in between: one of the two sees the other.
//! 4. The holder of DRAWING holds no lock, and nobody waits for the flag: who finds it set does without.
//!
//! # Orderings
//! What is parked is a number, and all that is decided on it is decided by a read-modify-write on it alone, so
//! `Relaxed` is enough there. DRAWING is set with Acquire and cleared with Release: the next holder sees the
//! claim and the times that the last one left. What goes back to the word is taken from the slots behind a Release
//! fence, and a scan that has found them all empty ends with an Acquire fence: so a call that finds nothing in the slots
//! finds the word frozen, or what has come back. For invariant 3 see `offer` in `per_core/draw.rs` and `reclaim_for` in
//! `queue/shares.rs`.

mod demand;
mod pool;
mod slot;

use core::any::Any;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

pub(crate) use self::{
    demand::{Demand, Sizing},
    pool::Pool,
    slot::{Account, MAX_PARKED, Slot},
};
use crate::{
    permits::Permits,
    queue::{Shares, Stolen},
    sync::{AtomicU64, Ordering, fence},
};

/// The part of the burst that may be parked: one in so many.
const PART: u64 = 8;

/// The most slots.
pub(crate) const MAX_SLOTS: usize = 1 << 16;

/// How long a slot has to be left alone until its claim may be taken over.
const IDLE_NS: u64 = 10_000_000;

/// All slots of a limiter, and what they may hold.
#[derive(Debug)]
pub(crate) struct Slots {
    all: Arc<[CachePadded<Slot>]>,
    pool: Pool,
    /// How often anything was parked.
    parked: CachePadded<AtomicU64>,
    /// How often anything had been parked before all slots were last found to be empty, or [`UNKNOWN`].
    empty_since: AtomicU64,
}

/// It is not known whether the slots are empty.
const UNKNOWN: u64 = u64::MAX;

/// A slot for every core.
pub(crate) fn default_slots() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    cores.next_power_of_two().min(MAX_SLOTS)
}

/// The largest share of a slot at that burst; zero if the burst is too small to be split.
pub(crate) const fn largest_share(burst: u64, slots: usize) -> u64 {
    const MOST: u64 = MAX_PARKED / Permits::MILLION;
    let part = burst / PART;
    let part = if part < MOST { part } else { MOST };
    let share = part / slots as u64;
    if share < 2 { 0 } else { share }
}

impl Slots {
    pub(crate) fn new(slots: usize) -> Self {
        let slots = (0..slots).map(|_| CachePadded::new(Slot::new())).collect();
        Self {
            all: slots,
            pool: Pool::new(),
            parked: CachePadded::new(AtomicU64::new(0)),
            empty_since: AtomicU64::new(UNKNOWN),
        }
    }

    pub(crate) const fn all(&self) -> &Arc<[CachePadded<Slot>]> {
        &self.all
    }

    pub(crate) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Takes so many millionths from a single slot, whichever has them. If all are empty, that is remembered until
    /// something is parked.
    fn steal_from_one(&self, millionths: u64) -> Stolen {
        let (parked, known_empty) = self.look_for_parked();
        if known_empty {
            return Stolen::Nothing;
        }
        let mut seen = Stolen::Nothing;
        for slot in self.all.iter() {
            if slot.steal(millionths) {
                return Stolen::All;
            }
            if slot.parked() > 0 {
                seen = Stolen::Parts;
            }
        }
        if seen == Stolen::Nothing {
            // Acquire fence: pairs with the Release fence of a lock holder that empties slots, through what was seen of them.
            // So the caller, who looks at the word next, sees that it has been frozen.
            fence(Ordering::Acquire);
            // Release: pairs with the Acquire above.
            self.empty_since.store(parked, Ordering::Release);
        }
        seen
    }

    /// How often anything was parked so far, and whether all slots have been found to be empty since.
    fn look_for_parked(&self) -> (u64, bool) {
        // Acquire: pairs with the Release of `note_parked`: what was parked before that is seen by the scan that follows.
        let parked = self.parked.load(Ordering::Acquire);
        // Acquire: pairs with the Release in `steal_from_one`, for what that scan has seen. It is a number that a scan has
        // left, equal to `parked` only if nothing was parked since it began.
        (parked, self.empty_since.load(Ordering::Acquire) == parked)
    }

    /// Whether all slots are known to be empty.
    pub(crate) fn are_known_empty(&self) -> bool {
        self.look_for_parked().1
    }

    /// Permits are there again: slots are to be filled by the next call.
    pub(crate) fn forget_empty(&self) {
        // Relaxed: a scan that is under way may be remembered all the same, and is right.
        self.empty_since.store(UNKNOWN, Ordering::Relaxed);
    }

    /// Something has been parked in a slot.
    pub(crate) fn note_parked(&self) {
        // Release: pairs with the Acquire of `steal_from_one`.
        self.parked.fetch_add(1, Ordering::Release);
    }

    fn steal_grains(&self, most: u64, grain: u64) -> u64 {
        let mut left = most;
        for slot in self.all.iter() {
            if left == 0 {
                break;
            }
            left -= slot.steal_up_to(left, grain);
        }
        most - left
    }

    /// Makes the claim of a drawer what its demand calls for, as far as there is capacity; the claim of a slot
    /// that nobody has used for a while is taken over, with what is parked there. What that is, in millionths.
    ///
    /// `held` is what the drawer has, in millionths; its claim stays above that.
    pub(crate) fn adjust(&self, demand: &mut Demand, held: u64, sizing: Sizing, now_ns: u64) -> u64 {
        let wanted = demand.wanted(sizing, self.pool.largest(), now_ns);
        let mut brought = 0;
        if wanted > demand.claim {
            demand.claim += self.pool.claim(wanted - demand.claim);
            let lacking = demand.claim < wanted;
            if let Some((claim, parked)) = lacking.then(|| self.take_over(now_ns)).flatten() {
                demand.claim += claim;
                brought = parked;
            }
        }
        self.trim(demand, held.saturating_add(brought), wanted);
        brought
    }

    /// A drawer got `got.0` of the `got.1` permits that it has room for, if it got what it wanted at all: the
    /// claim and the times that are left.
    pub(crate) fn settle(
        &self,
        demand: &mut Demand,
        held: u64,
        got: (u64, u64),
        granted: bool,
        sizing: Sizing,
        now_ns: u64,
    ) {
        let (more, room) = got;
        let wanted = demand.after(more, room, sizing);
        self.trim(demand, held, wanted);
        demand.scarce = !granted || more < room;
        demand.drawn_ns = now_ns;
    }

    /// Gives up what is claimed beyond `wanted` and not held.
    fn trim(&self, demand: &mut Demand, held: u64, wanted: u64) {
        let keep = wanted.max(held.div_ceil(Permits::MILLION));
        if demand.claim > keep {
            self.pool.give_up(demand.claim - keep);
            demand.claim = keep;
        }
    }

    /// Takes the claim of an idle slot over, with what is parked there.
    fn take_over(&self, now_ns: u64) -> Option<(u64, u64)> {
        let idle = |slot: &&CachePadded<Slot>| slot.is_idle(now_ns, IDLE_NS);
        // Not one for which somebody is just drawing, such as the drawer's own.
        let draw = self.all.iter().filter(idle).find_map(|slot| slot.begin())?;
        Some(draw.empty())
    }

    /// Empties all slots, and gives up their claims; what was parked, in millionths. Nobody draws any more.
    fn close(&self) -> u64 {
        self.pool.set(0, 0);
        // Release fence: as in `reclaim`.
        fence(Ordering::Release);
        let mut parked = 0_u64;
        for slot in self.all.iter() {
            if let Some(draw) = slot.begin() {
                let (claim, left) = draw.empty();
                self.pool.give_up(claim);
                parked = parked.saturating_add(left);
            }
        }
        parked
    }
}

impl Shares for Slots {
    fn reclaim(&self, most: u64) -> u64 {
        // Release fence: pairs with the Acquire fence of `steal_from_one`. The caller has frozen the word.
        fence(Ordering::Release);
        self.steal_grains(most, 1)
    }

    fn parked(&self) -> u64 {
        // No overflow, unless some of it is moved from slot to slot meanwhile and counted again and again.
        self.all.iter().fold(0, |sum: u64, slot| sum.saturating_add(slot.parked()))
    }

    fn steal(&self, permits: Permits) -> Stolen {
        // No slot holds more than that; all of them and the word may.
        permits.in_millionths(MAX_PARKED).map_or(Stolen::Parts, |millionths| self.steal_from_one(millionths))
    }

    fn steal_whole(&self, most: u64) -> u64 {
        self.steal_grains(most.saturating_mul(Permits::MILLION), Permits::MILLION) / Permits::MILLION
    }

    fn capacity_of(&self, burst: u64) -> u64 {
        largest_share(burst, self.all.len()) * self.all.len() as u64
    }

    fn set_capacity(&self, burst: Option<u64>) -> u64 {
        match burst {
            Some(burst) => {
                self.pool.set(largest_share(burst, self.all.len()), self.capacity_of(burst));
                0
            }
            None => self.close(),
        }
    }

    fn is_overdrawn(&self) -> bool {
        self.pool.is_overdrawn()
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(all(test, not(tidegate_loom)))]
pub(crate) mod tests;
