//! Pauses: nobody is admitted meanwhile, by whatever way, and nothing accrues.

#[path = "support/by_hand.rs"]
mod by_hand;

use std::{pin::pin, task::Poll, thread, time::Duration};

use by_hand::poll;
use tidegate::{AllOf, Clock, Denied, Inherit, ManualClock, PerCore, Quota, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);

fn limiter(quota: Quota) -> (RateLimiter<ManualClock>, ManualClock) {
    by_hand::limiter(quota.with_catch_up(Duration::ZERO))
}

fn just_before(time: Duration) -> Duration {
    time.checked_sub(Duration::from_nanos(1)).unwrap()
}

fn wait(refused: Result<(), Denied>) -> Duration {
    refused.unwrap_err().retry_after().unwrap()
}

#[test]
fn the_later_end_counts_and_two_pauses_do_not_add_up() {
    let (limiter, clock) = limiter(Quota::per_second(10));
    for _ in 0..10 {
        limiter.try_acquire().unwrap();
    }
    limiter.pause_for(600 * SECOND);
    limiter.pause_for(600 * SECOND);
    limiter.pause_for(SECOND);
    assert_eq!(wait(limiter.try_acquire()), 600 * SECOND + SECOND / 10);
    clock.advance(600 * SECOND);
    // The bucket was empty: the rate goes on from there.
    assert_eq!(wait(limiter.try_acquire()), SECOND / 10);
    clock.advance(SECOND / 10);
    assert!(limiter.try_acquire().is_ok());
    assert_eq!(wait(limiter.try_acquire()), SECOND / 10);
}

#[test]
fn the_permit_of_the_day_is_there_at_the_end() {
    let (limiter, clock) = limiter(Quota::per_day(1));
    limiter.pause_for(600 * SECOND);
    assert_eq!(limiter.available(), 1);
    clock.advance(just_before(600 * SECOND));
    assert_eq!(wait(limiter.try_acquire()), Duration::from_nanos(1));
    clock.advance(Duration::from_nanos(1));
    assert!(limiter.try_acquire().is_ok());
}

#[test]
fn nobody_is_admitted_a_nanosecond_early() {
    let (limiter, clock) = limiter(Quota::per_second(10));
    limiter.pause_for(SECOND);
    clock.advance(just_before(SECOND));
    assert_eq!((wait(limiter.try_acquire()), limiter.available()), (Duration::from_nanos(1), 10));
    assert!(limiter.try_reserve(1).is_err() && poll(pin!(limiter.acquire())).is_pending());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(limiter.try_acquire_up_to(20), 10);
}

#[test]
fn waiters_keep_their_order_and_hopeless_ones_fail_at_once() {
    let (limiter, clock) = limiter(Quota::per_second(1).with_burst(1).with_initial(0));
    let mut first = pin!(limiter.acquire_n(1));
    let mut hasty = pin!(limiter.acquire_within(1, 3 * SECOND));
    let mut last = pin!(limiter.acquire_within(1, 20 * SECOND));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(hasty.as_mut()).is_pending());
    assert!(poll(last.as_mut()).is_pending());
    limiter.pause_for(10 * SECOND);
    let Poll::Ready(Err(denied)) = poll(hasty) else { panic!("due at 12 s, and asked for 3 s") };
    assert_eq!(denied.retry_after(), Some(9 * SECOND));
    // A newcomer comes after the two that are left.
    assert_eq!(wait(limiter.try_acquire()), 13 * SECOND);
    assert_eq!(limiter.waiting(), 2);

    clock.advance(10 * SECOND);
    assert!(poll(first.as_mut()).is_pending());
    clock.advance(SECOND);
    assert_eq!(poll(first), Poll::Ready(Ok(())));
    assert!(poll(last.as_mut()).is_pending());
    clock.advance(SECOND);
    assert_eq!(poll(last), Poll::Ready(Ok(())));
}

