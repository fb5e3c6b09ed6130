//! Prints how a burst works: what passes when callers want all they can get, but for a pause.
//!
//! ```sh
//! cargo run --example burst
//! ```

use std::time::Duration;

use tidegate::{ManualClock, Quota, RateLimiter};

const STEP: Duration = Duration::from_millis(50);

fn picture(quota: Quota) {
    println!("\n{quota}; nobody calls from 0.3 s to 1.0 s");
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let (mut total, mut window) = (0, Vec::new());
    for step in 0..30 {
        let pause = (6..20).contains(&step);
        let admitted = if pause { 0 } else { limiter.try_acquire_up_to(u64::MAX) };
        total += admitted;
        window.push(admitted);
        // The last second, this instant included.
        let in_window: u64 = window.iter().rev().take(21).sum();
        let at = f64::from(step) * STEP.as_secs_f64();
        let bar = "#".repeat(admitted as usize);
        println!("  {at:4.2} s  {bar:<8} {total:3} in all, {in_window:2} in the last second");
        clock.advance(STEP);
    }
}

fn main() {
    picture(Quota::per_second(10).burst(5));
    picture(Quota::at_most(10, Duration::from_secs(1)));
}
