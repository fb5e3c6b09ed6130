//! What a queue of 10 to 100,000 waiters costs: it should not matter how long it is.

use std::{
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tidegate::{AcquireOwned, Clock, ManualClock, Quota, RateLimiter};

use crate::{
    Effort, Report,
    plot::{Curve, lines},
    rivals::{Rival, Setting, each_rival},
    stats::{median, short},
};

/// How many wait.
const LENGTHS: [usize; 5] = [10, 100, 1000, 10_000, 100_000];

/// How many operations there are between two looks at the time.
const BATCH: u32 = 500;

/// How much more an operation may cost with the longest queue than with the shortest.
const FLAT: f64 = 2.0;

/// What the table shows, in words.
const EXPLANATION: &str = "ns an operation, by the number of tasks that wait already. A waiter joins and leaves again; and, in the \
last row, for tidegate, whose clock can be moved by hand with waiters in the queue, one is served and joins again. The last goes through all \
waiters in turn, so a queue that outgrows the processor's caches is slower by that. governor, ratelimit, async-speed-limit \
and the mutex bucket have no queue: a waiter is a timer.";

fn poll<T>(waiter: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    waiter.poll(&mut Context::from_waker(Waker::noop()))
}

fn must_wait<T>(waiter: Pin<&mut impl Future<Output = T>>) {
    assert!(poll(waiter).is_pending(), "a permit for a caller that should wait");
}

/// Nanoseconds an operation.
fn time(slice: Duration, mut operation: impl FnMut()) -> f64 {
    let began = Instant::now();
    let mut operations = 0;
    loop {
        for _ in 0..BATCH {
            operation();
        }
        operations += BATCH;
        let took = began.elapsed();
        if took >= slice {
            return took.as_nanos() as f64 / f64::from(operations);
        }
    }
}

/// Something that is measured again and again.
type Measure = Box<dyn FnMut(Duration) -> f64>;

/// A waiter joins, and leaves again.
fn visits<R: Rival>(waiters: usize) -> (String, Measure) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let entered = runtime.enter();
    let rival = Arc::new(R::new(&Setting::EXHAUSTED));
    // Some begin with a permit whatever they are set to.
    let _ = poll(pin!(rival.wait()));
    let queue: Vec<_> = (0..waiters)
        .map(|_| {
            let rival = Arc::clone(&rival);
            let mut waiter = Box::pin(async move { rival.wait().await });
            must_wait(waiter.as_mut());
            waiter
        })
        .collect();
    drop(entered);
    let measure = move |slice| {
        let _entered = runtime.enter();
        let _there_to_wait = &queue;
        time(slice, || must_wait(pin!(rival.wait())))
    };
    (R::NAME.to_owned(), Box::new(measure))
}

/// A permit comes; the first in the queue is served, and joins again at the back.
fn grants(waiters: usize) -> (String, Measure) {
    fn join<C: Clock>(limiter: &RateLimiter<C>, waiter: &mut Pin<Box<AcquireOwned<C>>>) {
        waiter.set(limiter.acquire_owned());
        must_wait(waiter.as_mut());
    }
    let clock = ManualClock::new();
    let quota = Quota::per_second(1_000_000).with_burst(1).with_initial(0);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut queue: VecDeque<_> = (0..waiters)
        .map(|_| {
            let mut waiter = Box::pin(limiter.acquire_owned());
            must_wait(waiter.as_mut());
            waiter
        })
        .collect();
    let measure = move |slice| {
        time(slice, || {
            clock.advance(Duration::from_micros(1));
            let mut first = queue.pop_front().expect("somebody waits");
            assert!(poll(first.as_mut()).is_ready(), "the first was not served");
            join(&limiter, &mut first);
            queue.push_back(first);
        })
    };
    ("tidegate, served".to_owned(), Box::new(measure))
}

/// Measures everything.
pub fn run(effort: Effort) -> Report {
    let mut report = Report::new("Long queues", EXPLANATION);
    let mut all: Vec<(String, Vec<Vec<f64>>)> = Vec::new();
    for waiters in LENGTHS {
        let mut operations: Vec<(String, Measure)> = each_rival!(visits(waiters)).into();
        operations.push(grants(waiters));
        if all.is_empty() {
            all = operations.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
        }
        let mut samples = vec![Vec::new(); operations.len()];
        for _ in 0..effort.rounds.div_ceil(3) {
            for ((_, measure), samples) in operations.iter_mut().zip(&mut samples) {
                samples.push(measure(effort.slice / 2));
            }
        }
        for ((_, lengths), samples) in all.iter_mut().zip(samples) {
            lengths.push(samples);
        }
    }
    let lengths = LENGTHS.map(|waiters| waiters.to_string());
    let mut table = Vec::new();
    let mut curves = Vec::new();
    for (name, by_length) in &all {
        let medians: Vec<f64> = by_length.iter().map(|samples| median(samples.iter().copied())).collect();
        table.push([name.clone()].into_iter().chain(medians.iter().map(|&ns| short(ns))).collect::<Vec<_>>());
        let points = LENGTHS.iter().zip(&medians).map(|(&waiters, &ns)| (waiters as f64, ns)).collect();
        curves.push(Curve { name: name.clone(), points });
        for (samples, waiters) in by_length.iter().zip(LENGTHS) {
            report.keep(format!("{name}, {waiters}"), samples.iter().copied());
        }
        let ratio = medians[LENGTHS.len() - 1] / medians[0];
        if name.starts_with("tidegate") && ratio > FLAT {
            let (few, many) = (&lengths[0], &lengths[LENGTHS.len() - 1]);
            report.lose(
                format!("{name}: with {many} waiters a waiter takes {ratio:.1} times as long as with {few}"),
                "",
            );
        }
    }
    for (length, waiters) in LENGTHS.into_iter().enumerate() {
        let cost = |curve: &Curve| curve.points[length].1;
        let cheaper: Vec<String> = curves[1..curves.len() - 1]
            .iter()
            .filter(|curve| 1.05 * cost(curve) < cost(&curves[0]))
            .map(|curve| format!("{} {}", curve.name, short(cost(curve))))
            .collect();
        if !cheaper.is_empty() {
            report.lose(
                format!(
                    "with {waiters} waiters: joins and leaves in {} ns; {}",
                    short(cost(&curves[0])),
                    cheaper.join(", ")
                ),
                "to join and to leave are steps of the core, which freezes the word and reads the clock each time",
            );
        }
    }
    let head: Vec<&str> = ["waiters"].into_iter().chain(lengths.iter().map(String::as_str)).collect();
    report.table(&head, &table);
    report.picture(
        "waiters.svg",
        "What a waiter costs by the number of those that wait",
        lines("What a waiter costs that joins and leaves", "tasks that wait", "ns an operation", &curves),
    );
    report
}
