//! The size of shares, and the capacity for them.

use core::time::Duration;

use crate::{
    Inherit, ManualClock, PerCore, Permits, Quota, RateLimiter,
    per_core::draw,
    shares::{Demand, Sizing, largest_share},
};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// Fewer where each takes long.
const STEPS: usize = if cfg!(miri) { 5 } else { 1000 };

fn demand(claim: u64, scarce: bool) -> Demand {
    Demand { claim, drawn_ns: 0, scarce }
}

#[test]
fn a_share_follows_the_demand() {
    let wanted = |claim, after_ns| demand(claim, false).wanted(Sizing::Adaptive, 1000, after_ns);
    assert_eq!(wanted(0, 0), 2, "the first");
    assert_eq!(wanted(64, 49 * US), 128, "drawn often");
    assert_eq!(wanted(64, 50 * US), 64);
    assert_eq!(wanted(64, 5 * MS - 1), 64);
    assert_eq!(wanted(64, 5 * MS), 32, "drawn seldom");
    assert_eq!(wanted(64, 10 * MS), 16);
    assert_eq!(wanted(64, u64::MAX), 2);
    assert_eq!(wanted(900, 0), 1000, "no more than there may be");
}

#[test]
fn a_share_comes_down_to_what_there_is() {
    let scarce = demand(64, true);
    assert_eq!(scarce.wanted(Sizing::Adaptive, 1000, 0), 64, "does not grow");
    assert_eq!(demand(64, false).after(10, 64, Sizing::Adaptive), 10);
    assert_eq!(demand(64, false).after(10, 10, Sizing::Adaptive), 64);
    assert_eq!(demand(0, true).wanted(Sizing::Adaptive, 1000, 0), 0, "single permits");
}

#[test]
fn a_fixed_share_stays() {
    assert_eq!(demand(0, true).wanted(Sizing::Fixed(64), 1000, 0), 64);
    assert_eq!(demand(64, false).after(10, 64, Sizing::Fixed(64)), 64);
    assert_eq!(demand(64, false).wanted(Sizing::Fixed(64), 10, u64::MAX), 10, "no more than there may be");
}

#[test]
fn a_burst_too_small_to_split_is_not() {
    assert_eq!(largest_share(127, 8), 0);
    assert_eq!(largest_share(128, 8), 2);
    assert_eq!(largest_share(6400, 8), 100);
    assert_eq!(largest_share(u64::MAX, 2), (u64::MAX >> 2) / 1_000_000 / 2, "as millionths they fit a slot");
    let limiter = RateLimiter::with_clock(Quota::per_second(100), ManualClock::new());
    let per_core = PerCore::builder(&limiter).slots(8).build().unwrap();
    assert_eq!(per_core.try_acquire_n(100), Ok(()), "nothing is set aside");
}

/// Eight slots, fixed shares of 100, of a burst of 6,400.
pub(super) fn eight() -> (RateLimiter<ManualClock>, PerCore<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(1000).with_burst(6400), clock.clone());
    let per_core = PerCore::builder(&limiter).slots(8).share(100).build().unwrap();
    (limiter, per_core, clock)
}

/// Takes permits from that slot, or with a share for it.
pub(super) fn take_shared(
    per_core: &PerCore<ManualClock>,
    slot: usize,
    permits: Permits,
) -> Result<(), crate::Denied> {
    let slot = &per_core.slots[slot];
    draw::take_shared(per_core.limiter.driver(), &per_core.shares, slot, permits, per_core.sizing)
}

pub(super) fn take(per_core: &PerCore<ManualClock>, slot: usize, n: u64) -> bool {
    take_shared(per_core, slot, n.into()).is_ok()
}

#[test]
fn an_idle_slot_costs_a_busy_one_nothing() {
    let (limiter, per_core, clock) = eight();
    for slot in 0..8 {
        assert!(take(&per_core, slot, 1));
    }
    assert_eq!(per_core.report().iter().filter(|slot| slot.parked == 100.into()).count(), 8);
    // One caller goes on alone: all that is there, and then exactly the rate.
    let there = 6400 - 800 - 8;
    assert!(take(&per_core, 3, 5500));
    assert_eq!((0..100).filter(|_| take(&per_core, 3, 1)).count(), there - 5500);
    assert_eq!(limiter.available(), 0);
    let mut taken = 0;
    for _ in 0..STEPS {
        clock.advance(Duration::from_millis(7));
        taken += (0..10).filter(|_| take(&per_core, 3, 1)).count();
    }
    assert_eq!(taken, 7 * STEPS, "1,000 a second");
}

