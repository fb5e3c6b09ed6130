//! Reservations: taken now, given back on drop unless spent.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate::{ChargeError, ManualClock, PerCore, Quota, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);

/// One permit a second.
fn limiter(burst: u64) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (RateLimiter::with_clock(Quota::per_second(1).with_burst(burst), clock.clone()), clock)
}

#[test]
fn what_is_dropped_goes_to_who_waits() {
    let (limiter, _clock) = limiter(3);
    let mut cx = Context::from_waker(Waker::noop());
    let reservation = limiter.try_reserve(2).unwrap();
    let mut first = pin!(limiter.acquire_n(2));
    let mut second = pin!(limiter.acquire());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    drop(reservation);
    assert_eq!(first.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
    assert_eq!(second.as_mut().poll(&mut cx), Poll::Ready(()));
    assert_eq!(limiter.available(), 0);
}

#[test]
fn what_is_spent_stays_taken() {
    let (limiter, clock) = limiter(3);
    limiter.try_reserve(2).unwrap().spend();
    assert_eq!(limiter.available(), 1);
    let denied = limiter.try_reserve(2).unwrap_err();
    assert_eq!(denied.retry_after(), Some(SECOND));
    assert!(limiter.try_reserve(4).unwrap_err().is_never());
    assert!(limiter.try_reserve(-1).is_err());
    assert_eq!(limiter.available(), 1);
    clock.advance(SECOND);
    assert_eq!(limiter.try_reserve(2).unwrap().permits(), 2.into());
}

/// What came in while the bucket would have been full is gone; else a reservation would be a second burst.
#[test]
fn what_would_have_overflowed_does_not_come_back() {
    let (limiter, clock) = limiter(3);
    let reservation = limiter.try_reserve(3).unwrap();
    clock.advance(3 * SECOND);
    limiter.try_acquire_n(3).unwrap();
    drop(reservation);
    assert_eq!(limiter.available(), 0);
}

#[test]
fn waiting_for_one_is_waiting_in_line() {
    let (limiter, clock) = limiter(2);
    let mut cx = Context::from_waker(Waker::noop());
    limiter.try_acquire_n(2).unwrap();
    {
        let mut reserve = pin!(limiter.reserve(2));
        let mut behind = pin!(limiter.acquire());
        assert!(reserve.as_mut().poll(&mut cx).is_pending());
        assert!(behind.as_mut().poll(&mut cx).is_pending());
        assert!(limiter.try_reserve(1).is_err(), "it overtook");
        assert_eq!(limiter.try_reserve(0).unwrap().permits(), 0.into());
        clock.advance(2 * SECOND);
        assert!(behind.as_mut().poll(&mut cx).is_pending());
        let Poll::Ready(Ok(reservation)) = reserve.as_mut().poll(&mut cx) else { panic!("it is due") };
        drop(reservation);
        assert!(behind.as_mut().poll(&mut cx).is_ready());
    }
    assert_eq!(limiter.available(), 1);
    // Given up while waiting: nothing is taken.
    let mut reserve = Box::pin(limiter.reserve(2));
    assert!(reserve.as_mut().poll(&mut cx).is_pending());
    drop(reserve);
    assert_eq!((limiter.available(), limiter.waiting()), (1, 0));
}

/// However many were granted at once, the first is given back as well as the last.
#[test]
fn each_of_many_grants_can_be_given_back() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(1).with_burst(1_000), clock);
    let mut all: Vec<_> = (0..1_000).map(|_| limiter.try_reserve(1).unwrap()).collect();
    for n in 1..=500 {
        drop(all.remove(0));
        drop(all.pop());
        assert_eq!(limiter.available(), 2 * n);
    }
}

/// Each of many calls finds a bucket that is less full than the one before.
#[test]
fn a_reservation_keeps_its_worth_however_many_callers_reserve_meanwhile() {
    for others in [1, 15, 16, 100, 900] {
        let (limiter, clock) = limiter(1_000);
        let reservation = limiter.try_reserve(10).unwrap();
        for _ in 0..others {
            clock.advance(Duration::from_micros(10));
            limiter.try_reserve(1).unwrap().spend();
        }
        drop(reservation);
        // What came in the first 10 us has overflowed.
        assert_eq!(limiter.available(), 1_000 - others, "{others} others");
    }
}

/// 70 in the bucket and 10 parked, of 80 that come in a second.
fn partly_parked() -> (RateLimiter<ManualClock>, PerCore<ManualClock>) {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(80), clock.clone());
    let per_core = PerCore::builder(&limiter).slots(1).share(10).build().unwrap();
    per_core.try_acquire().unwrap();
    clock.advance(SECOND);
    assert_eq!(limiter.available(), 80);
    (limiter, per_core)
}

/// That others have had what was parked does not make it too late: without the reservation they would have needed less.
#[test]
fn what_others_have_gathered_since_changes_nothing() {
    let (limiter, _per_core) = partly_parked();
    let reservation = limiter.try_reserve(65).unwrap();
    limiter.try_acquire_n(14).unwrap();
    assert_eq!(limiter.available(), 1);
    drop(reservation);
    assert_eq!(limiter.available(), 66);

    let (limiter, _per_core) = partly_parked();
    let reservation = limiter.try_reserve(8).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(limiter.acquire_n(70)).poll(&mut cx).is_ready());
    assert_eq!(limiter.available(), 2);
    drop(reservation);
    assert_eq!(limiter.available(), 10);
}

