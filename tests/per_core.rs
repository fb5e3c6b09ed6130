//! One quota on every core, through the public interface: threads that start and end, `Local`s that are moved and
//! dropped, waiters, and the exact sum of all permits.

#[path = "support/by_hand.rs"]
mod by_hand;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    thread,
    time::Duration,
};

use by_hand::{limiter, poll};
use tidegate::{
    AllOf, Clock, Inherit, Local, ManualClock, PerCore, PerCoreError, Permits, Quota, RateLimiter,
};

const MS: Duration = Duration::from_millis(1);

/// Fewer calls where each takes long.
const CALLS: u64 = if cfg!(miri) { 100 } else { 50_000 };

fn slots<C: Clock>(limiter: &RateLimiter<C>, slots: usize, share: u64) -> PerCore<C> {
    PerCore::builder(limiter).slots(slots).share(share).build().unwrap()
}

/// Moves the clock on while the workers work; what they took.
fn while_working(clock: &ManualClock, step: Duration, work: &[&(dyn Fn() -> u64 + Sync)]) -> u64 {
    thread::scope(|scope| {
        let workers: Vec<_> = work.iter().map(|work| scope.spawn(work)).collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            clock.advance(step);
            thread::yield_now();
        }
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

/// The bucket is never full, so whatever time has brought was taken, or is still there.
#[test]
fn the_books_balance() {
    let (limiter, clock) = limiter(Quota::per_second(100_000).with_burst(1 << 40).with_initial(0));
    let (adaptive, fixed) = (PerCore::builder(&limiter).slots(4).build().unwrap(), slots(&limiter, 4, 100));
    let wait = Duration::from_micros(50);
    let taken = while_working(
        &clock,
        Duration::from_micros(20),
        &[
            &|| (0..CALLS).map(|i| u64::from(fixed.try_acquire_n(i % 3).is_ok()) * (i % 3)).sum(),
            &|| (0..CALLS).map(|_| u64::from(adaptive.try_acquire().is_ok())).sum(),
            &|| {
                let mut local = fixed.local();
                (0..CALLS).map(|_| u64::from(local.try_acquire().is_ok())).sum()
            },
            &|| (0..CALLS).map(|i| limiter.try_acquire_up_to(i % 5)).sum(),
            &|| (0..CALLS / 500).map(|_| adaptive.blocking_acquire_n(7).map_or(0, |()| 7)).sum(),
            &|| (0..CALLS / 50).map(|_| u64::from(adaptive.blocking_acquire_within(1, wait).is_ok())).sum(),
        ],
    );
    let left = u64::try_from(limiter.available()).unwrap();
    assert_eq!(taken + left, clock.now() / 10_000, "{left} are left");
    assert_eq!(limiter.waiting(), 0);
}

/// As the books, with a bucket that overflows at once: what is taken is no more than what time allows, and no
/// less, for whenever nothing is taken any more, nothing is there.
#[test]
fn hungry_threads_get_all_of_a_small_burst() {
    let (limiter, clock) = limiter(Quota::per_second(1_000_000).with_burst(2_000).with_initial(0));
    let per_core = PerCore::builder(&limiter).slots(4).build().unwrap();
    let seconds = if cfg!(miri) { 0.01 } else { 0.3 };
    let until = (seconds * 1e9) as u64;
    let hungry = |mut take: Box<dyn FnMut() -> bool + '_>| {
        let mut taken = 0_u64;
        while clock.now() < until {
            taken += u64::from(take());
        }
        // What came last.
        taken + (0..3_000).map(|_| u64::from(take())).sum::<u64>()
    };
    let by_slot = || hungry(Box::new(|| per_core.try_acquire().is_ok()));
    let by_hand = || {
        let mut local = per_core.local();
        hungry(Box::new(move || local.try_acquire().is_ok()))
    };
    let taken = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..4).map(|i| if i % 2 == 0 { scope.spawn(by_slot) } else { scope.spawn(by_hand) }).collect();
        while clock.now() < until {
            // No more than fits, once all before has been taken.
            while limiter.available() > 0 {
                thread::yield_now();
            }
            clock.advance(MS);
        }
        workers.into_iter().map(|worker| worker.join().unwrap()).sum::<u64>()
    });
    assert_eq!(taken, (seconds * 1e6) as u64);
}

