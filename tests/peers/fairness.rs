//! The queue: large requests, and newcomers.

use std::time::Duration;

use tidegate::{Clock, Quota, RateLimiter, TokioClock};
use tokio::time::Instant;

use super::support::{LateClock, Line, MILLI, SECOND, drain, manual};

fn n(limiter: &RateLimiter<impl Clock>, n: u64) -> impl Future<Output = ()> + 'static {
    let waiter = limiter.acquire_n_owned(n);
    async { waiter.await.expect("it fits the burst") }
}

/// At 100/s a waiter for 10 beside 50 loops of one is served in its turn: after the 50 that came before it
/// at the most. governor's `until_n_ready(10)` is not served in 5 s.
#[tokio::test(start_paused = true)]
async fn ten_beside_fifty_loops_of_one() {
    let limiter = RateLimiter::with_clock(Quota::per_second(100).with_burst(10), TokioClock::new());
    let loops: Vec<_> = (0..50)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move {
                loop {
                    limiter.acquire().await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..5 {
        let start = Instant::now();
        limiter.acquire_n(10).await.unwrap();
        let waited = start.elapsed();
        // 50 and its own 10 at 100/s, and a millisecond of tokio's timer.
        assert!(waited <= Duration::from_millis(601), "{waited:?}");
        assert!(waited >= Duration::from_millis(100), "{waited:?}: the limiter is not busy");
    }
    for task in loops {
        task.abort();
    }
}

/// A waiter for a whole burst comes before 50 for one that came later. aiolimiter starves it for 50 s.
#[test]
fn a_large_waiter_is_not_starved() {
    let (limiter, clock) = manual(Quota::per_second(1).with_burst(10));
    assert_eq!(drain(&limiter), 10);
    let mut line = Line::new(&clock);
    let large = line.wait(n(&limiter, 10));
    for _ in 0..50 {
        line.wait(limiter.acquire_owned());
    }
    clock.advance(Duration::from_secs(60));
    let granted = line.granted();
    assert_eq!(granted[0], (large, 10 * SECOND));
    let rest: Vec<_> = (1..=50).map(|id| (id, (10 + id as u64) * SECOND)).collect();
    assert_eq!(granted[1..], rest);
}

/// One that comes after three waits for the three, though one permit is there. In aiolimiter it overtakes.
#[test]
fn a_later_one_does_not_overtake_an_earlier_three() {
    let (limiter, clock) = manual(Quota::per_second(1).with_burst(3));
    assert_eq!(drain(&limiter), 3);
    let mut line = Line::new(&clock);
    let three = line.wait(n(&limiter, 3));
    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.available(), 1);
    let one = line.wait(limiter.acquire_owned());
    let denied = limiter.try_acquire().unwrap_err();
    // Behind three and one: five permits from the start.
    assert_eq!(denied.retry_after(), Some(Duration::from_secs(4)));
    assert_eq!(limiter.try_acquire_up_to(1), 0);
    assert!(!limiter.has_capacity(1));
    assert_eq!(limiter.available(), 1);
    clock.advance(Duration::from_secs(10));
    assert_eq!(line.granted(), [(three, 3 * SECOND), (one, 4 * SECOND)]);
}

/// A caller that comes in the tick in which a waiter is due, before the timer has rung, does not delay the waiter: the
/// waiter is granted in that tick. In aiolimiter it waits another period.
#[test]
fn a_caller_in_the_due_tick_does_not_push_the_waiter_back() {
    let clock = LateClock::default();
    let limiter = RateLimiter::with_clock(Quota::per_second(1).with_burst(1).with_initial(0), clock.clone());
    let mut line = Line::new(&clock);
    let waiter = line.wait(limiter.acquire_owned());
    assert_eq!(clock.deadline(), Some(SECOND));
    clock.advance(SECOND);
    // The alarm has not rung yet.
    assert!(limiter.try_acquire().is_err(), "a newcomer took the waiter's permit");
    assert_eq!(limiter.try_acquire_up_to(1), 0, "a newcomer took the waiter's permit");
    let newcomer = line.wait(limiter.acquire_owned());
    clock.ring();
    assert_eq!(line.granted(), [(waiter, SECOND)]);
    clock.advance(SECOND);
    clock.ring();
    assert_eq!(line.granted(), [(newcomer, 2 * SECOND)]);
}

/// The same where the newcomer finds the alarm late: it may bring the hand-off about, but not take part
/// before its turn.
#[test]
fn a_newcomer_under_a_late_timer_waits_its_turn() {
    let clock = LateClock::default();
    let limiter =
        RateLimiter::with_clock(Quota::per_second(1_000).with_burst(2).with_initial(0), clock.clone());
    let mut line = Line::new(&clock);
    let first = line.wait(limiter.acquire_owned());
    let second = line.wait(n(&limiter, 2));
    // Both waiters are due at 3 ms. The clock shows 3.5 ms, and no waiter was woken.
    clock.advance(7 * MILLI / 2);
    assert!(limiter.try_acquire().is_err());
    let (third, ready) = line.join(limiter.acquire_owned());
    assert!(!ready, "it went before its turn");
    clock.ring();
    let granted: Vec<_> = line.granted().into_iter().map(|(id, _)| id).collect();
    assert_eq!(granted, [first, second]);
    clock.advance(MILLI / 2);
    clock.ring();
    assert_eq!(line.granted(), [(third, 4 * MILLI)]);
}

/// Waiters for all sizes are served in the order they came, each when the sum up to it is there.
#[test]
fn all_sizes_in_order() {
    let (limiter, clock) = manual(Quota::per_second(1_000).with_burst(7).with_initial(0));
    let mut line = Line::new(&clock);
    let sizes = [3, 1, 7, 2, 2, 5, 1, 1, 6, 7, 4];
    let (mut sum, mut expected) = (0, Vec::new());
    for size in sizes {
        let id = line.wait(n(&limiter, size));
        sum += size;
        expected.push((id, sum * MILLI));
    }
    assert_eq!(limiter.time_until(1), Ok(Duration::from_millis(sum + 1)));
    clock.advance(Duration::from_millis(sum));
    assert_eq!(line.granted(), expected);
    assert_eq!(limiter.available(), 0);
}

/// Permits that are given back go to the head of the queue, at once, and on to the next.
#[test]
fn refunds_go_to_those_who_wait() {
    let (limiter, clock) = manual(Quota::per_hour(1).with_burst(5));
    assert_eq!(drain(&limiter), 5);
    let mut line = Line::new(&clock);
    let two = line.wait(n(&limiter, 2));
    let one = line.wait(limiter.acquire_owned());
    limiter.refund(1).unwrap();
    assert_eq!(line.granted(), []);
    limiter.refund(3).unwrap();
    assert_eq!(line.granted(), [(two, 0), (one, 0)]);
    assert_eq!(limiter.available(), 1);
}
