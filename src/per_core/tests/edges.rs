//! What is parked at the edges: ticks that are not whole millionths, the largest bursts, debts, other quotas,
//! other limits, and clocks that step back.

use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::shares::{eight, take};
use crate::{AllOf, Denied, Inherit, ManualClock, NotYet, PerCore, Permits, Quota, RateLimiter};

const SECOND: u64 = 1_000_000_000;

type Limiter = RateLimiter<ManualClock>;

fn poll<F: Future>(future: core::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What is parked, in millionths.
fn parked(per_core: &PerCore<ManualClock>) -> u64 {
    per_core.slots.iter().map(|slot| slot.parked()).sum()
}

/// Two slots with 50 each, and 0.7 permits less than the 876 in the word that are not set aside. A tick is not
/// a whole number of millionths.
fn almost_full() -> (Limiter, PerCore<ManualClock>) {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(9_999_991).with_burst(1000), clock.clone());
    let per_core = PerCore::builder(&limiter).slots(2).share(50).build().unwrap();
    assert!(take(&per_core, 0, 1) && take(&per_core, 1, 1));
    clock.advance(Duration::from_nanos(10_130));
    assert_eq!(limiter.available(), 876 + 99);
    (limiter, per_core)
}

/// What the bucket lacks is less than the millionth that comes from a slot. The rest of that millionth is lost.
#[test]
fn what_is_gathered_counts_to_the_last_tick() {
    let clock = ManualClock::new();
    let quota = Quota::new(2, Duration::from_secs(3)).with_burst(124);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let per_core = PerCore::builder(&limiter).slots(4).build().unwrap();
    per_core.try_acquire().unwrap();
    // Of 112 that are not set aside, all but a nanosecond; and two are parked.
    clock.advance(Duration::from_nanos(4_499_999_999));
    assert_eq!((limiter.available(), parked(&per_core)), (113, 2_000_000));
    per_core.try_acquire_n(112).unwrap();
    assert_eq!(limiter.time_until(2).unwrap(), Duration::from_nanos(1_500));
}

/// Where a millionth is less than a tick, too: of 16 permits of 14 ticks each, 24 ticks are left.
#[test]
fn what_is_gathered_counts_where_ticks_are_coarse() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1_000_000_007).with_burst(16);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let per_core = PerCore::builder(&limiter).slots(1).share(2).build().unwrap();
    per_core.try_acquire().unwrap();
    clock.advance(Duration::from_nanos(100));
    // Five ticks, and 195.
    limiter.try_acquire_n(0.3).unwrap();
    limiter.try_acquire_n(13.9).unwrap();
    per_core.try_acquire_n(1.642_857).unwrap();
    limiter.try_acquire_n(0.07).unwrap();
}

#[test]
fn a_request_for_the_whole_burst_takes_the_last_tick_from_a_slot() {
    let (limiter, per_core) = almost_full();
    assert!(limiter.has_capacity(876));
    assert_eq!(limiter.try_acquire_n(876), Ok(()));
    assert_eq!((limiter.available(), parked(&per_core)), (99, 99_299_794));
}

#[test]
fn a_waiter_for_the_whole_burst_takes_no_more_than_it_needs() {
    let (limiter, per_core) = almost_full();
    let waiter = pin!(limiter.acquire_n(876));
    assert_eq!(poll(waiter), Poll::Ready(Ok(())));
    assert_eq!((limiter.available(), parked(&per_core)), (99, 99_299_794));
}

#[test]
fn the_largest_share_of_the_largest_burst_is_kept() {
    let burst = 1 << 55;
    let limiter = RateLimiter::with_clock(Quota::per_second(1).with_burst(burst), ManualClock::new());
    let share = crate::shares::largest_share(burst, 1);
    let per_core = PerCore::builder(&limiter).slots(1).share(share).build().unwrap();
    let before = limiter.available();
    assert!(take(&per_core, 0, 1));
    assert_eq!(per_core.report()[0].parked, share.into());
    assert!(take(&per_core, 0, share));
    assert_eq!(limiter.available(), before - 1 - i64::try_from(share).unwrap());
}

#[test]
fn to_give_back_makes_no_permits() {
    // A tick is a whole permit.
    let limiter = RateLimiter::with_clock(Quota::per_second(1).with_burst(1 << 60), ManualClock::new());
    let mut local = PerCore::builder(&limiter).slots(1).share(2).build().unwrap().local();
    let before = limiter.available();
    local.try_acquire().unwrap();
    local.try_acquire_n(1.999_999).unwrap();
    assert_eq!(local.held(), Permits::of_millionths(1));
    local.give_back();
    assert_eq!(limiter.available(), before - 3, "2.999999 were taken");
}

/// What is parked is all there is: 100 in slot 0.
fn drained(left: u64) -> (Limiter, PerCore<ManualClock>, ManualClock) {
    let (limiter, per_core, clock) = eight();
    clock.set(3600 * SECOND);
    assert!(take(&per_core, 0, 1));
    limiter.try_acquire_n(5499 - left).unwrap();
    assert_eq!(limiter.available(), i64::try_from(100 + left).unwrap());
    (limiter, per_core, clock)
}

