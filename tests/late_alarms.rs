//! Somebody is due and still waits, for an alarm that is late or because it is held back: calls that do not wait, a
//! charge, a longest wait, and a change of quota find what they would find if it had been served in time.

#[path = "support/held.rs"]
mod held;
#[path = "support/late_clock.rs"]
mod late_clock;
#[path = "support/mute.rs"]
mod mute;

use std::{
    future::Future,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use held::{MICRO, MILLI, after_threads, held, limiter, settle};
use late_clock::LateClock;
use mute::Mute;
use tidegate::{AllOf, Denied, Inherit, Quota, RateLimiter};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn several_limits_at_once_do_not_see_who_is_held_back() {
    let limiter = limiter(10_000, 5);
    let _back = held(&limiter, 2, 1).await;
    assert!(limiter.has_capacity(1));
    assert_eq!(AllOf::new().and(&limiter, 1).try_acquire(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn as_many_as_there_are_do_not_see_who_is_held_back() {
    let limiter = limiter(10_000, 5);
    let _back = held(&limiter, 2, 1).await;
    assert!(limiter.has_capacity(1));
    assert_eq!(limiter.try_acquire_up_to(1), 1);
}

/// It was due, and there was enough for it, before the charge.
#[tokio::test(start_paused = true)]
async fn a_charge_takes_nothing_from_who_is_held_back() {
    let limiter = limiter(10_000, 5);
    let _back = held(&limiter, 3, 1).await;
    let hasty = tokio::spawn(limiter.acquire_within_owned(1, 3 * MILLI));
    settle().await;
    let was_held = !hasty.is_finished();
    limiter.charge(100).unwrap();
    assert_eq!(hasty.await.unwrap(), Ok(()), "held back: {was_held}");
}

/// The permit is there when it is asked for.
#[tokio::test(start_paused = true)]
async fn nobody_is_held_back_beyond_a_deadline_before_the_next_tick() {
    let limiter = limiter(10_000, 5);
    let _back = held(&limiter, 3, 1).await;
    assert!(limiter.has_capacity(1));
    let start = Instant::now();
    limiter.acquire_within(1, 600 * MICRO).await.unwrap();
    assert!(start.elapsed() <= 600 * MICRO, "after {:?}", start.elapsed());
}

/// Those behind the one who is held back hear at once that they will be late.
#[tokio::test(start_paused = true)]
async fn who_is_too_late_behind_one_who_is_held_back_is_turned_away_at_once() {
    let limiter = limiter(10_000, 50);
    let _back = held(&limiter, 3, 1).await;
    let late = tokio::spawn(limiter.acquire_within_owned(40, 39 * MILLI / 10));
    settle().await;
    assert!(!late.is_finished());
    let start = Instant::now();
    // There is enough for who is held back, but the other is due 100 µs after its longest wait.
    limiter.charge(6).unwrap();
    let too_late = Err(Denied::NotYet { retry_after: 100 * MICRO });
    assert_eq!(late.await.unwrap(), too_late);
    assert_eq!(Instant::now(), start);
}

/// Nobody waits, and there is enough: there is no need for a runtime.
#[test]
fn who_need_not_wait_needs_no_runtime() {
    let limiter = after_threads(5);
    assert_eq!((limiter.waiting(), limiter.has_capacity(1)), (0, true));
    let mut cx = Context::from_waker(Waker::noop());
    let mut call = Box::pin(limiter.acquire_owned());
    // Once to let others go first.
    let served = call.as_mut().poll(&mut cx).is_ready() || call.as_mut().poll(&mut cx).is_ready();
    assert!(served);
}

/// One has been released; of its round one waits, and of the next one `late` do; all of them due, by a late alarm.
async fn two_rounds(late: usize) -> (RateLimiter<Mute>, Vec<JoinHandle<()>>) {
    let quota = Quota::per_second(1_000).burst(1).initial(0);
    let limiter = RateLimiter::with_clock(quota, Mute::default());
    let spawn = || tokio::spawn(limiter.acquire_owned());
    let first = spawn();
    let mut others = vec![spawn()];
    settle().await;
    limiter.clock().advance(MILLI);
    sleep(2 * MILLI).await;
    settle().await;
    assert!(first.is_finished());
    others.extend((0..late).map(|_| spawn()));
    settle().await;
    assert_eq!(limiter.waiting(), 1 + late);
    // The alarm is late.
    limiter.clock().advance((1 + late as u32) * MILLI);
    (limiter, others)
}

/// What is due by the old quota is granted by the old quota.
#[tokio::test(start_paused = true)]
async fn whoever_is_due_when_the_quota_changes_is_granted_by_the_old_one() {
    let (limiter, others) = two_rounds(3).await;
    limiter.set_quota(Quota::per_hour(1)).unwrap();
    settle().await;
    assert_eq!(others.iter().filter(|task| task.is_finished()).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_due_when_the_quota_starts_anew_is_granted_by_the_old_one() {
    let (limiter, others) = two_rounds(1).await;
    limiter.set_quota_with(Quota::per_hour(1).initial(0), Inherit::Reset).unwrap();
    settle().await;
    limiter.clock().advance(SECOND);
    sleep(SECOND).await;
    assert_eq!(others.iter().filter(|task| task.is_finished()).count(), 2);
}

/// It was due before the charge, and in time.
#[test]
fn a_charge_before_a_late_alarm_takes_nothing_from_who_is_due() {
    let clock = LateClock::default();
    let quota = Quota::per_second(1_000).burst(5).initial(0);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiter = Box::pin(limiter.acquire_within_owned(1, 2 * MILLI));
    assert!(waiter.as_mut().poll(&mut cx).is_pending());
    clock.now.store(1_500_000, Relaxed);
    limiter.charge(100).unwrap();
    assert_eq!(waiter.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
}

/// An alarm that is later than the catch-up has cost some of the time.
#[test]
fn a_refusal_behind_a_late_alarm_says_when_to_come_back() {
    let clock = LateClock::default();
    let quota = Quota::per_second(10).burst(1).initial(0);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(limiter.acquire_owned())).collect();
    for waiter in &mut waiters {
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
    }
    clock.now.store(150_000_000, Relaxed);
    let retry_after = limiter.time_until(1).unwrap();
    assert_eq!(limiter.try_acquire(), Err(Denied::NotYet { retry_after }));
    let until = 150_000_000 + retry_after.as_nanos() as u64;
    for now in (150_000_000..=until).step_by(10_000_000) {
        clock.now.store(now, Relaxed);
        clock.ring();
    }
    clock.now.store(until, Relaxed);
    clock.ring();
    assert_eq!(limiter.try_acquire(), Ok(()), "told {retry_after:?}");
}

#[test]
fn what_there_is_capacity_for_is_not_refused_behind_a_late_alarm() {
    let clock = LateClock::default();
    let quota = Quota::per_second(1_000).burst(5).initial(0);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiter = Box::pin(limiter.acquire_owned());
    assert!(waiter.as_mut().poll(&mut cx).is_pending());
    clock.now.store(3_000_000, Relaxed);
    assert_eq!(limiter.has_capacity(1), limiter.try_acquire().is_ok());
}

/// Whoever comes while the alarm is late runs the hand-off itself, and is the last to go on all the same.
#[tokio::test(start_paused = true)]
async fn who_serves_others_hears_of_it_after_them() {
    let quota = Quota::per_second(1_000).burst(1).initial(0);
    let limiter = RateLimiter::with_clock(quota, Mute::default());
    let served = Arc::new(Mutex::new(Vec::new()));
    let spawn = |number| {
        let (call, served) = (limiter.acquire_owned(), Arc::clone(&served));
        tokio::spawn(async move {
            call.await;
            served.lock().unwrap().push(number);
        })
    };
    let _first: Vec<_> = (0..2).map(spawn).collect();
    settle().await;
    assert_eq!(limiter.waiting(), 2);
    limiter.clock().advance(5 * MILLI);
    let _last = spawn(2);
    settle().await;
    assert_eq!(*served.lock().unwrap(), [0, 1, 2]);
}