#[test]
fn waiters_that_are_due_are_granted_before_a_pause_and_others_when_it_is_over() {
    let (limiter, clock) = limiter(Quota::per_second(1).with_burst(2));
    limiter.pause_until(u64::MAX);
    let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(limiter.acquire())).collect();
    for waiter in &mut waiters {
        assert!(poll(waiter.as_mut()).is_pending());
    }
    clock.advance(3_600 * SECOND);
    assert!(poll(waiters[0].as_mut()).is_pending());
    limiter.resume();
    assert!(poll(waiters[0].as_mut()).is_ready() && poll(waiters[1].as_mut()).is_ready());
    assert!(poll(waiters[2].as_mut()).is_pending());
    assert_eq!(limiter.paused_until(), None);
}

#[test]
fn a_gentle_end_releases_nothing() {
    let (limiter, clock) = limiter(Quota::per_second(10));
    limiter.resume_gently();
    assert_eq!(limiter.available(), 10, "there was no pause");
    limiter.pause_for(SECOND);
    limiter.resume_gently();
    assert_eq!(limiter.available(), 0);
    limiter.charge(5).unwrap();
    limiter.pause_for(SECOND);
    limiter.resume_gently();
    assert_eq!(limiter.available(), -5, "a debt stays");
    // By time: paused, with a bucket that is empty at the end.
    limiter.set_available(7);
    limiter.pause_for(SECOND);
    limiter.set_available(0);
    clock.advance(SECOND);
    assert_eq!(wait(limiter.try_acquire()), SECOND / 10);
}

#[test]
fn what_goes_back_and_what_is_charged_counts_during_a_pause() {
    let (limiter, clock) = limiter(Quota::per_second(1).with_burst(10));
    let reservation = limiter.try_reserve(4).unwrap();
    limiter.pause_for(5 * SECOND);
    assert_eq!(limiter.available(), 6);
    drop(reservation);
    assert_eq!(limiter.available(), 10);
    assert_eq!(limiter.charge(12).unwrap(), 7 * SECOND);
    limiter.refund(3).unwrap();
    assert_eq!(limiter.available(), 1);
    limiter.reset();
    assert_eq!(limiter.available(), 10);
    assert_eq!((limiter.try_acquire_up_to(3), limiter.has_capacity(1)), (0, false));
    assert!(limiter.try_reserve(1).is_err() && limiter.try_acquire_n(0).is_ok());
    clock.advance(5 * SECOND);
    assert_eq!(limiter.try_acquire_up_to(30), 10);
}

#[test]
fn another_quota_does_not_end_a_pause() {
    let (limiter, clock) = limiter(Quota::per_second(1).with_burst(10));
    limiter.pause_for(5 * SECOND);
    for inherit in [Inherit::AsIs, Inherit::Additively, Inherit::Proportionally, Inherit::Reset] {
        limiter.set_quota_with(Quota::per_second(1000), inherit).unwrap();
        assert_eq!(wait(limiter.try_acquire()), 5 * SECOND);
    }
    clock.advance(5 * SECOND);
    assert!(limiter.try_acquire().is_ok());
}

#[test]
fn parked_and_held_permits_wait_too() {
    let (limiter, clock) = limiter(Quota::per_second(1000));
    let per_core = PerCore::builder(&limiter).slots(1).share(50).build().unwrap();
    let mut local = per_core.local();
    per_core.try_acquire().unwrap();
    local.try_acquire().unwrap();
    assert!(per_core.report()[0].parked > 0.into() && local.held() > 0.into());
    let before = limiter.available();

    limiter.pause_for(SECOND);
    assert_eq!(per_core.report()[0].parked, 0.into());
    assert_eq!(wait(per_core.try_acquire()), SECOND);
    assert_eq!(wait(local.try_acquire()), SECOND);
    assert_eq!(wait(local.try_acquire_n(3)), SECOND);
    assert_eq!(local.held(), 0.into());
    assert!(poll(pin!(per_core.acquire())).is_pending() && poll(pin!(local.acquire())).is_pending());

    clock.advance(SECOND);
    assert!(limiter.available() >= before, "{} of {before}", limiter.available());
    assert!(local.try_acquire().is_ok() && per_core.try_acquire().is_ok());
    // They park again.
    assert!(per_core.report()[0].parked > 0.into());
}