/// It does not make it any less too late, either.
#[test]
fn what_others_have_gathered_since_is_no_second_burst() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(80), clock.clone());
    let per_core = PerCore::builder(&limiter).slots(1).share(10).build().unwrap();
    per_core.try_acquire().unwrap();
    clock.advance(SECOND);
    let reservation = limiter.try_reserve(65).unwrap();
    clock.advance(SECOND);
    // All that came meanwhile, with what is parked.
    limiter.try_acquire_n(70).unwrap();
    assert_eq!(limiter.try_acquire_up_to(80), 10);
    drop(reservation);
    assert_eq!(limiter.available(), 0);
}

/// What was not used of a reservation goes back as if it had been a reservation of its own.
#[test]
fn settling_is_like_two_reservations() {
    for seed in 0..2_000_u64 {
        let mut state = seed;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let ((one, clock), (two, same)) = (limiter(10), limiter(10));
        let mut held = Vec::new();
        for step in 0..40 {
            // Both limiters take the lock as often: a call without it is dated by the next call under it.
            for limiter in [&one, &two] {
                drop(limiter.try_reserve(0).unwrap());
            }
            match below(5) {
                0 => {
                    let by = Duration::from_millis(below(4_000));
                    clock.advance(by);
                    same.advance(by);
                }
                1 => {
                    let n = 1 + below(3);
                    assert_eq!(one.try_acquire_n(n), two.try_acquire_n(n));
                }
                2 | 3 => {
                    let (all, used) = (1 + below(6), below(7));
                    let Ok(whole) = one.try_reserve(all) else { continue };
                    let unused = two.try_reserve(all.saturating_sub(used)).unwrap();
                    two.try_reserve(all.min(used)).unwrap().spend();
                    held.push((whole, unused, all, used));
                }
                _ if !held.is_empty() => {
                    let (whole, unused, all, used) = held.swap_remove(below(held.len() as u64) as usize);
                    whole.settle(used).unwrap();
                    drop(unused);
                    two.charge(used.saturating_sub(all)).unwrap();
                }
                _ => {}
            }
            assert_eq!(one.time_until_full(), two.time_until_full(), "seed {seed}, step {step}");
        }
    }
}

#[test]
fn settling_charges_a_cost_above_the_estimate() {
    let (limiter, clock) = limiter(10);
    limiter.try_reserve(4).unwrap().settle(6.5).unwrap();
    assert_eq!(limiter.time_until(10), Ok(Duration::from_millis(6_500)));
    let reservation = limiter.try_reserve(3).unwrap();
    assert!(matches!(reservation.settle(u64::MAX), Err(ChargeError::DebtTooDeep { .. })));
    assert!(matches!(limiter.try_reserve(0.5).unwrap().settle(-1), Err(ChargeError::Invalid(_))));
    // Nothing has come back of either.
    assert_eq!(limiter.time_until_full(), SECOND * 10);
    clock.advance(SECOND * 10);
    limiter.try_reserve(4).unwrap().settle(0).unwrap();
    assert_eq!(limiter.available(), 10);
}

#[test]
fn a_reservation_that_cannot_be_had_in_time_is_refused_at_once() {
    let (limiter, clock) = limiter(3);
    let mut cx = Context::from_waker(Waker::noop());
    limiter.try_acquire_n(2).unwrap();
    let Poll::Ready(refused) = pin!(limiter.reserve_within(3, SECOND)).poll(&mut cx) else {
        panic!("due in two seconds")
    };
    assert_eq!(refused.unwrap_err().retry_after(), Some(SECOND));
    assert_eq!(limiter.blocking_reserve_within(3, SECOND).unwrap_err().retry_after(), Some(SECOND));

    let mut waiting = pin!(limiter.reserve_within(3, 2 * SECOND));
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    clock.advance(2 * SECOND);
    let Poll::Ready(Ok(reservation)) = waiting.poll(&mut cx) else { panic!("due") };
    assert_eq!(limiter.available(), 0);
    drop(reservation);
    assert_eq!(limiter.available(), 3);
}

#[test]
fn a_thread_waits_for_a_reservation_and_gives_it_back() {
    let (limiter, clock) = limiter(3);
    drop(limiter.blocking_reserve(2).unwrap());
    assert_eq!(limiter.available(), 3);
    limiter.try_acquire_n(3).unwrap();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| limiter.blocking_reserve(2).unwrap());
        while limiter.waiting() == 0 {
            std::thread::yield_now();
        }
        clock.advance(2 * SECOND);
        let reservation = blocked.join().unwrap();
        assert_eq!(limiter.available(), 0);
        reservation.settle(0.5).unwrap();
        assert_eq!(limiter.available(), 1);
    });
    assert!(limiter.blocking_reserve(4).is_err());
}
