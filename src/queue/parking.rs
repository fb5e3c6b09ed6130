//! Between the word and the slots (see `shares.rs`): drawing shares, gathering what is parked, and the part of
//! the burst that is set aside for it.

use super::{
    hand_off::By,
    locked::Locked,
    wait_queue::{Stale, WaitQueue},
};
use crate::{
    clock::Clock,
    error::Denied,
    permits::Permits,
    shares::{Demand, MAX_PARKED, Sizing, Slot, Slots, Stolen},
    sync::{Ordering, fence},
    word::Mode,
};

/// What a single thread or task has drawn for itself alone.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    /// In millionths of a permit.
    pub(crate) held: u64,
    pub(crate) demand: Demand,
}

impl<C: Clock> WaitQueue<C> {
    // === slots ===

    /// Takes permits from the slot, or else with a share for it from the word, or else from wherever they are.
    #[inline]
    pub(crate) fn take_shared(&self, slot: &Slot, permits: Permits, sizing: Sizing) -> Result<(), Denied> {
        if take_parked(slot, permits) {
            return Ok(());
        }
        self.draw_or_steal(slot, permits, sizing)
    }

    #[inline(never)]
    fn draw_or_steal(&self, slot: &Slot, permits: Permits, sizing: Sizing) -> Result<(), Denied> {
        let now_ns = self.clock.now();
        match self.draw_share(slot, permits, sizing, now_ns) {
            Ok(()) => Ok(()),
            Err(stale) => self.try_take_slow(permits, now_ns, stale),
        }
    }

    /// As [`take_shared`](Self::take_shared), for those who wait if that fails.
    pub(crate) fn take_shared_at_once(&self, slot: &Slot, permits: Permits, sizing: Sizing) -> bool {
        if take_parked(slot, permits) {
            return true;
        }
        let drawn = self.draw_share(slot, permits, sizing, self.clock.now());
        drawn.map_err(|stale| self.undo(stale)).is_ok()
    }

    /// Takes permits from the word, and a share for the slot.
    fn draw_share(&self, slot: &Slot, permits: Permits, sizing: Sizing, now_ns: u64) -> Result<(), Stale> {
        let slots = self.slots().filter(|slots| slots.pool().largest() > 0);
        // Somebody else who draws for the slot is not waited for.
        let Some((slots, mut draw)) = slots.and_then(|slots| Some((slots, slot.begin()?))) else {
            return self.meter.take_at_once(permits, now_ns);
        };
        let mut demand = draw.demand();
        draw.bring(slots.adjust(&mut demand, draw.held(), sizing, now_ns));
        let room = demand.claim - draw.held().div_ceil(Permits::MILLION);
        let drawn = self.meter.draw(permits, room, now_ns);
        let more = drawn.unwrap_or(0);
        draw.bring(more * Permits::MILLION);
        slots.settle(&mut demand, draw.held(), (more, room), drawn.is_ok(), sizing, now_ns);
        draw.set_demand(demand);
        if draw.park() {
            self.offer();
        }
        drawn.map(drop)
    }

    /// Something has been parked: those who wait come first.
    fn offer(&self) {
        // SeqCst fence: pairs with that in `gather`. Either that sees what was parked, or this sees QUEUED.
        fence(Ordering::SeqCst);
        if self.meter.word.load().is(Mode::Queued) {
            self.drive(By::Other);
        }
    }

    // === by hand ===

    /// Takes permits from the hand, or else with a share for it from the word, or else from wherever they are.
    /// The hand holds less than that.
    #[inline(never)]
    pub(crate) fn take_by_hand(
        &self,
        hand: &mut Hand,
        permits: Permits,
        sizing: Sizing,
    ) -> Result<(), Denied> {
        let now_ns = self.clock.now();
        match self.draw_by_hand(hand, permits, sizing, now_ns) {
            Ok(()) => Ok(()),
            Err((missing, stale)) => {
                self.try_take_slow(missing, now_ns, stale)?;
                hand.take_all_but(permits, missing);
                Ok(())
            }
        }
    }

    /// As [`take_by_hand`](Self::take_by_hand), for those who wait if that fails: for so many permits, the hand
    /// will give the rest.
    pub(crate) fn take_by_hand_at_once(
        &self,
        hand: &mut Hand,
        permits: Permits,
        sizing: Sizing,
    ) -> Result<(), Permits> {
        let now_ns = self.clock.now();
        self.draw_by_hand(hand, permits, sizing, now_ns).map_err(|(missing, stale)| {
            self.undo(stale);
            missing
        })
    }

    /// Takes what is missing from the word, and a share. If that fails: what is missing.
    fn draw_by_hand(
        &self,
        hand: &mut Hand,
        permits: Permits,
        sizing: Sizing,
        now_ns: u64,
    ) -> Result<(), (Permits, Stale)> {
        let Some(slots) = self.slots() else { return Err((permits, None)) };
        let Hand { held, demand } = hand;
        *held += slots.adjust(demand, *held, sizing, now_ns);
        let Some(asked) = permits.in_millionths(MAX_PARKED) else { return Err((permits, None)) };
        let missing = asked.saturating_sub(*held);
        if missing == 0 {
            *held -= asked;
            return Ok(());
        }
        let missing = Permits::of_millionths(missing);
        // What is held goes with the rest, so that all of the claim is free.
        let drawn = self.meter.draw(missing, demand.claim, now_ns);
        let more = drawn.unwrap_or(0);
        if drawn.is_ok() {
            *held = more * Permits::MILLION;
        }
        let asked = demand.claim;
        slots.settle(demand, *held, (more, asked), drawn.is_ok(), sizing, now_ns);
        drawn.map(drop).map_err(|stale| (missing, stale))
    }

