//! A client pool with one worker for each core, all on one quota. Each worker takes from its own slot, and all together
//! keep to the allowance.
//!
//! ```sh
//! cargo run --release --example client_pool
//! ```
//!
//! Each worker calls as often as it can. The last worker stops half-way; the others then use the permits that it has
//! parked.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use tidegate::{PerCore, Permits, Quota, RateLimiter};

const RATE: u64 = 5_000_000;
const BURST: u64 = 1_000_000;
const RUN: Duration = Duration::from_secs(2);

/// Calls until the time is over. Returns how many calls were admitted, and how many refused.
fn work(per_core: &PerCore, until: Instant) -> (u64, u64) {
    let (mut admitted, mut refused) = (0, 0);
    while Instant::now() < until {
        // A batch: reading the time for each call would be too slow.
        for _ in 0..1000 {
            if let Err(denied) = per_core.try_acquire() {
                refused += 1;
                // A real client would do other work meanwhile. The bucket holds 200 ms of permits, so it does not
                // overflow.
                thread::sleep(denied.retry_after().unwrap_or_default().max(Duration::from_micros(200)));
                break;
            }
            admitted += 1;
        }
    }
    (admitted, refused)
}

fn main() -> ExitCode {
    let workers = thread::available_parallelism().map_or(2, usize::from).max(2);
    let limiter = RateLimiter::new(Quota::per_second(RATE).with_burst(BURST));
    let per_core = PerCore::new(&limiter);
    println!("{workers} workers on {}, for {RUN:?}", limiter.quota());

    let began = Instant::now();
    let results: Vec<_> = thread::scope(|scope| {
        let start = |worker| {
            let run = if worker + 1 == workers { RUN / 2 } else { RUN };
            let per_core = &per_core;
            scope.spawn(move || work(per_core, began + run))
        };
        let handles: Vec<_> = (0..workers).map(start).collect();
        handles.into_iter().map(|handle| handle.join().expect("a worker panicked")).collect()
    });
    let elapsed = began.elapsed();

    println!("\n worker   admitted  refused");
    for (worker, (admitted, refused)) in results.iter().enumerate() {
        println!("{worker:7} {admitted:10} {refused:8}");
    }
    println!("\n   slot      draws      drawn      taken     stolen     parked      share");
    for (number, slot) in per_core.report().iter().enumerate() {
        // All amounts are whole: every call takes one permit.
        let [drawn, taken, stolen, parked] =
            [slot.drawn, slot.taken, slot.stolen, slot.parked].map(Permits::whole);
        println!(
            "{number:7} {:10} {drawn:10} {taken:10} {stolen:10} {parked:10} {:10}",
            slot.draws, slot.share
        );
    }

    let total: u64 = results.iter().map(|(admitted, _)| admitted).sum();
    let earned = elapsed.as_secs_f64() * RATE as f64;
    let allowance = BURST + earned as u64;
    let left = u64::try_from(limiter.available()).unwrap_or(0);
    println!("\n{total} admitted, {left} left; the allowance is {BURST} + {earned:.0} = {allowance}");
    // The part of the burst that is set aside for parking was not available at first.
    let used = total as f64 / (BURST as f64 * 7.0 / 8.0 + earned);
    println!(
        "{:.2} % of the available permits used; an eighth of the burst is set aside for shares",
        100.0 * used
    );
    if total > allowance || used < 0.99 {
        println!("more than the allowance, or less than 99 % of it");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
