//! A client of an LLM API with 300 requests and 60,000 tokens a minute. What a call costs is known only after it: each
//! reserves an estimate and settles it. Virtual time, so that it ends at once.
//!
//! `cargo run --example llm_client`

use std::{cell::Cell, time::Duration};

use futures_util::future::join_all;
use tidegate::{AllOf, Quota, RateLimiter, TokioClock};
use tokio::time::{Instant, sleep};

const MINUTES: u64 = 10;
const WORKERS: u64 = 40;
const TOKENS: u64 = 60_000;

/// A call takes five seconds. For unused tokens to return, the burst has to hold what comes in during a call: 5,000. It
/// also has to hold the largest estimate.
const BURST: u64 = 10_000;
const ESTIMATE: u64 = 1_500;

/// Pretends to call the model: 700 to 1,699 tokens.
async fn complete(prompt: u64) -> u64 {
    sleep(Duration::from_secs(5)).await;
    700 + prompt * 7_919 % 1_000
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let quota = |permits, burst| Quota::per_minute(permits).with_burst(burst).with_initial(0);
    let requests = RateLimiter::with_clock(quota(300, 10), TokioClock::new());
    let tokens = RateLimiter::with_clock(quota(TOKENS, BURST), TokioClock::new());
    let end = Instant::now() + Duration::from_secs(60 * MINUTES);
    let call = |n: u64| AllOf::new().and_named("requests", &requests, 1).and_named("tokens", &tokens, n);
    let (calls, used) = (Cell::new(0), Cell::new(0));

    let worker = async |number: u64| {
        for prompt in number * 1_000.. {
            // Both or none. What is left at the end goes back when the reservation is dropped.
            let reservation = call(ESTIMATE).reserve().await.expect("an estimate within the burst");
            if Instant::now() > end {
                break;
            }
            let cost = complete(prompt).await;
            // Tokens that were not used go back. What was used beyond the estimate is charged.
            reservation.settle(&call(cost)).expect("a debt that the limiter can hold");
            calls.set(calls.get() + 1);
            used.set(used.get() + cost);
        }
    };
    join_all((0..WORKERS).map(worker)).await;

    let share = 100.0 * used.get() as f64 / (TOKENS * MINUTES) as f64;
    println!("{} calls, {} tokens in {MINUTES} minutes: {share:.1} % of the limit", calls.get(), used.get());
    // The burst is on top of what the minutes bring.
    assert!(share >= 95.0 && used.get() <= TOKENS * MINUTES + BURST);
}
