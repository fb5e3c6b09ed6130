//! A limiter for each key.

#![cfg(feature = "keyed")]

#[path = "keyed/classes.rs"]
mod classes;
#[path = "keyed/histories.rs"]
mod histories;
#[path = "keyed/memory.rs"]
mod memory;
#[path = "keyed/room.rs"]
mod room;
#[path = "keyed/threads.rs"]
mod threads;

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate::{AllOf, Denied, Keyed, ManualClock, Quota, QuotaError, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);

type Users = Keyed<u64, std::hash::RandomState, ManualClock>;

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn users(quota: &str) -> (Users, ManualClock) {
    let clock = ManualClock::new();
    let quota = quota.parse::<Quota>().unwrap();
    (Keyed::builder(quota).clock(clock.clone()).build().unwrap(), clock)
}

#[test]
fn each_key_has_a_bucket_of_its_own() {
    let (users, clock) = users("1/s burst 2");
    for user in 0..100 {
        assert!(users.try_acquire(&user).is_ok() && users.try_acquire(&user).is_ok());
        assert_eq!(users.try_acquire(&user).unwrap_err().retry_after(), Some(SECOND));
    }
    clock.advance(SECOND);
    assert!((0..100).all(|user| users.try_acquire(&user).is_ok() && users.try_acquire(&user).is_err()));
}

#[test]
fn keys_are_looked_up_by_a_borrowed_form() {
    let names: Keyed<String> = Keyed::new(Quota::per_hour(1));
    assert!(names.try_acquire("ada").is_ok());
    assert!(names.try_acquire(&"ada".to_owned()).is_err());
    let bytes: Keyed<Vec<u8>> = Keyed::new(Quota::per_hour(1));
    assert!(bytes.try_acquire(&[1, 2][..]).is_ok() && bytes.try_acquire(&vec![1, 2]).is_err());
    // Nothing of a key is shown.
    assert!(!format!("{names:?}").contains("ada"));
}

#[test]
fn callers_of_one_key_wait_in_order_and_do_not_delay_other_keys() {
    let (users, clock) = users("1/s burst 1 catch-up 0s");
    users.try_acquire(&1).unwrap();
    let mut first = pin!(users.acquire(&1));
    let mut second = pin!(users.acquire_within(&1, 1, 2 * SECOND));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    let mut third = pin!(users.acquire_within(&1, 1, 2 * SECOND));
    assert!(
        matches!(poll(third.as_mut()), Poll::Ready(Err(Denied::NotYet(late))) if late.retry_after() == SECOND)
    );
    assert_eq!(users.try_acquire(&1).unwrap_err().retry_after(), Some(3 * SECOND));
    assert!(users.try_acquire(&2).is_ok());

    clock.advance(SECOND);
    assert_eq!((poll(second.as_mut()), poll(first.as_mut())), (Poll::Pending, Poll::Ready(Ok(()))));
    // Behind the one that still waits.
    assert_eq!(users.try_acquire(&1).unwrap_err().retry_after(), Some(2 * SECOND));
    clock.advance(SECOND);
    assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
    // The key goes on as a word, with the same level.
    assert_eq!(users.try_acquire(&1).unwrap_err().retry_after(), Some(SECOND));
}

#[test]
fn a_wait_that_is_too_long_is_refused_with_the_rest() {
    let (users, _) = users("1/s burst 1");
    users.try_acquire(&1).unwrap();
    let refused = |max_wait| users.blocking_acquire_within(&1, 1, max_wait).unwrap_err().retry_after();
    assert_eq!(refused(SECOND / 4), Some(SECOND * 3 / 4));
    assert_eq!(refused(Duration::ZERO), Some(SECOND));
    assert!(users.blocking_acquire_within(&1, 2, SECOND).unwrap_err().is_never());
    assert!(matches!(users.blocking_acquire_n(&1, 2), Err(Denied::TooMany(_))));
}

#[test]
fn the_limiter_of_a_key_can_do_all_that_a_limiter_can() {
    let (users, clock) = users("10/s");
    let all_users = RateLimiter::with_clock(Quota::per_second(12), clock.clone());
    users.try_acquire_n(&1, 3).unwrap();
    let user = users.limiter(&1).unwrap();
    assert_eq!(user.available(), 7);
    let both = AllOf::new().and(&user, 5).and(&all_users, 5);
    both.try_acquire().unwrap();
    assert_eq!((users.level(&1).available(), all_users.available()), (2, 7));
    assert_eq!(both.try_acquire().unwrap_err().limit(), 0);
    let reservation = user.try_reserve(2).unwrap();
    assert_eq!(users.level(&1).available(), 0);
    drop((user, both));
    reservation.settle(1).unwrap();
    assert_eq!(users.level(&1).available(), 1);

    // A pause outlives the handle, and so does a debt.
    users.limiter(&1).unwrap().pause_for(60 * SECOND);
    users.limiter(&2).unwrap().charge(1_000).unwrap();
    clock.advance(59 * SECOND);
    assert_eq!(users.try_acquire(&1).unwrap_err().retry_after(), Some(SECOND));
    assert_eq!(users.level(&2).available(), -400);
    clock.advance(SECOND);
    assert!(users.try_acquire(&1).is_ok());
    clock.advance(39 * SECOND);
    assert_eq!(users.level(&2).available(), 0);
    // In debt no more.
    users.limiter(&3).unwrap();
    assert_eq!(users.try_acquire(&2).unwrap_err().retry_after(), Some(SECOND / 10));
}

