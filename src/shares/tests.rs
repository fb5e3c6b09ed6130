//! Slots and the pool on their own, one call after another; what several threads make of them is for the models.

use super::*;

const MILLION: u64 = Permits::MILLION;

/// A slot in which so many millionths are parked, with a claim on so many permits, drawn for at that time.
pub(crate) fn park(slot: &Slot, millionths: u64, claim: u64, drawn_ns: u64) {
    let mut draw = slot.begin().unwrap();
    draw.set_demand(Demand { claim, drawn_ns, scarce: false });
    draw.bring(millionths);
    assert_eq!(draw.brings(), millionths > 0);
}

/// Slots for a burst of 1,600 each, with these in them.
fn slots(parked: &[u64]) -> Slots {
    let slots = Slots::new(parked.len());
    slots.set_capacity(Some(1_600 * parked.len() as u64));
    for (slot, &millionths) in slots.all().iter().zip(parked) {
        park(slot, millionths, 0, 0);
    }
    slots
}

#[test]
fn one_draws_for_a_slot_at_a_time() {
    let slot = Slot::new();
    park(&slot, 7, 3, 5);
    let mut draw = slot.begin().unwrap();
    assert!(slot.begin().is_none());
    assert_eq!((draw.held(), draw.demand()), (7, Demand { claim: 3, drawn_ns: 5, scarce: false }));
    draw.bring(4);
    draw.bring(2);
    assert_eq!((draw.held(), slot.parked()), (13, 7), "parked at the end");
    draw.set_demand(Demand { claim: 9, drawn_ns: 8, scarce: true });
    drop(draw);
    let draw = slot.begin().unwrap();
    assert_eq!((draw.held(), draw.demand()), (13, Demand { claim: 9, drawn_ns: 8, scarce: true }));
}

#[test]
fn others_take_while_somebody_draws() {
    let slot = Slot::new();
    park(&slot, 7, 0, 0);
    let mut draw = slot.begin().unwrap();
    draw.bring(10);
    assert!(slot.take(5) && !slot.take(3) && slot.steal(2));
    drop(draw);
    assert_eq!(slot.parked(), 10);
    assert!(!slot.take(11) && slot.take(10));
    assert!(slot.begin().is_some(), "the flag is cleared");
}

#[test]
fn a_slot_counts_what_it_sees() {
    let slot = Slot::new();
    park(&slot, 100, 3, 0);
    park(&slot, 50, 4, 0);
    assert!(slot.take(20) && slot.steal(30) && !slot.steal(101));
    assert_eq!([slot.steal_up_to(25, 10), slot.steal_up_to(9, 10)], [20, 0]);
    let Account { claim, parked, draws, brought, stolen } = slot.account();
    assert_eq!((claim, parked, draws, brought, stolen), (4, 80, 2, 150, 50));
    assert_eq!(slot.steal_up_to(u64::MAX, 1), 80);
}

#[test]
fn what_is_emptied_loses_its_claim() {
    let slot = Slot::new();
    park(&slot, 70, 3, 0);
    assert_eq!(slot.begin().unwrap().empty(), (3, 70));
    assert_eq!(slot.begin().unwrap().empty(), (0, 0));
    assert_eq!(slot.parked(), 0);
}

#[test]
fn a_slot_is_idle_if_it_has_a_claim_that_was_not_used() {
    let slot = Slot::new();
    assert!(!slot.is_idle(u64::MAX, 10), "no claim");
    park(&slot, 0, 1, 100);
    assert!(!slot.is_idle(109, 10) && slot.is_idle(110, 10) && slot.is_idle(111, 10));
    assert!(!slot.is_idle(90, 10), "drawn for later than that");
}

#[test]
fn claims_are_within_the_capacity() {
    let pool = Pool::new();
    assert_eq!((pool.largest(), pool.claim(5)), (0, 0));
    pool.set(4, 10);
    assert_eq!(pool.largest(), 4);
    assert_eq!([pool.claim(6), pool.claim(3), pool.claim(6), pool.claim(6)], [6, 3, 1, 0]);
    assert!(!pool.is_overdrawn());
    pool.give_up(4);
    assert_eq!((pool.claimed(), pool.claim(9)), (6, 4));
    pool.set(4, 9);
    assert!(pool.is_overdrawn());
    assert_eq!(pool.claim(1), 0);
    pool.give_up(2);
    assert!(!pool.is_overdrawn());
    assert_eq!(pool.claim(9), 1);
}

#[test]
fn a_steal_is_from_one_slot_or_told_where_to_look() {
    let all = slots(&[1, 5, 3]);
    let steal = |millionths| all.steal(Permits::of_millionths(millionths));
    assert_eq!([steal(5), steal(4)], [Stolen::All, Stolen::Parts]);
    assert_eq!([steal(3), steal(1), steal(1)], [Stolen::All, Stolen::All, Stolen::Nothing]);
    assert_eq!(all.parked(), 0);
}

