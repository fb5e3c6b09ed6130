//! How many keys there are, and what becomes of new ones.

use std::{pin::pin, time::Duration};

use tidegate::{Denied, Keyed, ManualClock, Quota, WhenFull};

use super::{SECOND, poll, users};

fn full(when_full: WhenFull) -> (super::Users, ManualClock) {
    let clock = ManualClock::new();
    let builder = Keyed::builder(Quota::per_second(1).with_burst(10)).max_keys(100).when_full(when_full);
    let users = builder.clock(clock.clone()).build().unwrap();
    for user in 0..100 {
        // The higher the number, the emptier the bucket.
        users.try_acquire_n(&user, 1 + user / 12).unwrap();
    }
    assert_eq!(users.len(), 100);
    (users, clock)
}

#[test]
fn keys_with_full_buckets_go_as_others_come() {
    let (users, clock) = users("1/s burst 1");
    for round in 0..20 {
        for user in 0..1_000_u64 {
            users.try_acquire(&(round * 1_000 + user)).unwrap();
        }
        assert!(users.len() <= 2_000, "{}", users.len());
        clock.advance(SECOND);
    }
    assert_eq!(users.evicted_live(), 0);
}

#[test]
fn the_fullest_of_a_few_is_evicted() {
    let (users, _) = full(WhenFull::EvictFullest);
    for user in 1_000..1_050 {
        users.try_acquire_n(&user, 9).unwrap();
    }
    assert_eq!((users.len(), users.evicted_live()), (100, 50));
    // Mostly those go that lose least.
    let left = |from: u64, to: u64| (from..to).filter(|user| users.level(user).available() < 10).count();
    assert!(left(50, 100) > 2 * left(0, 50), "{} and {}", left(50, 100), left(0, 50));
    assert!(left(1_000, 1_050) > 40);
}

#[test]
fn a_key_in_use_is_not_evicted() {
    let (users, _) = full(WhenFull::EvictFullest);
    let mut waiting = pin!(users.acquire_n(&99, 9));
    assert!(poll(waiting.as_mut()).is_pending());
    let paused = users.limiter(&98).unwrap();
    paused.pause_for(60 * SECOND);
    for user in 1_000..3_000 {
        users.try_acquire_n(&user, 9).unwrap();
    }
    assert!(users.try_acquire(&99).is_err(), "its waiter comes first");
    assert!(users.try_acquire(&98).is_err(), "it is paused");
    assert!(!users.remove(&99) && !users.remove(&98));
    users.retain(|_, _| false);
    assert_eq!(users.len(), 2);
}

#[test]
fn a_table_of_keys_in_use_has_no_room() {
    let users = Keyed::<u64>::builder(Quota::per_hour(9)).max_keys(4).build().unwrap();
    let held: Vec<_> = (0..4).map(|user| users.limiter(&user).unwrap()).collect();
    assert_eq!(users.try_acquire(&9), Err(Denied::TooManyKeys));
    for (user, limiter) in (0..4).zip(&held) {
        limiter.try_acquire_n(8).unwrap();
        assert_eq!(users.level(&user).available(), 1);
    }
    drop(held);
    // New keys look for keys that are no longer in use.
    users.try_acquire(&9).unwrap();
    assert_eq!((users.len(), users.evicted_live()), (4, 1));
}

#[test]
fn new_keys_are_refused() {
    let (users, clock) = full(WhenFull::RefuseNew);
    assert_eq!(users.try_acquire(&1_000), Err(Denied::TooManyKeys));
    assert_eq!(users.limiter(&1_000).unwrap_err(), Denied::TooManyKeys);
    assert_eq!(users.blocking_acquire_n(&1_000, 1), Err(Denied::TooManyKeys));
    assert_eq!(users.blocking_acquire_within(&1_000, 1, SECOND), Err(Denied::TooManyKeys));
    assert!(users.try_acquire(&0).is_ok(), "known keys go on");
    let denied = users.try_acquire(&1_000).unwrap_err();
    assert_eq!((denied.retry_after(), denied.is_never()), (None, false));
    // Full buckets make room.
    clock.advance(Duration::from_secs(9));
    assert!((1_000..1_020).all(|user| users.try_acquire(&user).is_ok()));
    assert_eq!(users.evicted_live(), 0);
}

#[test]
fn new_keys_share_one_bucket() {
    let (users, clock) = full(WhenFull::ShareOverflow);
    let admitted = (1_000..1_050).filter(|user| users.try_acquire(user).is_ok()).count();
    assert_eq!(admitted, 10);
    assert_eq!(users.try_acquire(&1_000).unwrap_err().retry_after(), Some(SECOND));
    assert_eq!(users.limiter(&2_000).unwrap_err(), Denied::TooManyKeys, "it would be that of all new keys");
    assert_eq!(users.level(&2_000).available(), 0);
    users.refund(&2_000, 1).unwrap();
    assert!(users.try_acquire(&2_001).is_ok(), "the refund of another new key");
    assert!(users.try_acquire(&0).is_ok(), "known keys go on");
    let mut waiting = pin!(users.acquire(&3_000));
    assert!(poll(waiting.as_mut()).is_pending());
    clock.advance(SECOND);
    assert!(poll(waiting.as_mut()).is_ready());
}

#[test]
fn a_refused_call_adds_no_key() {
    let (users, _) = users("1/s burst 1");
    assert!(users.try_acquire_n(&1, 2).is_err());
    assert!(users.try_acquire_n(&1, 0).is_ok());
    users.set_quota(Quota::BLOCKED).unwrap();
    assert!((0..100).all(|user| users.try_acquire(&user).is_err()));
    assert!(users.is_empty());
}

#[test]
fn waits_that_have_ended_hold_no_room_and_little_memory() {
    let clock = ManualClock::new();
    let builder = Keyed::<u64>::builder(Quota::per_second(1)).max_keys(4_000).clock(clock.clone());
    let users = builder.build().unwrap();
    {
        let ids: Vec<u64> = (0..3_600).collect();
        let mut waits: Vec<_> = ids.iter().map(|user| Box::pin(users.acquire_n(user, 1))).collect();
        for user in &ids {
            users.try_acquire(user).unwrap();
        }
        assert!(waits.iter_mut().all(|wait| poll(wait.as_mut()).is_pending()));
    }
    let refused = (10_000..20_000).filter(|user| users.try_acquire(user).is_err()).count();
    assert_eq!(refused, 0);
}

#[test]
fn a_key_whose_wait_has_ended_can_be_removed() {
    let (users, _) = users("1/h burst 1");
    for key in [1, 2] {
        users.try_acquire(&key).unwrap();
        drop(users.limiter(&key).unwrap());
    }
    assert!(users.remove(&1));
    users.retain(|_, level| level.available() > 0);
    assert!(users.is_empty());
    assert!(users.try_acquire(&1).is_ok() && users.try_acquire(&2).is_ok());
}

#[test]
fn any_number_of_keys_may_be_allowed() {
    for most in [1, 2, 3, 127, 4_000_000_000, usize::MAX] {
        let users = Keyed::<u64>::builder(Quota::per_hour(1)).max_keys(most).build().unwrap();
        assert!((0..5).all(|user| users.try_acquire(&user).is_ok()));
        assert_eq!(users.len(), most.min(5));
    }
    let users = Keyed::<u64>::builder(Quota::per_hour(1)).max_keys(0).build().unwrap();
    assert_eq!(users.try_acquire(&1), Err(Denied::TooManyKeys));
}
