//! What a call costs more at a limiter that is watched, as a table of nanoseconds a call.
//!
//! A round of each kind is run in turn, and the medians of all rounds are shown. `cargo bench --features stats --bench watching`.

#[path = "support/tables.rs"]
mod tables;

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Waker},
    thread,
    time::Instant,
};

use tables::{median, processor};
use tidegate::{Event, Listener, Quota, RateLimiter};

/// A listener that does nothing with what it is told.
struct Deaf;

impl Listener for Deaf {
    fn on_event(&self, limiter: &str, event: &Event) {
        black_box((limiter, event));
    }
}

type Call = fn(&RateLimiter) -> bool;
type Watch = fn(RateLimiter) -> RateLimiter;

const WATCHES: [(&str, Watch); 3] = [
    ("not watched", |limiter| limiter),
    ("watched", |limiter| limiter.watched("bench")),
    ("watched by a listener", |limiter| limiter.watched_by("bench", Deaf)),
];

/// What each call is, and how many threads make it.
const CALLS: [(&str, usize, Quota, Call); 4] = [
    ("`try_acquire`, admitted", 1, Quota::per_second(1_000_000_000), |limiter| limiter.try_acquire().is_ok()),
    ("`try_acquire`, refused", 1, Quota::per_hour(1).with_initial(0), |limiter| {
        black_box(limiter.try_acquire()).is_err()
    }),
    ("`acquire`, admitted at once", 1, Quota::per_second(1_000_000_000), |limiter| {
        pin!(limiter.acquire()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }),
    ("`try_acquire`, refused, 2 threads", 2, Quota::per_hour(1).with_initial(0), |limiter| {
        black_box(limiter.try_acquire()).is_err()
    }),
];

/// Nanoseconds a call, in each thread.
fn time(limiter: &RateLimiter, threads: usize, calls: u32, call: Call) -> f64 {
    let run = || {
        let start = Instant::now();
        for _ in 0..calls {
            assert!(call(black_box(limiter)));
        }
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        let sum: f64 = others.into_iter().map(|thread| thread.join().expect("no call fails")).sum();
        (own + sum) / threads as f64
    })
}

fn main() {
    // `cargo test --benches` only looks whether it runs.
    let (rounds, calls) =
        if std::env::args().any(|arg| arg == "--bench") { (41, 500_000) } else { (1, 1_000) };
    println!("{}; medians of {rounds} rounds of {calls} calls\n", processor());
    println!("| call | {} |", WATCHES.map(|(name, _)| name).join(" | "));
    println!("|---|{}", "---|".repeat(WATCHES.len()));
    for (name, threads, quota, call) in CALLS {
        let limiters = WATCHES.map(|(_, watch)| watch(RateLimiter::new(quota)));
        let mut times = WATCHES.map(|_| Vec::new());
        for _ in 0..rounds {
            for (limiter, times) in limiters.iter().zip(&mut times) {
                times.push(time(limiter, threads, calls, call));
            }
        }
        let medians = times.map(median);
        let cells = medians.map(|ns| format!("{ns:.1} ns ({:+.1})", ns - medians[0]));
        println!("| {name} | {} |", cells.join(" | "));
    }
}