#[test]
fn several_limits_wait_for_the_one_that_is_paused() {
    let (requests, clock) = limiter(Quota::per_second(10));
    let tokens = RateLimiter::with_clock(Quota::per_second(1000), clock.clone());
    let both = AllOf::new().and(&requests, 1).and(&tokens, 100);
    tokens.pause_for(SECOND);
    let denied = both.try_acquire().unwrap_err();
    assert_eq!(denied.retry_after(), Some(SECOND));
    let mut waiting = Box::pin(both.acquire());
    assert!(poll(waiting.as_mut()).is_pending());
    // A waiter of the other limit alone is not held up for good.
    clock.advance(SECOND / 2);
    tokens.pause_for(SECOND);
    clock.advance(just_before(SECOND));
    assert!(poll(waiting.as_mut()).is_pending());
    clock.advance(Duration::from_nanos(1));
    assert!(poll(waiting.as_mut()).is_ready());
    assert_eq!((requests.available(), tokens.available()), (9, 900));
}

/// What was granted before the pause is held, but the call is not admitted in it.
#[test]
fn a_call_for_several_limits_is_not_admitted_with_what_it_holds() {
    for close in [false, true] {
        let (first, clock) = limiter(Quota::per_second(1).with_burst(1).with_initial(0));
        let second = RateLimiter::with_clock(first.quota().with_initial(1), clock.clone());
        let mut waiting = pin!(AllOf::new().and(&first, 1).and(&second, 1).acquire());
        assert!(poll(waiting.as_mut()).is_pending(), "for the first");
        second.charge(2).unwrap();
        clock.advance(SECOND);
        assert!(poll(waiting.as_mut()).is_pending(), "for the second");
        if close {
            first.close();
        } else {
            first.pause_for(600 * SECOND);
        }
        clock.advance(SECOND);
        let Poll::Ready(outcome) = poll(waiting.as_mut()) else {
            assert!(!close);
            clock.advance(599 * SECOND);
            assert_eq!(poll(waiting), Poll::Ready(Ok(())));
            continue;
        };
        assert!(close && outcome.unwrap_err().denied() == Denied::Closed);
    }
}

/// A call for several limits in its final round gives way while one of them is paused or blocked.
#[test]
fn a_pause_of_one_limit_does_not_hold_up_callers_of_another() {
    for blocked in [false, true] {
        let (first, clock) = limiter(Quota::per_second(1).with_burst(1).with_initial(0));
        let second = RateLimiter::with_clock(first.quota().with_initial(1), clock.clone());
        let mut waiting = pin!(AllOf::new().and(&first, 1).and(&second, 1).acquire());
        assert!(poll(waiting.as_mut()).is_pending());
        second.charge(2).unwrap();
        clock.advance(SECOND);
        assert!(poll(waiting.as_mut()).is_pending());
        second.charge(1).unwrap();
        // The second limit grants its part, and the part of the first has overflowed.
        clock.advance(2 * SECOND);
        second.charge(1).unwrap();
        assert!(poll(waiting.as_mut()).is_pending());
        assert_eq!((first.waiting(), second.waiting()), (1, 1), "in its final round");
        if blocked {
            first.set_quota(Quota::BLOCKED).unwrap();
        } else {
            first.pause_until(u64::MAX);
        }
        clock.advance(3 * SECOND);
        assert!(second.try_acquire().is_ok(), "nobody waits for it now");
        assert!(poll(waiting.as_mut()).is_pending());
        assert_eq!((first.waiting(), second.waiting()), (1, 0));
        clock.advance(3 * SECOND);
        assert!(second.try_acquire().is_ok());

        if blocked {
            first.set_quota(second.quota()).unwrap();
        } else {
            first.resume();
        }
        for _ in 0..4 {
            clock.advance(SECOND);
            if poll(waiting.as_mut()).is_ready() {
                break;
            }
        }
        assert_eq!((first.waiting(), second.waiting()), (0, 0));
        assert_eq!((first.available(), second.available()), (0, 0), "taken, {blocked}");
    }
}

