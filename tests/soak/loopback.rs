//! Rounds of requests over loopback, in real time. Between rounds no client runs, so the test can check books and
//! memory.
//!
//! As in `real_time`, nothing here depends on how fast the machine is: a request counts in windows that contain it
//! whole, from the call of its client to its admission, however late it arrives. A request that waited counts in
//! windows that begin between rounds.

use std::time::{Duration, Instant};

use tidegate::{Clock, Quota, RateLimiter};

use super::{
    clients::{Log, run},
    in_force::{InForce, burst},
    intervals::{self, check},
    memory::Kept,
    meter::credit,
    real_time::{alone, seconds_each},
    report::{Memory, Report},
    round::{Limiter, Plan, Wall, never_full},
    server::{Book, Request},
};

const ROUND: Duration = Duration::from_millis(150);

/// What the heap may have more of in the end than at most in the first half, in bytes. It is for a table that grows
/// with the most threads that there have been at a time, and for the runtime of the last round, which the timer keeps.
const ROOM: i64 = 16 << 10;

/// Runs rounds, and calls `look` after each.
fn rounds(
    test: &str,
    limiter: &Limiter,
    quotas: &[Quota],
    never_full: bool,
    mut look: impl FnMut(&Log, &Book, (u64, u64)),
) {
    let _alone = alone();
    let (kept, lasts) = (Kept::default(), seconds_each());
    let (mut report, mut first, mut requests) = (Report::default(), 0, 0);
    let began = Instant::now();
    while report.rounds < 4 || began.elapsed().as_secs_f64() < lasts {
        let round = report.rounds;
        // In every fourth, the quota stays as it is.
        let quotas = if round % 4 == 0 { &[limiter.quota()] } else { quotas };
        let from = limiter.clock().now();
        kept.count(|| {
            let plan = Plan { seed: 1_000 * round, lasts: ROUND, hungry: round % 16 != 1, never_full };
            let (log, book) = run(limiter, quotas, plan, &kept);
            limiter.clock().stop();
            assert_eq!(limiter.waiting(), 0);
            the_server_agrees(&log, &book);
            look(&log, &book, (from, limiter.clock().now()));
            limiter.clock().go_on();
            report.rounds += 1;
            report.admitted += (book.served.len() + log.lost.len()) as u64;
            report.cancelled += log.cancelled;
            report.changes += log.changes.len() as u64;
            requests += book.served.len() as u64;
        });
        if round == 1 || began.elapsed().as_secs_f64() < lasts / 2.0 {
            first = first.max(kept.bytes());
        }
    }
    let last = kept.bytes();
    report.requests = Some(requests);
    report.memory = Some(Memory { what: "heap", first, last });
    report.print(test, lasts, "real");
    assert!(last - first <= ROOM, "{first} bytes at most in the first half, {last} in the end");
}

/// Every permit that was granted came with a request, or its client has hung up before.
fn the_server_agrees(log: &Log, book: &Book) {
    let permits = |of: &[Request]| of.iter().map(|request| request.permits).sum::<u64>();
    assert_eq!(log.granted, permits(&book.served) + permits(&log.lost));
    assert_eq!((log.sent, log.cut), (book.served.len() as u64, book.cut));
    assert_eq!(log.connections, book.connections);
}

/// All that was admitted, whether or not it has come to the server.
fn requests<'a>(log: &'a Log, book: &'a Book) -> impl Iterator<Item = &'a Request> {
    book.served.iter().chain(&log.lost)
}

/// As calls, which have begun when they say, unless another time is given.
fn calls<'a>(requests: impl Iterator<Item = &'a Request>, from: Option<u64>) -> Vec<intervals::Call> {
    let calls = requests.map(|&Request { began, granted, permits, .. }| intervals::Call {
        began: from.unwrap_or(began),
        over: granted,
        billionths: i128::from(permits) * 1_000_000_000,
    });
    calls.collect()
}

/// What windows have seen that begin in any round.
#[derive(Default)]
struct Windows {
    used: i128,
    /// When the last round ended.
    until: u64,
}

impl Windows {
    /// Fails if a window that begins in this round sees more than `limit` and what its quotas bring, or one that began
    /// in an earlier round more than `ever`. What the quotas have brought since the last round is in `in_force`.
    fn look(
        &mut self,
        mut calls: Vec<intervals::Call>,
        (from, to): (u64, u64),
        in_force: &InForce,
        (limit, ever): (i128, i128),
    ) {
        let earned = |ns| in_force.earned(ns);
        check(&mut calls, (from, to), 0, earned, limit);
        self.used = (self.used - earned(from)).max(0);
        self.used = check(&mut calls, (from, to), self.used, earned, ever);
        self.until = to;
    }
}

#[test]
fn the_server_sees_no_more_than_the_quotas_in_force_allow() {
    let quota = |n: u64, burst: u64, ms: u64| {
        Quota::per_second(n).with_burst(burst).with_catch_up(Duration::from_millis(ms))
    };
    let quotas = [quota(1_000, 150, 0), quota(2_000, 10, 10), quota(500, 60, 2), quota(2_000, 100, 5)];
    let limiter = RateLimiter::with_clock(quotas[0], Wall::new());
    let mut first = quotas[0];
    let most = |of: &dyn Fn(&Quota) -> i128| quotas.iter().map(of).max().unwrap();
    let ever = (most(&burst), most(&credit));
    let [mut tries, mut all] = [Windows::default(), Windows::default()];
    rounds(
        "the_server_sees_no_more_than_the_quotas_in_force_allow",
        &limiter,
        &quotas,
        false,
        |log, book, (from, to)| {
            let in_force = InForce::new(all.until, &first, &log.changes);
            first = log.changes.last().map_or(first, |change| change.quota);
            // A call that has not waited may not use the catch-up.
            let tried = requests(log, book).filter(|request| !request.waited);
            tries.look(calls(tried, None), (from, to), &in_force, (in_force.burst, ever.0));
            let limits = (in_force.burst + in_force.credit, ever.0 + ever.1);
            all.look(calls(requests(log, book), Some(from)), (from, to), &in_force, limits);
        },
    );
}

#[test]
fn the_books_balance_over_loopback() {
    let (quotas, limiter, start) = never_full(2_000);
    let (mut taken, mut charged) = (0, 0);
    rounds("the_books_balance_over_loopback", &limiter, &quotas, true, |log, book, (_, to)| {
        taken += requests(log, book).map(|request| request.permits).sum::<u64>();
        charged += log.charged;
        let earned = i128::from((to - start) / 500_000);
        let left = earned - i128::from(taken) - i128::from(charged);
        assert_eq!(i128::from(limiter.available()), left, "{taken} taken");
    });
}
