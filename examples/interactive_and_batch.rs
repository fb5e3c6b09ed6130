//! A client of an LLM API with 600 requests and 120,000 tokens a minute. A batch job takes all that it can get. People wait for
//! interactive calls: first behind the batch in one lane, then with the batch in the background lane. Virtual time, so that
//! it ends at once.
//!
//! `cargo run --example interactive_and_batch`

use std::{cell::RefCell, time::Duration};

use futures_util::{FutureExt, future::join_all, select_biased};
use tidegate::{AllOf, Lane, Quota, RateLimiter, TokioClock};
use tokio::time::{Instant, sleep};

const MINUTES: u64 = 10;
const WORKERS: u64 = 8;
const TOKENS: u64 = 120_000;
/// The burst has to hold the largest call.
const BURST: u64 = 4_000;

/// The waits of the interactive calls, and the tokens of both.
#[derive(Default)]
struct Seen {
    waits: Vec<Duration>,
    interactive: u64,
    batch: u64,
}

async fn run(batch_lane: Lane) -> Seen {
    let quota = |permits, burst| Quota::per_minute(permits).with_burst(burst).with_initial(0);
    let requests = RateLimiter::with_clock(quota(600, 10), TokioClock::new());
    let tokens = RateLimiter::with_clock(quota(TOKENS, BURST), TokioClock::new());
    let seen = RefCell::new(Seen::default());

    // 2,000 to 3,999 tokens a call.
    let worker = async |number: u64| {
        let (requests, tokens) = (requests.lane(batch_lane), tokens.lane(batch_lane));
        for call in number * 1_000.. {
            let size = 2_000 + call * 7_919 % 2_000;
            AllOf::new().and(&requests, 1).and(&tokens, size).acquire().await.expect("within the burst");
            seen.borrow_mut().batch += size;
        }
    };
    // A call of 100 to 399 tokens every 700 ms or so.
    let people = async {
        for call in 0_u64.. {
            sleep(Duration::from_millis(400 + call * 6_271 % 600)).await;
            let (start, size) = (Instant::now(), 100 + call * 4_801 % 300);
            AllOf::new().and(&requests, 1).and(&tokens, size).acquire().await.expect("within the burst");
            let mut seen = seen.borrow_mut();
            seen.waits.push(start.elapsed());
            seen.interactive += size;
        }
    };
    select_biased! {
        _ = join_all((0..WORKERS).map(worker)).fuse() => unreachable!("they work on"),
        () = people.fuse() => unreachable!("they call on"),
        () = sleep(Duration::from_secs(60 * MINUTES)).fuse() => {}
    }
    seen.into_inner()
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let mut medians = Vec::new();
    for lane in [Lane::Normal, Lane::Background] {
        let Seen { mut waits, interactive, batch } = run(lane).await;
        waits.sort();
        let at = |percent: usize| waits[waits.len() * percent / 100];
        let used = 100.0 * (interactive + batch) as f64 / (TOKENS * MINUTES) as f64;
        println!(
            "batch in the {lane:?} lane: {} interactive calls waited {:?} (median), {:?} (95 %); \
             batch {batch} tokens; {used:.1} % of the limit used",
            waits.len(),
            at(50),
            at(95),
        );
        assert!(used >= 97.0, "it should not cost throughput");
        medians.push(at(50));
    }
    assert!(medians[0] > Duration::from_secs(1) && medians[1] < Duration::from_millis(50), "{medians:?}");
}
