//! Draws shares from the word, and gives them back (see `shares.rs`).

use crate::{
    clock::Clock,
    error::Denied,
    lane::Lane,
    meter::Taken,
    permits::Permits,
    queue::Driver,
    shares::{Demand, MAX_PARKED, Sizing, Slot, Slots},
    sync::{Ordering, fence},
};

/// Takes permits from the slot; or else from the word, with a share for the slot; or else from other slots.
#[inline]
pub(crate) fn take_shared<C: Clock>(
    driver: &Driver<C>,
    slots: &Slots,
    slot: &Slot,
    permits: Permits,
    sizing: Sizing,
) -> Result<(), Denied> {
    if take_parked(driver, slot, permits) {
        Ok(())
    } else if permits == 1.into() {
        draw_or_steal::<C, true>(driver, slots, slot, permits, sizing)
    } else {
        draw_or_steal::<C, false>(driver, slots, slot, permits, sizing)
    }
}

/// `ONE`: one permit is asked for. Its cost is known without an arithmetic of fractions, if the compiler knows the amount.
#[inline(never)]
fn draw_or_steal<C: Clock, const ONE: bool>(
    driver: &Driver<C>,
    slots: &Slots,
    slot: &Slot,
    permits: Permits,
    sizing: Sizing,
) -> Result<(), Denied> {
    let permits = if ONE { 1.into() } else { permits };
    let now_ns = driver.clock().now();
    let word = driver.meter().bits();
    if !slots.are_known_empty() {
        return draw_share_or_steal(driver, slots, slot, permits, sizing, now_ns);
    }
    // Permits are scarce: none can be stolen, and no share can be drawn.
    match driver.meter().draw(permits, 0, now_ns) {
        Taken::Yes(_) => {
            slots.forget_empty();
            Ok(())
        }
        // One pass of `try_steal`, which would take a third more instructions: the slots were empty while the word
        // had too little.
        Taken::NotYet(not_yet) if driver.meter().bits() == word => {
            driver.lacks(permits);
            Err(not_yet.into())
        }
        Taken::NotYet(_) | Taken::Slow => driver.finish_take(permits, Lane::Normal, now_ns, Taken::Slow),
    }
}

/// Apart from the refusal above, which takes fewer instructions without it.
#[inline(never)]
fn draw_share_or_steal<C: Clock>(
    driver: &Driver<C>,
    slots: &Slots,
    slot: &Slot,
    permits: Permits,
    sizing: Sizing,
    now_ns: u64,
) -> Result<(), Denied> {
    driver.finish_take(
        permits,
        Lane::Normal,
        now_ns,
        draw_share(driver, slots, slot, permits, sizing, now_ns),
    )
}

/// As [`take_shared`], without stealing, for callers that wait if it fails. While a late alarm has left credit, they draw no
/// share: a draw is decided without the credit, and would end it. The limiter grants them from the credit.
pub(crate) fn take_shared_at_once<C: Clock>(
    driver: &Driver<C>,
    slots: &Slots,
    slot: &Slot,
    permits: Permits,
    sizing: Sizing,
) -> bool {
    if take_parked(driver, slot, permits) {
        return true;
    }
    let now_ns = driver.clock().now();
    !has_credit(driver, now_ns)
        && matches!(draw_share(driver, slots, slot, permits, sizing, now_ns), Taken::Yes(_))
}

fn has_credit<C: Clock>(driver: &Driver<C>, now_ns: u64) -> bool {
    driver.meter().has_credit(driver.meter().word(), now_ns)
}

fn draw_share<C: Clock>(
    driver: &Driver<C>,
    slots: &Slots,
    slot: &Slot,
    permits: Permits,
    sizing: Sizing,
    now_ns: u64,
) -> Taken {
    let draw = if slots.pool().largest() > 0 { slot.begin() } else { None };
    // Another thread is drawing for the slot: take without a share.
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
    slots.end_draw(&mut demand, draw.held(), (more, room), granted, sizing, now_ns);
    draw.set_demand(demand);
    if slots.park(draw) {
        offer(driver);
    }
    drawn
}

/// Drives the queue after permits were parked, if there are waiters.
fn offer<C: Clock>(driver: &Driver<C>) {
    // SeqCst fence: pairs with the fence in `reclaim_for`. Either the lock holder sees the parked permits, or this
    // thread sees OWNED.
    fence(Ordering::SeqCst);
    if driver.meter().is_owned() {
        driver.drive();
    }
}