#[test]
fn several_limits_take_what_is_parked() {
    let (limiter, _per_core, clock) = drained(0);
    let other = RateLimiter::with_clock(Quota::per_second(1), clock);
    let both = |n: u64| AllOf::new().and(&limiter, n).and(&other, 1);
    let denied = both(101).try_acquire().unwrap_err();
    assert_eq!((denied.limit(), denied.retry_after()), (0, Some(Duration::from_millis(1))));
    assert_eq!(both(100).try_acquire(), Ok(()));
    assert_eq!((limiter.available(), other.available()), (0, 0));
}

#[test]
fn who_waits_behind_a_gate_is_given_what_is_parked() {
    let (limiter, per_core, clock) = drained(0);
    let other = RateLimiter::with_clock(Quota::per_second(100).with_burst(1), clock.clone());
    other.try_acquire().unwrap();
    // It waits for the other limit, and holds none of the permits meanwhile.
    let mut both = pin!(AllOf::new().and(&limiter, 50).and(&other, 1).acquire());
    assert!(poll(both.as_mut()).is_pending());
    let waiter = pin!(limiter.acquire_n(20));
    assert_eq!(poll(waiter), Poll::Ready(Ok(())));
    assert!(take(&per_core, 0, 30) && !take(&per_core, 0, 51));
    clock.advance(Duration::from_millis(10));
    assert_eq!(poll(both), Poll::Ready(Ok(())));
    assert_eq!(limiter.available(), 10);
}

#[test]
fn a_charge_is_paid_by_what_is_parked() {
    let (limiter, per_core, _clock) = drained(0);
    assert_eq!(limiter.charge(60), Ok(Duration::ZERO));
    assert_eq!(limiter.available(), 40);
    assert_eq!(limiter.charge(50), Ok(Duration::from_millis(10)));
    assert_eq!(limiter.available(), -10);
    assert!(!limiter.has_capacity(1) && !take(&per_core, 0, 1));
}

#[test]
fn a_clock_that_steps_back_leaves_what_is_parked() {
    let (limiter, per_core, clock) = drained(0);
    clock.set(1800 * SECOND);
    assert!(take(&per_core, 1, 1), "from slot 0");
    assert_eq!(limiter.try_acquire_n(90), Ok(()));
    assert!(limiter.try_acquire_n(10).is_err());
    // The word goes on from empty, and what is charged comes out of what is parked.
    assert_eq!(limiter.charge(1), Ok(Duration::ZERO));
    assert!(!take(&per_core, 1, 9) && take(&per_core, 1, 8));
    assert_eq!(limiter.try_acquire(), Err(Denied::NotYet(NotYet::after(Duration::from_millis(1)))));
}

#[test]
fn a_new_start_leaves_nothing_parked() {
    let (limiter, per_core, _clock) = drained(0);
    limiter.set_quota_with(Quota::per_second(1000).with_burst(6400).with_initial(0), Inherit::Reset).unwrap();
    assert_eq!(limiter.available(), 0);
    assert!(!take(&per_core, 0, 1));
}

#[test]
fn what_never_fits_is_named_as_it_was_asked_for() {
    let (_limiter, per_core, _clock) = eight();
    let never = |n: u64| Err(crate::TooMany::new(n.into(), 6400, 5600).into());
    let mut local = per_core.local();
    local.try_acquire().unwrap();
    assert_eq!(local.try_acquire_n(6000), never(6000));
    assert_eq!(local.blocking_acquire_n(6000).map_err(Denied::from), never(6000));
    assert_eq!(poll(pin!(local.acquire_n(6000))).map_err(Denied::from), Poll::Ready(never(6000)));
    assert_eq!(local.held(), 100.into());
}

#[test]
fn a_larger_quota_leaves_what_is_parked_where_it_is() {
    let (limiter, per_core, _clock) = drained(7);
    limiter.set_quota(Quota::per_second(1000).with_burst(64_000)).unwrap();
    assert_eq!((per_core.report()[0].parked, limiter.available()), (100.into(), 107));
}

#[test]
fn a_debt_by_a_smaller_quota_is_paid_by_what_is_parked() {
    let (limiter, per_core, _clock) = drained(0);
    limiter.set_quota_with(Quota::per_second(1000).with_burst(6360), Inherit::Additively).unwrap();
    // 100 of 6400 are 60 of 6360, however much of either is set aside.
    assert_eq!((per_core.report()[0].parked, limiter.available()), (60.into(), 60));
}

#[test]
fn as_many_as_are_asked_for_are_taken_and_no_more() {
    let (limiter, _per_core, _clock) = drained(0);
    assert_eq!([limiter.try_acquire_up_to(5), limiter.try_acquire_up_to(200)], [5, 95]);
}