/// A `Local` releases nothing that it held before.
#[test]
fn what_a_local_held_is_not_released_at_the_end() {
    for set in [false, true] {
        let (limiter, clock) = limiter(Quota::per_second(1000));
        let per_core = PerCore::builder(&limiter).slots(1).share(100).build().unwrap();
        let mut local = per_core.local();
        local.try_acquire().unwrap();
        assert_eq!(local.held(), 100.into());
        limiter.pause_for(SECOND);
        if set {
            limiter.set_available(0);
            clock.advance(SECOND);
        } else {
            limiter.resume_gently();
        }
        assert!(local.try_acquire().is_err());
        clock.advance(SECOND / 10);
        assert!(local.try_acquire().is_ok());
        drop(local);
        assert!(limiter.available() <= 100);
    }
}

#[test]
fn a_blocked_thread_waits_for_the_end() {
    let limiter = RateLimiter::new(Quota::per_second(1000).with_burst(1000));
    limiter.pause_for(Duration::from_secs(3_600));
    thread::scope(|scope| {
        let blocked = scope.spawn(|| limiter.blocking_acquire());
        let refused = scope.spawn(|| limiter.blocking_acquire_within(1, SECOND));
        assert!(refused.join().unwrap().unwrap_err().retry_after() > Some(Duration::from_secs(3_000)));
        while limiter.waiting() == 0 {
            thread::yield_now();
        }
        limiter.resume();
        blocked.join().unwrap();
    });
}

#[test]
fn a_level_is_set_for_waiters_too() {
    let (limiter, _) = limiter(Quota::per_second(1).with_burst(5).with_initial(0));
    let mut waiters: Vec<_> = (0..4).map(|_| Box::pin(limiter.acquire())).collect();
    for waiter in &mut waiters {
        assert!(poll(waiter.as_mut()).is_pending());
    }
    limiter.set_available(3);
    let granted =
        waiters.iter_mut().map(|waiter| poll(waiter.as_mut()).is_ready()).filter(|&ready| ready).count();
    assert_eq!((granted, limiter.waiting()), (3, 1));
    limiter.set_available(1_000);
    assert_eq!(limiter.available(), 4, "five, and one of them for the last waiter");
    let held = limiter.try_reserve(2).unwrap();
    limiter.set_available(0);
    drop(held);
    assert_eq!(limiter.available(), 0, "what was reserved before does not return");
}

#[test]
fn a_clock_that_steps_back_after_a_pause_is_followed() {
    let (limiter, clock) = limiter(Quota::per_second(10).with_burst(1));
    limiter.pause_for(600 * SECOND);
    clock.advance(600 * SECOND);
    limiter.try_acquire().unwrap();
    clock.set(clock.now() - 500_000_000_000);
    assert_eq!(wait(limiter.try_acquire()), SECOND / 10);
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn tasks_wait_in_virtual_time() {
    use tidegate::TokioClock;
    let limiter = RateLimiter::with_clock(Quota::per_second(10).with_burst(1), TokioClock::new());
    let begun = tokio::time::Instant::now();
    limiter.pause_for(600 * SECOND);
    for due in [600_000, 600_100, 600_200] {
        limiter.acquire().await;
        assert_eq!(begun.elapsed().as_millis(), due);
    }
    // A pause in the middle of a wait.
    let waiting = async { limiter.acquire().await };
    let pausing = async { limiter.pause_for(SECOND) };
    tokio::join!(waiting, pausing);
    // A tenth of a second was missing when the pause began.
    assert_eq!(begun.elapsed().as_millis(), 601_300);
}