/// Takes permits from the slot, but not in a pause: a thread that drew before may park then.
#[inline]
fn take_parked<C: Clock>(driver: &Driver<C>, slot: &Slot, permits: Permits) -> bool {
    if driver.meter().resumes_ns() > 0 {
        return false;
    }
    permits.in_millionths(MAX_PARKED).is_some_and(|millionths| slot.take(millionths))
}

/// The permits that one thread or task has drawn for itself.
#[derive(Debug, Default)]
pub(crate) struct LocalShare {
    /// In millionths of a permit.
    pub(crate) held: u64,
    pub(crate) demand: Demand,
    /// The value of `Driver::level_changes` when it was drawn.
    pub(crate) level_change: u64,
}

impl LocalShare {
    /// Takes permits, more than are held: what is missing from the word, with a share; or else from slots.
    #[inline(never)]
    pub(crate) fn take<C: Clock>(
        &mut self,
        driver: &Driver<C>,
        slots: &Slots,
        permits: Permits,
        sizing: Sizing,
    ) -> Result<(), Denied> {
        let now_ns = driver.clock().now();
        if let Err((missing, refused)) = self.draw(driver, slots, permits, sizing, now_ns, false) {
            driver.finish_take(missing, Lane::Normal, now_ns, refused)?;
            self.take_all_but(permits, missing);
        }
        Ok(())
    }

    /// As [`take`](Self::take), without stealing. The error is what is missing: the caller waits for that.
    pub(crate) fn take_at_once<C: Clock>(
        &mut self,
        driver: &Driver<C>,
        slots: &Slots,
        permits: Permits,
        sizing: Sizing,
    ) -> Result<(), Permits> {
        let drawn = self.draw(driver, slots, permits, sizing, driver.clock().now(), true);
        drawn.map_err(|(missing, _)| missing)
    }

    /// Takes what is missing from the word, with a share. The error is what is missing, and why. With `waits`, the caller
    /// waits for that, and does not draw while there is credit, as in [`take_shared_at_once`].
    fn draw<C: Clock>(
        &mut self,
        driver: &Driver<C>,
        slots: &Slots,
        permits: Permits,
        sizing: Sizing,
        now_ns: u64,
        waits: bool,
    ) -> Result<(), (Permits, Taken)> {
        let level_change = driver.level_changes().number();
        if self.level_change != level_change {
            // The level that a pause kept, or a caller set, does not include what is held here.
            let Self { demand, .. } = core::mem::take(self);
            slots.pool().give_up(demand.claim);
            self.level_change = level_change;
        }
        if driver.meter().resumes_ns() > 0 {
            // In a pause, or just after it: the lock holder decides.
            return Err((permits, Taken::Slow));
        }
        self.held += slots.adjust(&mut self.demand, self.held, sizing, now_ns);
        let Some(asked) = permits.in_millionths(MAX_PARKED) else { return Err((permits, Taken::Slow)) };
        let missing = asked.saturating_sub(self.held);
        if missing == 0 {
            self.held -= asked;
            return Ok(());
        }
        let missing = Permits::of_millionths(missing);
        if waits && has_credit(driver, now_ns) {
            return Err((missing, Taken::Slow));
        }
        // The request uses up what is held, so all of the claim is free.
        let drawn = driver.meter().draw(missing, self.demand.claim, now_ns);
        let (granted, more) = match drawn {
            Taken::Yes(more) => (true, more),
            _ => (false, 0),
        };
        if granted {
            self.held = more * Permits::MILLION;
        }
        let room = self.demand.claim;
        slots.end_draw(&mut self.demand, self.held, (more, room), granted, sizing, now_ns);
        if granted { Ok(()) } else { Err((missing, drawn)) }
    }

    /// Gives back what is held. Waiters get it first.
    pub(crate) fn give_back<C: Clock>(&mut self, driver: &Driver<C>, slots: &Slots) {
        let Self { held, demand, level_change } = core::mem::take(self);
        self.level_change = level_change;
        let held = if level_change == driver.level_changes().number() { held } else { 0 };
        // Given up last, even if a clock panics: permits need a claim.
        let _claim = Claim(slots, demand.claim);
        if held > 0 {
            // Rounded down to a tick: no more may return than was drawn.
            driver.refund_ticks(|frame| frame.scale().parked(held));
        }
    }

    /// Takes the part of `permits` that was not `missing`.
    pub(crate) fn take_all_but(&mut self, permits: Permits, missing: Permits) {
        let all = |permits: Permits| permits.in_millionths(MAX_PARKED).unwrap_or(0);
        self.held = self.held.saturating_sub(all(permits) - all(missing));
    }
}

struct Claim<'a>(&'a Slots, u64);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.pool().give_up(self.1);
    }
}
