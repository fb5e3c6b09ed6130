//! A client of an API that answers 429 with `Retry-After`: at most 20 calls in any second, at most 8 at once, and a
//! pause for all when the server asks for one. Virtual time, so that it ends at once.
//!
//! `cargo run --example api_client`

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use tidegate::{Quota, RateLimiter, TokioClock, throttle};
use tokio::time::{Instant, sleep};

const CALLS: u32 = 200;

/// What the server answers: the page, or how many seconds to wait.
type Answer = Result<String, u64>;

/// A server that is overloaded from 3 s to 5 s, and then wants to be left alone for a minute.
struct Server {
    start: Instant,
    running: AtomicU32,
    most_running: AtomicU32,
    refused: AtomicU64,
}

impl Server {
    async fn get(&self, page: u32) -> Answer {
        // Relaxed, all of them: counters.
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_running.fetch_max(running, Ordering::Relaxed);
        sleep(Duration::from_millis(500)).await;
        self.running.fetch_sub(1, Ordering::Relaxed);
        if (3..5).contains(&self.start.elapsed().as_secs()) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(60);
        }
        Ok(format!("page {page}"))
    }
}

/// Asks until the server answers. The first try has its permit from `throttle`.
async fn fetch(server: &Server, limiter: &RateLimiter<TokioClock>, page: u32) -> String {
    loop {
        match server.get(page).await {
            Ok(text) => return text,
            Err(seconds) => {
                // For all callers: the later end counts, and nothing is released at once afterwards.
                limiter.pause_for(Duration::from_secs(seconds));
                limiter.set_available(0);
                limiter.acquire().await;
            }
        }
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let start = Instant::now();
    let counter = || AtomicU32::new(0);
    let server = Server { start, running: counter(), most_running: counter(), refused: AtomicU64::new(0) };
    let limiter = RateLimiter::with_clock(Quota::at_most(20, Duration::from_secs(1)), TokioClock::new());

    let calls = (0..CALLS).map(|page| fetch(&server, &limiter, page));
    let pages = throttle(calls, &limiter).concurrency(8).all().await;

    // Relaxed: all calls have ended.
    let (most, refused) =
        (server.most_running.load(Ordering::Relaxed), server.refused.load(Ordering::Relaxed));
    println!("{} pages in {:.1?}, at most {most} at once, {refused} refused", pages.len(), start.elapsed());
    assert_eq!(pages, (0..CALLS).map(|page| format!("page {page}")).collect::<Vec<_>>());
    // The calls that run when the server begins to refuse are refused, and no others.
    assert!(most == 8 && refused <= 8 && start.elapsed() >= Duration::from_secs(63));
}