#[test]
fn a_key_may_have_a_quota_of_its_own() {
    let (users, clock) = users("10/s");
    users.limiter(&1).unwrap().set_quota(Quota::per_second(100)).unwrap();
    clock.advance(SECOND);
    assert_eq!((users.level(&1).available(), users.level(&2).available()), (100, 10));
    users.set_quota(Quota::per_second(20)).unwrap();
    clock.advance(SECOND);
    assert_eq!((users.level(&1).available(), users.level(&2).available()), (100, 20));
    assert_eq!(users.quota(), Quota::per_second(20));
}

#[test]
fn a_closed_limiter_ends_the_waits_of_its_key_only() {
    let (users, _) = users("1/s burst 1");
    users.try_acquire(&1).unwrap();
    {
        let mut waiting = pin!(users.acquire(&1));
        assert!(poll(waiting.as_mut()).is_pending());
        users.limiter(&1).unwrap().close();
        assert_eq!(poll(waiting.as_mut()), Poll::Ready(Err(Denied::Closed)));
    }
    assert!(users.try_acquire(&2).is_ok());
}

#[test]
fn waiters_follow_another_quota() {
    let (users, clock) = users("1/h burst 1");
    users.try_acquire(&1).unwrap();
    let mut waiting = pin!(users.acquire(&1));
    assert!(poll(waiting.as_mut()).is_pending());
    users.set_quota("10/s burst 1".parse().unwrap()).unwrap();
    clock.advance(SECOND / 10);
    assert_eq!(poll(waiting.as_mut()), Poll::Ready(Ok(())));
    // All keys can be blocked, new ones too, and set free.
    users.set_quota(Quota::BLOCKED).unwrap();
    assert!(users.try_acquire(&1).is_err() && users.try_acquire(&9).is_err());
    users.set_quota(Quota::UNLIMITED).unwrap();
    assert!(users.try_acquire_n(&1, 1_000_000).is_ok() && users.try_acquire_n(&9, 1_000_000).is_ok());
}

#[test]
fn the_most_waiters_are_those_of_each_key() {
    let clock = ManualClock::new();
    let users =
        Keyed::<u64>::builder(Quota::per_second(1)).max_waiters(1).clock(clock.clone()).build().unwrap();
    for user in [1, 2] {
        users.try_acquire(&user).unwrap();
        let mut first = pin!(users.acquire_within(&user, 1, 9 * SECOND));
        assert!(poll(first.as_mut()).is_pending());
        let mut second = pin!(users.acquire_within(&user, 1, 9 * SECOND));
        assert!(matches!(poll(second.as_mut()), Poll::Ready(Err(Denied::QueueFull(_)))));
    }
}

#[test]
fn a_quota_that_cannot_be_is_an_error() {
    let build = |quota: &str| Keyed::<u64>::builder(quota.parse().unwrap()).build();
    assert_eq!(build("10/s initial 3").unwrap_err(), QuotaError::InitialOfKeys { initial: 3 });
    assert!(build("1/day burst 9000000000000000000").is_err());
    let (users, _) = users("10/s");
    assert!(users.set_quota("10/s initial 3".parse().unwrap()).is_err());
    assert_eq!(users.quota(), Quota::per_second(10));
    assert!(users.try_acquire_n(&1, -1).is_err() && users.refund(&1, f64::NAN).is_err());
}

/// A key that panics when it is cloned or compared, as often as it is told to.
struct Fragile(u64);

thread_local!(static FUSE: std::cell::Cell<u32> = const { std::cell::Cell::new(u32::MAX) });

fn burn() {
    let left = FUSE.get().wrapping_sub(1);
    FUSE.set(left);
    assert_ne!(left, 0, "a key that panics");
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        burn();
        Self(self.0)
    }
}

impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.0 == other.0
    }
}

impl Eq for Fragile {}

impl std::hash::Hash for Fragile {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

/// Wherever a key panics, no key is lost to its users.
#[test]
fn a_key_that_panics_breaks_nothing() {
    for fuse in 1..60 {
        FUSE.set(u32::MAX);
        let users: Keyed<Fragile> = Keyed::new(Quota::per_hour(10));
        (0..5).for_each(|key| users.try_acquire(&Fragile(key)).unwrap());
        FUSE.set(fuse);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for key in 0..8 {
                drop(users.limiter(&Fragile(key)));
                let _ = users.try_acquire(&Fragile(key));
                let _held = users.limiter(&Fragile(key));
                users.retain(|_, _| true);
            }
        }));
        FUSE.set(u32::MAX);
        for key in 0..8 {
            let key = Fragile(key);
            let limiter = users.limiter(&key).unwrap();
            let level = limiter.available();
            assert!((7..=10).contains(&level), "{level} with fuse {fuse}");
            limiter.try_acquire().unwrap();
            assert_eq!(users.level(&key).available(), level - 1);
            drop(limiter);
            users.try_acquire(&key).unwrap();
            assert_eq!(users.level(&key).available(), level - 2);
        }
    }
}
