//! The queue: waiters that leave, by a timeout or otherwise.

use std::time::Duration;

use tidegate::{Clock, Quota, RateLimiter, TokioClock};
use tokio::time::{Instant, sleep, timeout};

use super::support::{Line, MILLI, Numbers, SECOND, drain, manual};

/// A waiter that is dropped has taken nothing. async-speed-limit does not refund it.
#[test]
fn a_dropped_waiter_takes_nothing() {
    let (limiter, clock) = manual(Quota::per_second(10).with_burst(10));
    assert_eq!(drain(&limiter), 10);
    let mut line = Line::new(&clock);
    for _ in 0..1_000 {
        let waiter = limiter.acquire_n_owned(10);
        let id = line.wait(async { waiter.await.unwrap() });
        line.leave(id);
    }
    clock.advance(Duration::from_millis(300));
    assert_eq!(limiter.available(), 3);
    clock.advance(Duration::from_secs(10));
    assert_eq!(drain(&limiter), 10);
}

/// Waiters that leave free their places: the next waiter is granted when it would have been without them. In .NET
/// cancelled waiters kept their places (64078).
#[test]
fn those_who_left_keep_no_place() {
    let (limiter, clock) = manual(Quota::per_second(10).with_burst(5).with_initial(0));
    let mut line = Line::new(&clock);
    let mut left: Vec<usize> = (0..50).map(|_| line.wait(limiter.acquire_owned())).collect();
    let waiter = limiter.acquire_n_owned(2);
    let stays = line.wait(async { waiter.await.unwrap() });
    left.extend((0..50).map(|_| line.wait(limiter.acquire_owned())));
    assert_eq!(limiter.waiting(), 101);
    for id in left {
        line.leave(id);
    }
    assert_eq!(limiter.waiting(), 1);
    assert_eq!(limiter.time_until(1), Ok(Duration::from_millis(300)));
    clock.advance(Duration::from_secs(1));
    assert_eq!(line.granted(), [(stays, 2 * SECOND / 10)]);
    assert_eq!(limiter.available(), 5);
}

/// If the head leaves, the waiters that are due by then are granted at once, not at the time of the old head.
#[test]
fn when_the_head_leaves_the_next_is_looked_at() {
    let (limiter, clock) = manual(Quota::per_second(10).with_burst(5).with_initial(0));
    let mut line = Line::new(&clock);
    let waiter = limiter.acquire_n_owned(5);
    let head = line.wait(async { waiter.await.unwrap() });
    let next = line.wait(limiter.acquire_owned());
    let third = line.wait(limiter.acquire_owned());
    clock.advance(Duration::from_millis(150));
    line.leave(head);
    assert_eq!(line.granted(), [(next, 150 * MILLI)]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(line.granted(), [(third, 200 * MILLI)]);
}

/// A waiter that was granted but has not looked yet, and is dropped: its permit goes back, or on to the
/// next at that moment, a thousand times over. Netflix's concurrency-limits (179) loses it.
#[test]
fn a_grant_that_nobody_collects_is_not_lost() {
    let (limiter, clock) = manual(Quota::per_second(1_000).with_burst(1).with_initial(0));
    let mut line = Line::new(&clock);
    for _ in 0..1_000 {
        let first = line.wait(limiter.acquire_owned());
        clock.advance(Duration::from_millis(1));
        assert_eq!(line.woken(), [(first, clock.now())]);
        assert_eq!(limiter.available(), 0);
        line.leave(first);
        assert_eq!(limiter.available(), 1);
        assert!(limiter.try_acquire().is_ok());
    }
    for _ in 0..1_000 {
        let first = line.wait(limiter.acquire_owned());
        let second = line.wait(limiter.acquire_owned());
        clock.advance(Duration::from_millis(1));
        assert_eq!(line.woken(), [(first, clock.now())]);
        line.leave(first);
        assert_eq!(line.granted(), [(second, clock.now())]);
        assert!(limiter.try_acquire().is_err());
    }
}

/// A timeout at exactly the moment of the grant: whichever wins, no permit is lost and none is made.
#[tokio::test(start_paused = true)]
async fn a_timeout_that_races_a_grant() {
    let period = Duration::from_millis(10);
    for timer_first in [false, true] {
        let limiter =
            RateLimiter::with_clock(Quota::new(1, period).with_burst(5).with_initial(0), TokioClock::new());
        let start = Instant::now();
        let (mut granted, mut gave_up) = (0, 0);
        for _ in 0..1_000 {
            let elapsed = start.elapsed().as_nanos();
            let next = Duration::from_nanos((period.as_nanos() - elapsed % period.as_nanos()) as u64);
            let got = if timer_first {
                tokio::select! {
                    biased;
                    () = sleep(next) => false,
                    () = limiter.acquire() => true,
                }
            } else {
                timeout(next, limiter.acquire()).await.is_ok()
            };
            *(if got { &mut granted } else { &mut gave_up }) += 1;
        }
        let earned = (start.elapsed().as_nanos() / period.as_nanos()) as i64;
        assert_eq!(granted + limiter.available(), earned, "timer first: {timer_first}, {gave_up} gave up");
        assert!(granted > 300, "{granted} granted");
        assert!(earned > 300, "{earned} earned: nobody had to wait");
    }
}

/// The same with many tasks: what one gives up the next one gets.
#[tokio::test(start_paused = true)]
async fn many_timeouts_that_race_grants() {
    let period = Duration::from_millis(10);
    let limiter =
        RateLimiter::with_clock(Quota::new(1, period).with_burst(5).with_initial(0), TokioClock::new());
    let start = Instant::now();
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let limiter = limiter.clone();
            tokio::spawn(async move {
                let mut granted = 0;
                for round in 0..200 {
                    let patience = period * (1 + (task + round) % 9) as u32;
                    granted += i64::from(timeout(patience, limiter.acquire()).await.is_ok());
                }
                granted
            })
        })
        .collect();
    // A waiter that never leaves keeps the queue from running empty, and the bucket from overflowing.
    let patient = {
        let limiter = limiter.clone();
        async move {
            let mut granted = 0;
            loop {
                limiter.acquire().await;
                granted += 1;
                if limiter.waiting() == 0 {
                    return granted;
                }
            }
        }
    };
    let mut granted: i64 = patient.await;
    for task in tasks {
        granted += task.await.expect("a task");
    }
    let earned = (start.elapsed().as_nanos() / period.as_nanos()) as i64;
    let books = granted + limiter.available();
    assert!(books <= earned, "{granted} granted, {earned} earned");
    assert!(books >= earned - 1, "{granted} granted, {earned} earned: permits were lost");
}

