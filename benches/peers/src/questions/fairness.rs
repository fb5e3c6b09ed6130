//! Hungry callers on every core, with hogs on half of them: how much of the quota is delivered, and what does the
//! caller get that gets least?

use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use tidegate::{Local, PerCore, Quota, RateLimiter};

use crate::{Effort, Report, stats::median};

/// What the table shows, in words.
const EXPLANATION: &str = "A caller for every core, each hungry, and for every other core a thread that does \
nothing but work; the bucket is empty at first. A caller that tries asks again at once, one that waits when it is \
served. The last column is what the caller gets that gets least, as a part of an equal share. The system gives a \
caller that shares its core with a hog half of that core.";

/// What a caller does: makes one call; whether it was admitted.
type Call = fn(&PerCore, &mut Local) -> bool;

const WAYS: [(&str, u64, Call); 4] = [
    ("`PerCore::try_acquire`", 1_000_000, |per_core, _| per_core.try_acquire().is_ok()),
    ("`Local::try_acquire`", 1_000_000, |_, local| local.try_acquire().is_ok()),
    ("`RateLimiter::try_acquire`", 1_000_000, |per_core, _| per_core.limiter().try_acquire().is_ok()),
    ("`PerCore::blocking_acquire`", 1_000, |per_core, _| {
        per_core.blocking_acquire();
        true
    }),
];

/// The part of the quota that was delivered, and the least part of an equal share that a caller got.
fn measure(rate: u64, call: Call, measured: Duration) -> (f64, f64) {
    let cores = thread::available_parallelism().map_or(2, usize::from).max(2);
    // Holds the permits that come while all callers are delayed, and is small beside the total.
    let limiter = RateLimiter::new(Quota::per_second(rate).with_burst(rate / 10).with_initial(0));
    let per_core = PerCore::new(&limiter);
    let over = AtomicBool::new(false);
    let began = Instant::now();
    let counts: Vec<u64> = thread::scope(|scope| {
        for _ in 0..cores / 2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    spin_loop();
                }
            });
        }
        let callers: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    let (mut local, mut count) = (per_core.local(), 0);
                    while !over.load(Ordering::Relaxed) {
                        count += u64::from(call(&per_core, &mut local));
                    }
                    count
                })
            })
            .collect();
        thread::sleep(measured);
        over.store(true, Ordering::Relaxed);
        callers.into_iter().map(|caller| caller.join().expect("a caller panicked")).collect()
    });
    let earned = began.elapsed().as_secs_f64() * rate as f64;
    let total: u64 = counts.iter().sum();
    let least = counts.iter().min().expect("there are callers");
    (total as f64 / earned, *least as f64 * counts.len() as f64 / total as f64)
}

/// Measures everything.
pub fn run(effort: Effort) -> Report {
    let mut report = Report::new("With hogs on half the cores", EXPLANATION);
    let mut results = WAYS.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..effort.long_rounds {
        for ((_, rate, call), (delivered, least)) in WAYS.iter().zip(&mut results) {
            let (all, one) = measure(*rate, *call, effort.long / 2);
            delivered.push(all);
            least.push(one);
        }
    }
    let mut lines = Vec::new();
    for ((name, rate, _), (all_delivered, all_least)) in WAYS.iter().zip(results) {
        report.keep(format!("{name}: delivered"), all_delivered.iter().copied());
        report.keep(format!("{name}: least"), all_least.iter().copied());
        let (delivered, least) = (median(all_delivered), median(all_least));
        lines.push(vec![
            (*name).to_owned(),
            rate.to_string(),
            format!("{:.2} %", 100.0 * delivered),
            format!("{least:.2}"),
        ]);
        if delivered < 0.999 {
            report.lose(format!("with hogs, {name}: {:.2} % delivered", 100.0 * delivered), "");
        }
        if least < 0.5 {
            report.lose(format!("with hogs, {name}: one caller gets {least:.2} of an equal share"), "");
        }
    }
    report.table(&["call", "permits a second", "delivered", "least"], &lines);
    report
}