#[test]
fn one_busy_caller_gets_the_quota() {
    let (limiter, clock) = limiter(Quota::per_second(1000).with_burst(100).with_initial(0));
    let per_core = PerCore::builder(&limiter).slots(8).build().unwrap();
    let steps = if cfg!(miri) { 50 } else { 10_000 };
    let mut taken = 0;
    for _ in 0..steps {
        clock.advance(MS);
        taken += u64::from(per_core.try_acquire().is_ok());
    }
    assert_eq!(taken, steps, "a permit each millisecond");
}

#[test]
fn threads_come_and_go() {
    let (limiter, _clock) = limiter(Quota::per_hour(1 << 20).with_burst(1 << 20));
    let per_core = PerCore::builder(&limiter).slots(4).build().unwrap();
    let (threads, each) = if cfg!(miri) { (20, 3) } else { (3_000, 10) };
    let all = limiter.available();
    for _ in 0..threads / 10 {
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| (0..each).for_each(|_| per_core.try_acquire().unwrap()));
            }
        });
    }
    assert_eq!(limiter.available(), all - threads * each, "what they have parked is there for all");
    let left = u64::try_from(limiter.available()).unwrap();
    assert_eq!(limiter.try_acquire_up_to(u64::MAX), left);
}

#[test]
fn a_hand_can_be_moved_and_gives_back_in_a_panic() {
    let (limiter, _clock) = limiter(Quota::per_hour(8_000));
    let per_core = slots(&limiter, 1, 1000);
    let mut local = per_core.local();
    local.try_acquire().unwrap();
    assert_eq!((local.held(), limiter.available()), (1000.into(), 7000 - 1001));
    let mut local = thread::spawn(move || {
        local.try_acquire().unwrap();
        local
    })
    .join()
    .unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        local.try_acquire_n(0.5).unwrap();
        panic!("with permits in hand");
    }));
    assert!(panicked.is_err());
    assert_eq!(limiter.available(), 7000 - 3);
    assert!(limiter.has_capacity(6997.5));
}

#[test]
fn who_waits_is_given_what_is_parked() {
    let (limiter, clock) = limiter(Quota::per_second(1).with_burst(1000).with_initial(104));
    let per_core = slots(&limiter, 4, 30);
    // Two slots with 30 each, and 42 in the word; which slots, is up to the threads.
    thread::scope(|scope| {
        scope.spawn(|| per_core.try_acquire().unwrap());
        scope.spawn(|| per_core.try_acquire_n(31).unwrap());
    });
    let left = limiter.available();
    let mut large = pin!(per_core.acquire_n(u64::try_from(left).unwrap()));
    assert!(poll(large.as_mut()).is_ready(), "all that is there, wherever it is");
    assert_eq!(limiter.available(), 0);

    let (mut first, mut second) = (pin!(per_core.acquire()), pin!(limiter.acquire_n(2)));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert!(
        per_core.try_acquire().is_err() && per_core.local().try_acquire().is_err(),
        "not past those who wait"
    );
    clock.advance(Duration::from_secs(1));
    assert!(poll(first.as_mut()).is_ready() && poll(second.as_mut()).is_pending());
    clock.advance(Duration::from_secs(2));
    assert!(poll(second.as_mut()).is_ready());
}

#[test]
fn what_a_hand_gives_back_goes_to_who_waits() {
    let (limiter, _clock) = limiter(Quota::per_hour(8_000));
    let per_core = slots(&limiter, 1, 1000);
    let mut local = per_core.local();
    local.try_acquire().unwrap();
    assert_eq!(limiter.try_acquire_up_to(u64::MAX), 5999);
    let mut waiter = pin!(per_core.acquire_n(900));
    assert!(poll(waiter.as_mut()).is_pending());
    // A held permit belongs to the `Local`, also while there are waiters.
    assert!(local.try_acquire().is_ok());
    drop(local);
    assert!(poll(waiter.as_mut()).is_ready());
    assert_eq!(limiter.available(), 99);
}

