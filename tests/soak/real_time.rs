//! Rounds in real time. Between them nobody is at work, so books and memory can be looked at.
//!
//! Nothing here depends on how fast the machine is: a call counts only in windows that it lies in as a whole.
//! What a waiter is granted may be decided by a reading of the clock that another thread made before that waiter
//! came, so calls that wait count in windows that begin between rounds.

use std::time::{Duration, Instant};

use tidegate::{Clock, Quota, RateLimiter};

use super::{
    super::seconds,
    intervals::{Call, check},
    meter::{billionths, credit, rate},
    round::{Limiter, Log, Plan, Wall, run},
};

const ROUND: Duration = Duration::from_millis(150);

/// Memory may vary by so much from round to round: stacks and what the allocator keeps.
const ROOM: u64 = 64 << 20;

/// The memory in use by the process, if that can be told.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Runs rounds, and calls `look` after each.
fn rounds(limiter: &Limiter, quotas: &[Quota], never_full: bool, mut look: impl FnMut(Log, (u64, u64))) {
    let lasts = Duration::from_secs_f64(seconds("TIDEGATE_SOAK_REAL_SECONDS", 1.0));
    let began = Instant::now();
    let mut warm = None;
    let mut round = 0;
    while round < 3 || began.elapsed() < lasts {
        let from = limiter.clock().now();
        let log = run(
            limiter,
            quotas,
            Plan { seed: 1_000 * round, lasts: ROUND, hungry: round % 2 == 0, never_full },
        );
        limiter.clock().stop();
        assert_eq!(limiter.waiting(), 0);
        look(log, (from, limiter.clock().now()));
        limiter.clock().go_on();
        round += 1;
        if round == 2 {
            warm = memory();
        }
    }
    if let (Some(warm), Some(now)) = (warm, memory()) {
        assert!(now < warm + ROOM, "{warm} bytes after two rounds, {now} after {round}");
    }
}

#[test]
fn no_window_sees_more_than_the_larger_quota_allows() {
    let quota =
        |n: u64, burst: u64, ms: u64| Quota::per_second(n).burst(burst).catch_up(Duration::from_millis(ms));
    // Half of them have the full rate, so that little more than the bound fails.
    let quotas = [quota(10_000, 10, 10), quota(10_000, 100, 0), quota(2_000, 50, 2), quota(5_000, 400, 5)];
    let limiter = RateLimiter::with_clock(quotas[0], Wall::new());
    // The most of each: so much any of the quotas allows, and the windows that see several.
    let most = |of: &dyn Fn(&Quota) -> i128| quotas.iter().map(of).max().unwrap();
    let rate = most(&rate);
    let burst = most(&|quota| billionths(quota.max_burst() * 1_000_000));
    let credit = most(&credit);
    let (mut tried, mut all) = (0, 0);
    rounds(&limiter, &quotas, false, |mut log, (from, to)| {
        tried = check(&mut log.tries, (from, to), tried, (rate, burst));
        let calls = log.waits.iter().chain(&log.tries);
        let mut calls: Vec<_> = calls.map(|call| Call { began: from, ..*call }).collect();
        all = check(&mut calls, (from, to), all, (rate, burst + credit));
    });
}

#[test]
fn the_books_balance_in_real_time() {
    // Never full, and always the same rate.
    let quotas = [40_u32, 41, 42].map(|bits| {
        let catch_up = Duration::from_millis(u64::from(bits) - 40);
        Quota::per_second(20_000).burst(1 << bits).initial(0).catch_up(catch_up)
    });
    let wall = Wall::new();
    wall.stop();
    let start = wall.now();
    let limiter = RateLimiter::with_clock(quotas[0], wall.clone());
    wall.go_on();
    let (mut taken, mut charged) = (0, 0);
    rounds(&limiter, &quotas, true, |log, (_, to)| {
        taken += log.tries.iter().chain(&log.waits).map(|call| call.billionths).sum::<i128>() / 1_000_000_000;
        charged += i128::from(log.charged);
        let earned = i128::from((to - start) / 50_000);
        assert_eq!(i128::from(limiter.available()), earned - taken - charged, "{taken} taken");
    });
}