#[test]
fn a_large_request_finds_what_is_parked_in_pieces() {
    let (limiter, per_core, _clock) = eight();
    for slot in 0..8 {
        assert!(take(&per_core, slot, 1));
    }
    // 4,792 in the word, and 800 in pieces.
    assert!(take(&per_core, 0, 5000));
    assert_eq!(limiter.available(), 592);
    assert!(!take(&per_core, 0, 593));
    assert!(take(&per_core, 0, 592));
    assert_eq!(limiter.available(), 0);
}

/// Two halves, in two slots.
#[test]
fn as_many_as_there_are_finds_what_makes_a_whole_one_together() {
    let (limiter, per_core, _clock) = eight();
    let most = Permits::try_from(99.5).unwrap();
    for slot in 0..2 {
        assert!(take(&per_core, slot, 1));
        take_shared(&per_core, slot, most).unwrap();
    }
    assert_eq!(limiter.available(), 6400 - 800 - 2 - 199);
    assert_eq!(limiter.try_acquire_up_to(u64::MAX), 6400 - 800 - 2 - 199);
    assert_eq!(limiter.available(), 0);
}

#[test]
fn a_claim_nobody_uses_is_taken_over() {
    let (_limiter, per_core, clock) = eight();
    // The whole capacity is claimed, by slots and by `Local`s.
    let mut hands: Vec<_> = (0..7).map(|_| per_core.local()).collect();
    for hand in &mut hands {
        hand.try_acquire().unwrap();
    }
    assert!(take(&per_core, 0, 1));
    assert!(take(&per_core, 1, 1));
    assert_eq!(per_core.report()[1].share, 0, "none is left");
    clock.advance(Duration::from_millis(10));
    assert!(take(&per_core, 1, 1));
    let report = per_core.report();
    assert_eq!((report[0].share, report[0].parked), (0, Permits::ZERO));
    assert_eq!((report[1].share, report[1].parked), (100, 100.into()), "with what was parked there");
}

#[test]
fn a_slot_that_was_idle_itself_takes_another_over() {
    let (limiter, per_core, clock) = eight();
    let smaller = PerCore::builder(&limiter).slots(8).share(50).build().unwrap();
    let mut hands: Vec<_> = (0..7).map(|_| per_core.local()).collect();
    for hand in &mut hands {
        hand.try_acquire().unwrap();
    }
    assert!(take(&smaller, 0, 1) && take(&smaller, 1, 1));
    clock.advance(Duration::from_millis(10));
    assert!(take(&per_core, 0, 51), "more than is parked there");
    let report = per_core.report();
    assert_eq!((report[0].share, report[1].share), (100, 0));
}

#[test]
fn a_smaller_quota_makes_shares_smaller() {
    let (limiter, per_core, _clock) = eight();
    for slot in 0..8 {
        assert!(take(&per_core, slot, 1));
    }
    limiter.set_quota(Quota::per_second(1000).with_burst(640)).unwrap();
    // The word has 560 of the new burst; nothing is left of the 800 that were parked.
    assert_eq!(limiter.available(), 560);
    assert!(limiter.try_acquire_n(561).unwrap_err().is_never());
    for slot in 0..8 {
        assert!(take(&per_core, slot, 1));
        assert_eq!((per_core.report()[slot].share, per_core.report()[slot].parked), (10, 10.into()));
    }
    assert_eq!(limiter.available(), 560 - 8);
    limiter.set_quota_with(Quota::per_second(1000).with_burst(100), Inherit::Reset).unwrap();
    assert_eq!(limiter.available(), 100, "shares of none");
}

#[test]
fn the_last_to_leave_gives_the_burst_back() {
    let (limiter, per_core, _clock) = eight();
    let mut hand = per_core.local();
    assert!(take(&per_core, 0, 1));
    hand.try_acquire().unwrap();
    assert!(limiter.try_acquire_n(5601).unwrap_err().is_never());
    let other = per_core.clone();
    drop((per_core, hand));
    assert!(limiter.try_acquire_n(5601).unwrap_err().is_never());
    assert_eq!(limiter.available(), 5600 - 2);
    drop(other);
    assert_eq!(limiter.available(), 5600 - 2);
    assert!(!limiter.try_acquire_n(6400).unwrap_err().is_never());
}

/// What was parked goes back to the word, which has all of the burst again.
#[test]
fn nothing_stays_parked_when_the_last_has_left() {
    let (limiter, per_core, clock) = eight();
    assert!(take(&per_core, 0, 1));
    let slots = per_core.slots.clone();
    let parked = || slots.iter().map(|slot| slot.parked()).sum::<u64>();
    assert_eq!(parked(), 100 * Permits::MILLION);
    drop(per_core);
    assert_eq!((parked(), limiter.available()), (0, 5600 - 1));
    clock.advance(Duration::from_secs(3600));
    assert_eq!(limiter.available(), 6400, "no more than a burst");
    assert_eq!(limiter.try_acquire_up_to(u64::MAX), 6400);
}
