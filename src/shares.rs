//! Permits that were drawn from the word and are parked in slots, where a take is one compare-and-swap, without a
//! clock.
//!
//! A *slot* is a cache line with permits in it. A thread takes from the slot that its number leads to. When that slot
//! is empty, the thread draws a *share* from the word along with what it needs, and parks the share there. A call that
//! would be refused takes from other slots first. A waiter is given what is parked in any slot.
//!
//! ```text
//! bit 63 ............................ 1    0
//!     parked, in millionths of a permit    DRAWING
//! ```
//!
//! # Why the bound holds
//! A *claim* is a part of the capacity: so many permits may be parked, or on the way (drawn, but not yet parked). All
//! claims together are at most the *capacity*, which is subtracted from the word's burst. Let the total be the level of
//! the word and all permits parked or on the way. Then
//! 1. the total is at most the burst: `burst - capacity` in the word, and at most the capacity elsewhere;
//! 2. the total grows only by time, at the rate: a draw, a steal, or a return moves permits and makes none;
//! 3. whatever is admitted comes out of the total.
//!
//! So at most `burst + rate * w` permits are admitted in any window of length w, and parked permits can return to the
//! word at any time. After a change of quota the claims may exceed the new capacity until they are given up, and the
//! bound is that of the larger quota. What is parked in slots then returns at once: only permits on the way, or held by
//! a [`LocalShare`](crate::per_core::draw::LocalShare), can exceed the new quota.
//!
//! # Invariants
//! 1. What is parked in a slot, and on the way there, is at most the slot's claim. Only the holder of DRAWING parks in
//!    a slot or changes its claim. It parks no more than was free when it set the flag. Other threads only take.
//! 2. A claim is made before permits are drawn for it, and given up only when they are gone.
//! 3. While there are waiters, a slot is empty, or the thread that parked in it is about to run the hand-off, which
//!    empties it. A thread that parks then reads OWNED, and a thread that sets OWNED then reads the slots. Each has a
//!    `SeqCst` fence in between, in `offer` and in `reclaim_for`, so one of the two sees the other.
//! 4. No thread waits for DRAWING: a thread that finds it set goes on without it. Its holder takes no lock.

mod demand;
mod pool;
mod slot;

use core::any::Any;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

pub(crate) use self::{
    demand::{Demand, Sizing},
    pool::Pool,
    slot::{Account, Draw, MAX_PARKED, Slot},
};
use crate::{
    permits::Permits,
    queue::{Shares, Stolen},
    sync::{AtomicU64, Ordering, fence},
};

/// One part in so many of the burst may be parked.
const PART: u64 = 8;

pub(crate) const MAX_SLOTS: usize = 1 << 16;

/// The time without a draw after which a slot's claim may be taken over, in nanoseconds.
const IDLE_NS: u64 = 10_000_000;

#[derive(Debug)]
pub(crate) struct Slots {
    all: Arc<[CachePadded<Slot>]>,
    pool: Pool,
    /// The number of threads that are parking permits at this moment, plus [`PARKED`] for each time that permits were
    /// parked.
    parks: CachePadded<AtomicU64>,
    /// The value of `parks` before the last scan that found all slots empty while no thread was parking, or
    /// [`UNKNOWN`].
    empty_since: AtomicU64,
}

/// More threads than can be parking at one moment.
const PARKED: u64 = 1 << 24;

const UNKNOWN: u64 = u64::MAX;

/// One slot per core, rounded up to a power of two.
pub(crate) fn default_slots() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    cores.next_power_of_two().min(MAX_SLOTS)
}

