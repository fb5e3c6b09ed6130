//! Prints how a burst works: how many permits a caller gets that always takes all it can, except during a pause.
//!
//! ```sh
//! cargo run --example burst
//! ```

use std::time::Duration;

use tidegate::{ManualClock, Quota, RateLimiter};

/// The time between two calls, and the calls for each line of output.
const TICK: Duration = Duration::from_millis(1);
const LINE: usize = 50;

fn picture(quota: Quota) {
    println!("\n{quota}; no calls between 0.3 s and 1.0 s");
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let (mut total, mut window) = (0, Vec::new());
    for line in 0..30 {
        let (mut admitted, mut most) = (0, 0);
        for tick in 0..LINE {
            let pause = (301..1_000).contains(&(line * LINE + tick));
            let now = if pause { 0 } else { limiter.try_acquire_up_to(u64::MAX) };
            admitted += now;
            window.push(now);
            // A window of one second, both ends included.
            most = most.max(window.iter().rev().take(1_001).sum::<u64>());
            clock.advance(TICK);
        }
        total += admitted;
        let at = (line * LINE) as f64 * TICK.as_secs_f64();
        let bar = "#".repeat(admitted as usize);
        println!("  {at:4.2} s  {bar:<8} {total:3} in all, at most {most:2} in a second");
    }
}

fn main() {
    picture(Quota::per_second(10).with_burst(5));
    picture(Quota::at_most(10, Duration::from_secs(1)));
}