/// While there are waiters, the books balance to the last permit, however callers come and leave. Go restores too few
/// permits when a caller cancels. A limiter that subtracts the cost of a cancelled reservation restores too many.
#[test]
fn the_books_balance() {
    for round in 0..100 {
        // Never so little to wait for that the queue could run empty.
        let (granted, left, earned) = come_and_go(Numbers(round), Duration::from_millis(40));
        assert_eq!(granted + left, earned, "round {round}: {granted} granted");
        assert!(granted > 300, "round {round}: {granted} granted");
    }
}

/// Nor is anything made where the queue runs empty at times, and a permit that was not collected may have
/// to be dropped.
#[test]
fn nothing_is_made_of_nothing() {
    for round in 0..200 {
        let (granted, left, earned) = come_and_go(Numbers(1_000 + round), Duration::ZERO);
        assert!(granted + left <= earned, "round {round}: {granted} granted, {left} left, {earned} earned");
    }
}

/// Waiters for 1 to 20 come, leave, are granted, look at once or later. How many permits they got, how many
/// are left, and how many there were.
fn come_and_go(mut numbers: Numbers, backlog: Duration) -> (u64, u64, u64) {
    let (limiter, clock) = manual(Quota::per_second(1_000).with_burst(1_000).with_initial(0));
    let mut line = Line::new(&clock);
    let mut waiting: Vec<(usize, u64)> = Vec::new();
    let mut granted = 0;
    for _ in 0..400 {
        while limiter.time_until(1).expect("one fits") < backlog || numbers.below(3) == 0 {
            let n = 1 + numbers.below(20);
            let waiter = limiter.acquire_n_owned(n);
            let (id, ready) = line.join(async { waiter.await.unwrap() });
            if ready {
                granted += n;
            } else {
                waiting.push((id, n));
            }
        }
        if numbers.below(2) == 0 && !waiting.is_empty() {
            // It may have been granted, and leave before it looks.
            let (id, _) = waiting.swap_remove(numbers.below(waiting.len() as u64) as usize);
            line.leave(id);
        }
        clock.advance(Duration::from_micros(numbers.below(8_000)));
        for (id, _) in line.woken() {
            let place = waiting.iter().position(|(waiter, _)| *waiter == id);
            // Half of the woken waiters are polled at once.
            if let Some(place) = place.filter(|_| numbers.below(2) == 0) {
                assert!(line.poll(id));
                granted += waiting.swap_remove(place).1;
            }
        }
    }
    // All granted waiters are polled. The rest leave, the last first.
    while let Some((id, n)) = waiting.pop() {
        if line.poll(id) {
            granted += n;
        } else {
            line.leave(id);
        }
    }
    assert_eq!(limiter.waiting(), 0);
    (granted, limiter.available() as u64, clock.now() / MILLI)
}