/// The largest share of a slot; zero if the burst is too small to be split.
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
            parks: CachePadded::new(AtomicU64::new(0)),
            empty_since: AtomicU64::new(UNKNOWN),
        }
    }

    pub(crate) const fn all(&self) -> &Arc<[CachePadded<Slot>]> {
        &self.all
    }

    pub(crate) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Takes `millionths` from one slot that has as many. If all slots are empty, remembers that until permits are
    /// parked.
    fn steal_from_one(&self, millionths: u64) -> Stolen {
        let (parks, known_empty) = self.look_for_parked();
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
            // Acquire fence: pairs with the Release fence of a lock holder that empties slots, through the slots read
            // above. The caller, which reads the word next, finds it frozen, or the permits back in it.
            fence(Ordering::Acquire);
            // The scan may have missed permits that a thread was just parking.
            let settled = if parks % PARKED == 0 { parks } else { UNKNOWN };
            // Release: pairs with the second Acquire of `look_for_parked`.
            self.empty_since.store(settled, Ordering::Release);
        }
        seen
    }

    /// The value of `parks`, and whether all slots have been found empty since permits were last parked.
    #[inline]
    fn look_for_parked(&self) -> (u64, bool) {
        // Acquire: pairs with the second `fetch_` of `park`, so that the scan that follows sees what was parked before.
        let parks = self.parks.load(Ordering::Acquire);
        // Acquire: pairs with the Release in `steal_from_one`, for what that scan has seen. Equal only if no thread has
        // parked permits, or begun to, since that scan began.
        (parks, self.empty_since.load(Ordering::Acquire) == parks)
    }

    #[inline]
    pub(crate) fn are_known_empty(&self) -> bool {
        self.look_for_parked().1
    }

    /// Permits are available again: the next call may draw a share.
    pub(crate) fn forget_empty(&self) {
        // Relaxed: the result of a scan under way may replace this, and is right.
        self.empty_since.store(UNKNOWN, Ordering::Relaxed);
    }

    /// Parks the permits that a drawer brings; whether it brings any. From before any of them can be seen, the slots do
    /// not count as known to be empty.
    pub(crate) fn park(&self, draw: Draw<'_>) -> bool {
        if !draw.brings() {
            return false;
        }
        // Relaxed: before the Release that fills the slot. A thread that takes from the slot, with Acquire, sees it.
        self.parks.fetch_add(PARKED + 1, Ordering::Relaxed);
        drop(draw);
        // Release: pairs with the first Acquire of `look_for_parked`.
        self.parks.fetch_sub(1, Ordering::Release);
        true
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

    /// Changes the claim of a drawer to what its demand calls for, but not below `held` millionths. Beyond the capacity
    /// it takes over the claim of an idle slot, and returns the millionths that were parked there.
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

    /// Updates the demand after a draw: the drawer got `got.0` of the `got.1` permits that it had room for. `granted`
    /// says whether its own request was granted.
    pub(crate) fn end_draw(
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

    /// Gives up the part of the claim that exceeds `wanted` and is not held.
    fn trim(&self, demand: &mut Demand, held: u64, wanted: u64) {
        let keep = wanted.max(held.div_ceil(Permits::MILLION));
        if demand.claim > keep {
            self.pool.give_up(demand.claim - keep);
            demand.claim = keep;
        }
    }

    /// Takes over the claim of an idle slot, in permits, and what is parked there, in millionths.
    fn take_over(&self, now_ns: u64) -> Option<(u64, u64)> {
        let idle = |slot: &&CachePadded<Slot>| slot.is_idle(now_ns, IDLE_NS);
        // `begin` fails for a slot with a draw under way, such as the drawer's own.
        let draw = self.all.iter().filter(idle).find_map(|slot| slot.begin())?;
        Some(draw.empty())
    }

    /// Empties all slots, and gives up their claims. Returns the millionths that were parked. No handle draws any more.
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
        // Saturates: permits that move from slot to slot meanwhile are counted again.
        self.all.iter().fold(0, |sum: u64, slot| sum.saturating_add(slot.parked()))
    }

    #[cfg(feature = "stats")]
    fn stolen(&self) -> u64 {
        self.all.iter().fold(0, |sum: u64, slot| sum.saturating_add(slot.account().stolen))
    }

    fn steal(&self, permits: Permits) -> Stolen {
        // No slot holds more than `MAX_PARKED`; all slots and the word together may.
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