/// A scan that has found nothing is remembered until something is parked.
#[test]
fn empty_slots_are_known_to_be_empty_until_something_is_parked() {
    let all = slots(&[0, 0]);
    assert!(!all.are_known_empty());
    assert_eq!(all.steal(1.into()), Stolen::Nothing);
    assert!(all.are_known_empty());
    assert_eq!(all.steal(1.into()), Stolen::Nothing);
    let mut draw = all.all()[1].begin().unwrap();
    draw.bring(5 * MILLION);
    assert!(all.park(draw));
    assert!(!all.are_known_empty());
    assert_eq!(all.steal(1.into()), Stolen::All);
    assert_eq!(all.steal(5.into()), Stolen::Parts);
    assert!(!all.are_known_empty(), "parts are left");
    assert_eq!((all.steal(4.into()), all.steal(1.into())), (Stolen::All, Stolen::Nothing));
    assert!(all.are_known_empty());
    all.forget_empty();
    assert!(!all.are_known_empty());
}

#[test]
fn no_more_is_reclaimed_than_is_asked_for() {
    let all = slots(&[4, 0, 5, 3]);
    assert_eq!((all.parked(), all.reclaim(6), all.parked()), (12, 6, 6));
    assert_eq!((all.reclaim(0), all.reclaim(u64::MAX), all.parked()), (0, 6, 0));
}

#[test]
fn a_steal_of_whole_permits_leaves_parts_where_they_are() {
    let all = slots(&[2 * MILLION + 1, MILLION - 1, 3 * MILLION, 9 * MILLION]);
    assert_eq!((all.steal_whole(6), all.parked()), (6, 9 * MILLION));
    assert_eq!((all.steal_whole(u64::MAX), all.parked()), (8, MILLION));
}

#[test]
fn a_claim_follows_what_is_wanted() {
    let all = slots(&[0, 0]);
    assert_eq!((all.pool().largest(), all.capacity_of(3_200)), (200, 400));
    let mut demand = Demand { claim: 0, drawn_ns: 0, scarce: false };
    let mut adjust = |held, share| (all.adjust(&mut demand, held, Sizing::Fixed(share), 0), demand.claim);
    assert_eq!([adjust(0, 150), adjust(0, 150), adjust(0, 500)], [(0, 150), (0, 150), (0, 200)]);
    // Down to what is held, rounded up.
    assert_eq!([adjust(119 * MILLION + 1, 50), adjust(120 * MILLION, 50)], [(0, 120), (0, 120)]);
    assert_eq!((adjust(0, 50), all.pool().claimed()), ((0, 50), 50));
}

/// If no capacity is left, a draw takes over the claim of a slot that no thread has used for 10 ms, with its parked
/// permits. A slot without a claim is passed over.
#[test]
fn the_claim_of_an_idle_slot_is_taken_over() {
    for (now_ns, brought, claim) in [(IDLE_NS, 0, 100), (IDLE_NS + 1, 30 * MILLION, 200)] {
        let all = slots(&[0, 0, 0]);
        assert_eq!(all.pool().claim(500), 500);
        park(&all.all()[1], 30 * MILLION, 120, 1);
        let mut demand = Demand { claim: 0, drawn_ns: 0, scarce: false };
        let held = all.adjust(&mut demand, 0, Sizing::Fixed(200), now_ns);
        assert_eq!((held, demand.claim), (brought, claim), "what is too much of it is given up");
        assert_eq!(all.parked(), 30 * MILLION - brought);
    }
}

#[test]
fn no_slot_is_taken_over_for_what_there_is() {
    let all = slots(&[0, 0]);
    park(&all.all()[0], 5, 10, 0);
    let mut demand = Demand { claim: 0, drawn_ns: 0, scarce: false };
    assert_eq!(all.adjust(&mut demand, 0, Sizing::Fixed(200), u64::MAX), 0);
    assert_eq!((demand.claim, all.parked()), (200, 5));
}

#[test]
fn after_a_draw_permits_are_scarce_or_not() {
    for (got, granted, claim, scarce) in
        [((20, 20), true, 20, false), ((19, 20), true, 19, true), ((0, 20), false, 2, true)]
    {
        let all = slots(&[0]);
        let mut demand = Demand { claim: all.pool().claim(20), drawn_ns: 0, scarce: false };
        let held = if granted { got.0 * MILLION } else { 2 * MILLION };
        all.end_draw(&mut demand, held, got, granted, Sizing::Adaptive, 7);
        assert_eq!(demand, Demand { claim, drawn_ns: 7, scarce }, "{got:?}");
        assert_eq!(all.pool().claimed(), claim);
    }
    // All that there was room for, and yet not what was asked for.
    let all = slots(&[0]);
    let mut demand = Demand::default();
    all.end_draw(&mut demand, 0, (0, 0), false, Sizing::Adaptive, 7);
    assert!(demand.scarce);
}

#[test]
fn nothing_is_left_behind() {
    let all = slots(&[0, 0]);
    for (slot, parked) in all.all().iter().zip([30, 40]) {
        park(slot, parked, all.pool().claim(100), 0);
    }
    assert_eq!(all.close(), 70);
    assert_eq!((all.parked(), all.pool().claimed(), all.pool().largest(), all.pool().claim(1)), (0, 0, 0, 0));
}
