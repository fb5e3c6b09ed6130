//! Waits that are rounded down or too long, and "never" told as "not yet".

use std::time::Duration;

use tidegate::{AcquireError, Denied, ManualClock, Quota, RateLimiter, TokioClock};
use tokio::time::Instant;

use super::support::{Line, Numbers, SECOND, drain, manual};

fn told(outcome: Result<(), Denied>) -> Duration {
    outcome.unwrap_err().retry_after().expect("not yet, rather than never")
}

/// 3 per 1,000 ns: the next after 334 ns, and then it is there. bucket4j says 333, at which the retry fails.
#[test]
fn a_third_of_a_microsecond() {
    let (limiter, clock) = manual(Quota::new(3, Duration::from_nanos(1_000)));
    assert_eq!(drain(&limiter), 3);
    assert_eq!(told(limiter.try_acquire()), Duration::from_nanos(334));
    clock.advance(Duration::from_nanos(333));
    assert_eq!(told(limiter.try_acquire()), Duration::from_nanos(1));
    clock.advance(Duration::from_nanos(1));
    assert!(limiter.try_acquire().is_ok());
}

/// 3/s with a burst of one, asked every 333,333,333 ns, a third of a nanosecond too early each second time:
/// 500 of 1,000. Go rounds the wait down and admits 800.
#[test]
fn a_third_of_a_second() {
    let (limiter, clock) = manual(Quota::per_second(3).with_burst(1));
    let mut admitted = 0;
    for _ in 0..1_000 {
        admitted += u32::from(limiter.try_acquire().is_ok());
        clock.advance(Duration::from_nanos(333_333_333));
    }
    assert_eq!(admitted, 500);
}

/// Three permits at one per 10 s take 30 s. .NET says 20.
#[test]
fn several_at_once_wait_for_all_of_them() {
    let (limiter, clock) = manual(Quota::new(1, Duration::from_secs(10)).with_burst(3));
    assert!(limiter.try_acquire_n(3).is_ok());
    assert_eq!(told(limiter.try_acquire_n(3)), Duration::from_secs(30));
    assert_eq!(limiter.time_until(3), Ok(Duration::from_secs(30)));
    clock.advance(Duration::from_nanos(30 * SECOND - 1));
    assert!(limiter.try_acquire_n(3).is_err());
    clock.advance(Duration::from_nanos(1));
    assert!(limiter.try_acquire_n(3).is_ok());
}

/// A refused caller that comes back when it was told is admitted; a nanosecond earlier it is not. Of many
/// quotas and amounts.
#[test]
fn the_wait_that_is_told_is_enough_and_not_too_much() {
    let mut numbers = Numbers(7);
    let mut tried = 0;
    while tried < 4_000 {
        let period = numbers.up_to_digits(12);
        let permits = numbers.up_to_digits(7);
        let burst = 1 + numbers.below(1_000);
        let quota = Quota::new(permits, Duration::from_nanos(period)).with_burst(burst);
        let clock = ManualClock::new();
        // Some rates are above the limit, which is said.
        let Ok(limiter) = RateLimiter::try_with_clock(quota, clock.clone()) else { continue };
        clock.advance(Duration::from_nanos(numbers.below(SECOND)));
        limiter.try_acquire_n(burst).unwrap();
        for _ in 0..4 {
            let n = 1 + numbers.below(burst);
            let Err(denied) = limiter.try_acquire_n(n) else { continue };
            tried += 1;
            let told = denied.retry_after().expect("it fits the burst");
            assert_eq!(limiter.time_until(n), Ok(told), "{quota}");
            clock.advance(told.saturating_sub(Duration::from_nanos(1)));
            assert!(!limiter.has_capacity(n), "{quota}: {n} are there before {told:?}");
            clock.advance(Duration::from_nanos(1));
            assert!(limiter.try_acquire_n(n).is_ok(), "{quota}: {n} are not there after {told:?}");
        }
    }
}

/// 50 of a burst of 10 are refused for ever, and that is said. throttlecrab says "retry in 40 s", again and
/// again.
#[test]
fn more_than_a_burst_is_never() {
    let (limiter, clock) = manual(Quota::per_second(1).with_burst(10));
    for _ in 0..3 {
        let denied = limiter.try_acquire_n(50).unwrap_err();
        assert!(matches!(denied, Denied::TooMany(_)), "{denied:?}");
        assert_eq!(denied.retry_after(), None);
        assert!(denied.to_string().contains("50") && denied.to_string().contains("10"), "{denied}");
        clock.advance(Duration::from_secs(40));
    }
    let mut line = Line::new(&clock);
    let waiter = limiter.acquire_n_owned(50);
    let (_, ready) = line.join(async { assert!(matches!(waiter.await, Err(AcquireError::TooMany(_)))) });
    assert!(ready, "a waiter for more than a burst waits for ever");
    assert_eq!(limiter.waiting(), 0);
}

/// A call for more than a burst changes nothing. gcra deletes the state of its key: a way past the limit.
#[test]
fn more_than_a_burst_does_not_reset() {
    let (limiter, clock) = manual(Quota::per_second(1).with_burst(10));
    assert_eq!(drain(&limiter), 10);
    for _ in 0..10 {
        assert!(limiter.try_acquire_n(11).unwrap_err().is_never());
        assert!(limiter.try_acquire().is_err());
    }
    clock.advance(Duration::from_secs(2));
    assert!(limiter.try_acquire_n(1_000).is_err());
    assert_eq!(drain(&limiter), 2);
}

/// A caller that would have to wait longer than its longest wait is refused at once, takes nothing, and delays no other
/// caller. resilience4j sleeps for the whole timeout first (1283).
#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_is_refused_at_once() {
    let limiter = RateLimiter::with_clock(Quota::per_second(1).with_burst(10), TokioClock::new());
    limiter.try_acquire_n(10).unwrap();
    let start = Instant::now();
    let most = Duration::from_secs(9);
    assert_eq!(told(limiter.acquire_within(10, most).await), Duration::from_secs(1));
    // The clock stands still, and so would a thread that slept.
    let thread = limiter.clone();
    let refused = std::thread::spawn(move || thread.blocking_acquire_within(10, most)).join().unwrap();
    assert_eq!(told(refused), Duration::from_secs(1));
    assert!(limiter.acquire_within(11, most).await.unwrap_err().is_never());
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    limiter.acquire_within(9, most).await.unwrap();
    assert!((most..=most + Duration::from_millis(1)).contains(&start.elapsed()), "{:?}", start.elapsed());
}