    /// Gives back what a hand holds, and on to those who wait.
    pub(crate) fn lay_down(&self, hand: &mut Hand) {
        let Hand { held, demand } = core::mem::take(hand);
        let claim = Claim(self.slots(), demand.claim);
        if held > 0 {
            // Rounded down to a tick: a permit that was drawn must not come back as more.
            self.locked(|locked| locked.refund(locked.frame.scale.parked(held)));
        }
        // Only now: the permits were there by the right of the claim.
        drop(claim);
        if held > 0 {
            self.drive(By::Other);
        }
    }

    /// What is parked in slots, in millionths of a permit.
    pub(super) fn parked(&self) -> u64 {
        self.meter.slots.get().map_or(0, Slots::parked)
    }

    // === who uses them ===

    /// Somebody comes who parks permits. The slots, as many as that unless there are some already.
    pub(crate) fn attach(&self, slots: usize) -> &Slots {
        let slots = self.meter.slots.get_or_init(|| Slots::new(slots));
        self.change_users(1);
        slots
    }

    /// Another who parks permits leaves.
    pub(crate) fn detach(&self) {
        self.change_users(-1);
    }

    /// Takes permits from any slot that has them all.
    pub(super) fn steal(&self, permits: Permits) -> Stolen {
        let Some(slots) = self.slots() else { return Stolen::Nothing };
        permits.in_millionths(MAX_PARKED).map_or(Stolen::Nothing, |millionths| slots.steal(millionths))
    }

    /// The slots, if there are any.
    pub(crate) fn slots(&self) -> Option<&Slots> {
        self.meter.slots.get()
    }
}

/// A claim that is given up, also on the way out of a clock that panics.
struct Claim<'a>(Option<&'a Slots>, u64);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(slots) = self.0 {
            slots.pool().give_up(self.1);
        }
    }
}

/// Takes permits from a slot.
#[inline]
fn take_parked(slot: &Slot, permits: Permits) -> bool {
    permits.in_millionths(MAX_PARKED).is_some_and(|millionths| slot.take(millionths))
}

impl Hand {
    /// So many permits were asked for, of which so many were missing.
    pub(crate) fn take_all_but(&mut self, permits: Permits, missing: Permits) {
        let all = |permits: Permits| permits.in_millionths(MAX_PARKED).unwrap_or(0);
        self.held = self.held.saturating_sub(all(permits) - all(missing));
    }
}

impl Locked<'_> {
    /// Has what is parked moved to the word, as far as a request for `cost` ticks calls for it. Whether there
    /// was anything.
    pub(super) fn gather(&mut self, cost: u64) -> bool {
        let Some(slots) = self.meter.slots.get() else { return false };
        let scale = self.frame.scale;
        // It conforms up to here.
        let short = (self.tat + cost).saturating_sub(self.now + scale.limit);
        // A word that the clock has fallen behind may be about to be given up, with what is in it. Those who
        // wait come before those who would take from the slots even so.
        if short == 0 || (self.inner.list.is_empty() && self.is_behind()) {
            return false;
        }
        // SeqCst fence: pairs with that in `offer`. Whoever parks something that this does not see will see
        // QUEUED, which is set.
        fence(Ordering::SeqCst);
        // Rounded up: who is given all that it needs must not be left short of a tick.
        let millionths = |ticks: u64| {
            let all = (u128::from(ticks) * u128::from(Permits::MILLION)).div_ceil(scale.per_permit.into());
            u64::try_from(all).unwrap_or(MAX_PARKED).min(MAX_PARKED)
        };
        // In whole permits if that does not overflow the bucket by more than the rest of a millionth.
        let wanted = millionths(short).next_multiple_of(Permits::MILLION);
        let gathered = slots.steal_up_to(wanted.min(millionths(self.tat - self.now)));
        if gathered == 0 {
            return false;
        }
        // What overflows counts as long as the word is frozen. It is lost if nobody takes it until then, because it is
        // not their turn yet or another limit refuses them.
        let ticks = scale.parked(gathered).min(self.tat);
        self.keep_doubting(|this| this.tat -= ticks);
        self.gathered += ticks;
        self.spill = self.now.saturating_sub(self.tat);
        self.floor = self.floor.min(self.tat);
        true
    }

    /// As [`gather`](Self::gather), for whoever is at the head of the queue; where gates let others pass, for
    /// whoever fits.
    pub(super) fn gather_for_queue(&mut self) -> bool {
        let cost = if self.inner.sum.gates > 0 {
            Some(self.frame.scale.limit)
        } else {
            self.inner.list.front_mut().map(|front| front.cost)
        };
        cost.is_some_and(|cost| self.gather(cost))
    }
}
