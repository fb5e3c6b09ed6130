//! Prints when each call of a list starts, for two quotas, in virtual time.
//!
//! ```sh
//! cargo run --example demo_timelines
//! ```

use std::time::Duration;

use tidegate::{Quota, RateLimiter, TokioClock, throttle};
use tokio::time::Instant;

async fn timeline(title: &str, quota: Quota, calls: u32) {
    let limiter = RateLimiter::with_clock(quota, TokioClock::new());
    let start = Instant::now();
    let futures = (0..calls).map(|_| async { start.elapsed() });
    println!("{title} ({quota}), {calls} calls:");
    for (call, at) in throttle(futures, &limiter).all().await.into_iter().enumerate() {
        println!("  call {:2} at {:6.3} s", call + 1, at.as_secs_f64());
    }
}

fn main() -> std::io::Result<()> {
    // Time is paused: when all tasks wait, tokio advances it to the next timer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        timeline("Five per ten seconds", Quota::new(5, Duration::from_secs(10)), 15).await;
        timeline("One per 1.5 seconds", Quota::new(1, Duration::from_millis(1500)), 5).await;
    });
    Ok(())
}
