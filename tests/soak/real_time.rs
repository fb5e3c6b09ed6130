//! Rounds in real time. Between rounds no caller runs, so the test can check books and memory.
//!
//! Nothing here depends on how fast the machine is: a call counts only in windows that it lies in as a whole.
//! What a waiter is granted may be decided by a reading of the clock that another thread made before that waiter
//! came, so calls that wait count in windows that begin between rounds.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tidegate::{Clock, Quota, RateLimiter};

use super::{
    super::seconds,
    in_force::burst,
    intervals::{Call, check},
    memory::{keep_silent, resident},
    meter::{credit, rate},
    report::{Memory, Report},
    round::{Limiter, Log, Plan, Wall, never_full, run},
};

const ROUND: Duration = Duration::from_millis(150);

/// What the process may have more of in the end than at most in the first half, in bytes: stacks of threads, and what
/// the allocator keeps.
const ROOM: i64 = 4 << 20;

/// For so long each test in real time goes on. They are two over loopback and two in process, one after the other.
pub(crate) fn seconds_each() -> f64 {
    seconds("TIDEGATE_SOAK_REAL_SECONDS", 1.0) / 2.0
}

/// No other test in real time is at work, which would have memory of its own.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    keep_silent();
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs rounds, and calls `look` after each.
fn rounds(
    test: &str,
    limiter: &Limiter,
    quotas: &[Quota],
    never_full: bool,
    mut look: impl FnMut(&mut Log, (u64, u64)),
) {
    let _alone = alone();
    let (lasts, began) = (seconds_each(), Instant::now());
    let (mut report, mut first) = (Report::default(), None);
    while report.rounds < 3 || began.elapsed().as_secs_f64() < lasts {
        let round = report.rounds;
        let from = limiter.clock().now();
        let plan = Plan { seed: 1_000 * round, lasts: ROUND, hungry: round % 2 == 0, never_full };
        let mut log = run(limiter, quotas, plan);
        limiter.clock().stop();
        assert_eq!(limiter.waiting(), 0);
        look(&mut log, (from, limiter.clock().now()));
        limiter.clock().go_on();
        report.rounds += 1;
        report.admitted += (log.tries.len() + log.waits.len()) as u64;
        report.cancelled += log.cancelled;
        report.changes += log.changes;
        drop(log);
        if round == 1 || began.elapsed().as_secs_f64() < lasts / 2.0 {
            first = first.max(resident());
        }
    }
    let memory = first.zip(resident());
    report.memory = memory.map(|(first, last)| Memory { what: "process", first, last });
    report.print(test, lasts, "real");
    if let Some((first, last)) = memory {
        assert!(last - first <= ROOM, "{first} bytes at most in the first half, {last} in the end");
    }
}

#[test]
fn no_window_sees_more_than_the_larger_quota_allows() {
    let quota = |n: u64, burst: u64, ms: u64| {
        Quota::per_second(n).with_burst(burst).with_catch_up(Duration::from_millis(ms))
    };
    // Half of them have the full rate, so that little more than the bound fails.
    let quotas = [quota(10_000, 10, 10), quota(10_000, 100, 0), quota(2_000, 50, 2), quota(5_000, 400, 5)];
    let limiter = RateLimiter::with_clock(quotas[0], Wall::new());
    // The most of each: so much any of the quotas allows, and the windows that see several.
    let most = |of: &dyn Fn(&Quota) -> i128| quotas.iter().map(of).max().unwrap();
    let rate = most(&rate);
    let earned = |ns: u64| rate * i128::from(ns);
    let burst = most(&burst);
    let credit = most(&credit);
    let (mut tried, mut all) = (0, 0);
    rounds(
        "no_window_sees_more_than_the_larger_quota_allows",
        &limiter,
        &quotas,
        false,
        |log, (from, to)| {
            tried = check(&mut log.tries, (from, to), tried, earned, burst);
            let calls = log.waits.iter().chain(&log.tries);
            let mut calls: Vec<_> = calls.map(|call| Call { began: from, ..*call }).collect();
            all = check(&mut calls, (from, to), all, earned, burst + credit);
        },
    );
}

#[test]
fn the_books_balance_in_real_time() {
    let (quotas, limiter, start) = never_full(20_000);
    let (mut taken, mut charged) = (0, 0);
    rounds("the_books_balance_in_real_time", &limiter, &quotas, true, |log, (_, to)| {
        taken += log.tries.iter().chain(&log.waits).map(|call| call.billionths).sum::<i128>() / 1_000_000_000;
        charged += i128::from(log.charged);
        let earned = i128::from((to - start) / 50_000);
        assert_eq!(i128::from(limiter.available()), earned - taken - charged, "{taken} taken");
    });
}