#[test]
fn a_hand_adds_what_it_holds_to_what_it_waits_for() {
    let (limiter, clock) = limiter(Quota::per_second(1).with_burst(800).with_initial(11));
    let per_core = slots(&limiter, 1, 10);
    let mut local = per_core.local();
    local.try_acquire().unwrap();
    assert_eq!((local.held(), limiter.available()), (10.into(), 0));
    {
        let mut waiter = pin!(local.acquire_n(12));
        assert!(poll(waiter.as_mut()).is_pending());
        clock.advance(Duration::from_secs(2));
        assert!(poll(waiter.as_mut()).is_ready(), "ten in hand, and two that came");
    }
    assert_eq!(local.held(), Permits::ZERO);
    {
        let mut waiter = pin!(local.acquire());
        assert!(poll(waiter.as_mut()).is_pending());
    }
    clock.advance(Duration::from_secs(1));
    local.blocking_acquire();
    assert!(local.try_acquire().is_err());
}

#[test]
fn several_at_once_find_what_is_parked() {
    let (limiter, _clock) = limiter(Quota::per_hour(8_000).with_initial(101));
    let other = RateLimiter::with_clock(Quota::per_hour(10), ManualClock::new());
    let per_core = slots(&limiter, 1, 100);
    per_core.try_acquire().unwrap();
    assert_eq!(per_core.report()[0].parked, 100.into());
    let both = |n: u64| AllOf::new().and(&limiter, n).and(&other, 1);
    assert!(both(101).try_acquire().is_err());
    assert!(both(60).try_acquire().is_ok());
    let mut waiter = Box::pin(both(40).acquire());
    assert!(poll(waiter.as_mut()).is_ready());
    assert_eq!((limiter.available(), other.available()), (0, 8));
}

#[test]
fn several_on_one_limiter_use_the_same_slots() {
    let (limiter, _clock) = limiter(Quota::per_hour(8_000));
    let one = slots(&limiter, 2, 100);
    let other = PerCore::new(&limiter);
    assert_eq!(other.report().len(), 2);
    one.try_acquire().unwrap();
    other.try_acquire().unwrap();
    let parked: u64 = one.report().iter().map(|slot| slot.parked.whole()).sum();
    assert_eq!(parked, 99, "the second took what the first had parked");
    let error = PerCore::builder(&limiter).slots(4).build().unwrap_err();
    assert_eq!(error, PerCoreError::OtherSlots { slots: 4, there: 2 });
    assert_eq!(error.to_string(), "4 slots: the limiter has 2 already");
}

#[test]
fn what_is_missing_stays_missing_whoever_comes_and_leaves() {
    let quota = Quota::per_hour(1).with_burst(800);
    let (limiter, _clock) = limiter(quota);
    limiter.try_acquire_n(800).unwrap();
    for _ in 0..5 {
        let per_core = slots(&limiter, 1, 0);
        limiter.set_quota_with(quota.with_burst(80), Inherit::Additively).unwrap();
        assert_eq!(limiter.available(), -720);
        drop(per_core);
        limiter.set_quota_with(quota, Inherit::Additively).unwrap();
        assert_eq!(limiter.available(), 0);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let (limiter, _clock) = limiter(Quota::per_second(1600));
    let build = |slots: usize, share: u64| PerCore::builder(&limiter).slots(slots).share(share).build();
    assert_eq!(build(0, 0).unwrap_err(), PerCoreError::Slots { slots: 0 });
    assert_eq!(build(70_000, 0).unwrap_err().to_string(), "70000 slots: it must be from 1 to 65536");
    assert_eq!(build(3, 51).unwrap_err(), PerCoreError::Share { share: 51, max: 50, slots: 4 });
    assert_eq!(limiter.try_acquire_n(1600), Ok(()), "a builder that failed sets nothing aside");
    assert!(build(3, 50).is_ok());
}

#[test]
fn a_request_for_more_than_a_slot_can_hold_is_given_the_parked_permits() {
    let trillion = 1_000_000_000_000_u64;
    let (limiter, _clock) = limiter(Quota::per_second(1).with_burst(40 * trillion));
    let per_core = slots(&limiter, 1, 4 * trillion);
    per_core.try_acquire().unwrap();
    let parked = per_core.report()[0].parked.whole();
    let word = limiter.available() as u64 - parked;
    limiter.try_acquire_n(word - trillion).unwrap();
    // A slot counts up to 4.3 trillion.
    let all = parked + trillion;
    assert_eq!(limiter.available() as u64, all);
    assert!(all > 4_800_000_000_000 && limiter.has_capacity(all));
    assert_eq!(limiter.try_acquire_n(all), Ok(()));
}

#[test]
fn they_can_be_sent_and_shared() {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<PerCore>();
    send_and_sync::<Local>();
}
