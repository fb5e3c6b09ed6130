//! Between the word and the slots (see `shares.rs`): drawing shares, and giving them back.

use crate::{
    clock::Clock,
    error::Denied,
    meter::Taken,
    permits::Permits,
    queue::Driver,
    shares::{Demand, MAX_PARKED, Sizing, Slot, Slots},
    sync::{Ordering, fence},
};

// === slots ===

/// Takes permits from the slot, or else with a share for it from the word, or else from wherever they are.
#[inline]
pub(crate) fn take_shared<C: Clock>(
    driver: &Driver<C>,
    slots: &Slots,
    slot: &Slot,
    permits: Permits,
    sizing: Sizing,
) -> Result<(), Denied> {
    if take_parked(slot, permits) { Ok(()) } else { draw_or_steal(driver, slots, slot, permits, sizing) }
}

#[inline(never)]
fn draw_or_steal<C: Clock>(
    driver: &Driver<C>,
    slots: &Slots,
    slot: &Slot,
    permits: Permits,
    sizing: Sizing,
) -> Result<(), Denied> {
    let now_ns = driver.clock().now();
    let word = driver.meter().bits();
    if slots.are_known_empty() {
        // Permits are scarce: none can be stolen, and no share be drawn.
        return match driver.meter().draw(permits, 0, now_ns) {
            Taken::Yes(_) => {
                slots.forget_empty();
                Ok(())
            }
            // As in `try_steal`: the slots were empty while the word had too little.
            Taken::NotYet(not_yet) if driver.meter().bits() == word => Err(not_yet.into()),
            Taken::NotYet(_) | Taken::Slow => driver.settle(permits, now_ns, Taken::Slow),
        };
    }
    driver.settle(permits, now_ns, draw_share(driver, slots, slot, permits, sizing, now_ns))
}

/// As [`take_shared`], for callers that wait if that fails.
pub(crate) fn take_shared_at_once<C: Clock>(
    driver: &Driver<C>,
    slots: &Slots,
    slot: &Slot,
    permits: Permits,
    sizing: Sizing,
) -> bool {
    take_parked(slot, permits)
        || matches!(draw_share(driver, slots, slot, permits, sizing, driver.clock().now()), Taken::Yes(_))
}

/// Takes permits from the word, and a share for the slot.
fn draw_share<C: Clock>(
    driver: &Driver<C>,
    slots: &Slots,
    slot: &Slot,
    permits: Permits,
    sizing: Sizing,
    now_ns: u64,
) -> Taken {
    let draw = if slots.pool().largest() > 0 { slot.begin() } else { None };
    // Another thread that draws for the slot is not waited for.
    let Some(mut draw) = draw else { return driver.meter().draw(permits, 0, now_ns) };
    let mut demand = draw.demand();
    draw.bring(slots.adjust(&mut demand, draw.held(), sizing, now_ns));
    let room = demand.claim - draw.held().div_ceil(Permits::MILLION);
    let drawn = driver.meter().draw(permits, room, now_ns);
    let (granted, more) = match drawn {
        Taken::Yes(more) => (true, more),
        _ => (false, 0),
    };
    draw.bring(more * Permits::MILLION);
    slots.settle(&mut demand, draw.held(), (more, room), granted, sizing, now_ns);
    draw.set_demand(demand);
    if draw.park() {
        slots.note_parked();
        offer(driver);
    }
    drawn
}

/// Something has been parked: waiters come first.
fn offer<C: Clock>(driver: &Driver<C>) {
    // SeqCst fence: pairs with that in `reclaim_for`. Either that sees what was parked, or this sees OWNED.
    fence(Ordering::SeqCst);
    if driver.meter().is_owned() {
        driver.drive();
    }
}

/// Takes permits from a slot.
#[inline]
fn take_parked(slot: &Slot, permits: Permits) -> bool {
    permits.in_millionths(MAX_PARKED).is_some_and(|millionths| slot.take(millionths))
}

// === by hand ===

/// What a single thread or task has drawn for itself alone.
#[derive(Debug, Default)]
pub(crate) struct LocalShare {
    /// In millionths of a permit.
    pub(crate) held: u64,
    pub(crate) demand: Demand,
}

impl LocalShare {
    /// Takes permits from the hand, or else with a share for it from the word, or else from wherever they are.
    /// The hand holds less than that.
    #[inline(never)]
    pub(crate) fn take<C: Clock>(
        &mut self,
        driver: &Driver<C>,
        slots: &Slots,
        permits: Permits,
        sizing: Sizing,
    ) -> Result<(), Denied> {
        let now_ns = driver.clock().now();
        if let Err((missing, refused)) = self.draw(driver, slots, permits, sizing, now_ns) {
            driver.settle(missing, now_ns, refused)?;
            self.take_all_but(permits, missing);
        }
        Ok(())
    }

    /// As [`take`](Self::take), for callers that wait if that fails: for so many permits, the hand will give the rest.
    pub(crate) fn take_at_once<C: Clock>(
        &mut self,
        driver: &Driver<C>,
        slots: &Slots,
        permits: Permits,
        sizing: Sizing,
    ) -> Result<(), Permits> {
        let drawn = self.draw(driver, slots, permits, sizing, driver.clock().now());
        drawn.map_err(|(missing, _)| missing)
    }

    /// Takes what is missing from the word, and a share. If that fails: what is missing, and why.
    fn draw<C: Clock>(
        &mut self,
        driver: &Driver<C>,
        slots: &Slots,
        permits: Permits,
        sizing: Sizing,
        now_ns: u64,
    ) -> Result<(), (Permits, Taken)> {
        self.held += slots.adjust(&mut self.demand, self.held, sizing, now_ns);
        let Some(asked) = permits.in_millionths(MAX_PARKED) else { return Err((permits, Taken::Slow)) };
        let missing = asked.saturating_sub(self.held);
        if missing == 0 {
            self.held -= asked;
            return Ok(());
        }
        let missing = Permits::of_millionths(missing);
        // What is held goes with the rest, so that all of the claim is free.
        let drawn = driver.meter().draw(missing, self.demand.claim, now_ns);
        let (granted, more) = match drawn {
            Taken::Yes(more) => (true, more),
            _ => (false, 0),
        };
        if granted {
            self.held = more * Permits::MILLION;
        }
        let room = self.demand.claim;
        slots.settle(&mut self.demand, self.held, (more, room), granted, sizing, now_ns);
        if granted { Ok(()) } else { Err((missing, drawn)) }
    }

    /// Gives back what the hand holds, and on to the waiters.
    pub(crate) fn give_back<C: Clock>(&mut self, driver: &Driver<C>, slots: &Slots) {
        let Self { held, demand } = core::mem::take(self);
        // Given up last, also if a clock panics: the permits are there by the right of the claim.
        let _claim = Claim(slots, demand.claim);
        if held > 0 {
            // Rounded down to a tick: a permit that was drawn must not come back as more.
            driver.refund_ticks(|frame| frame.scale().parked(held));
        }
    }

    /// So many permits were asked for, of which so many were missing.
    pub(crate) fn take_all_but(&mut self, permits: Permits, missing: Permits) {
        let all = |permits: Permits| permits.in_millionths(MAX_PARKED).unwrap_or(0);
        self.held = self.held.saturating_sub(all(permits) - all(missing));
    }
}

/// A claim that is given up.
struct Claim<'a>(&'a Slots, u64);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.pool().give_up(self.1);
    }
}
