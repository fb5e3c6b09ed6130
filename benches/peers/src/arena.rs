//! Hungry tasks: each asks again as soon as it is served. How much of the allowance do they get, and what
//! does a grant cost in processor time?

use std::{
    fmt::Write,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cpu_time::ProcessTime;
use tokio::{runtime::Runtime, sync::Semaphore};

use crate::{Report, calls::nonzero};

/// What is let run before the counting starts.
const WARM_UP: Duration = Duration::from_millis(300);

/// How long each cell is measured.
const MEASURED: Duration = Duration::from_secs(2);

/// What tidegate promises to deliver to hungry callers.
const PROMISED_SHARE: f64 = 0.999;

/// A limiter that tasks wait for.
trait Party: Clone + Send + Sync + 'static {
    /// Makes one for `rate` permits a second with the smallest burst it works with.
    fn at(rate: u32, runtime: &Runtime) -> Self;

    /// Waits for one permit.
    fn wait(&self) -> impl Future<Output = ()> + Send;
}

#[derive(Clone)]
struct Tidegate(tidegate::RateLimiter);

impl Party for Tidegate {
    fn at(rate: u32, _: &Runtime) -> Self {
        Self(tidegate::RateLimiter::new(tidegate::Quota::per_second(rate.into()).burst(1)))
    }

    async fn wait(&self) {
        self.0.acquire().await;
    }
}

#[derive(Clone)]
struct Governor(Arc<governor::DefaultDirectRateLimiter>);

impl Party for Governor {
    fn at(rate: u32, _: &Runtime) -> Self {
        let quota = governor::Quota::per_second(nonzero(rate)).allow_burst(nonzero(1));
        Self(Arc::new(governor::RateLimiter::direct(quota)))
    }

    async fn wait(&self) {
        self.0.until_ready().await;
    }
}

#[derive(Clone)]
struct LeakyBucket(Arc<leaky_bucket::RateLimiter>);

impl Party for LeakyBucket {
    /// It refills in steps that it times by tokio's timer, so a step is at least a millisecond.
    fn at(rate: u32, _: &Runtime) -> Self {
        let refill = (rate / 1000).max(1);
        let limiter = leaky_bucket::RateLimiter::builder()
            .max(refill as usize)
            .initial(0)
            .refill(refill as usize)
            .interval(Duration::from_secs(1) * refill / rate)
            .build();
        Self(Arc::new(limiter))
    }

    async fn wait(&self) {
        self.0.acquire_one().await;
    }
}

/// tokio's semaphore and a task that adds what is due every millisecond. It hoards without bound, so it is
/// no limiter; it shows what the runtime itself can do.
#[derive(Clone)]
struct Ticker(Arc<Semaphore>);

impl Party for Ticker {
    fn at(rate: u32, runtime: &Runtime) -> Self {
        let semaphore = Arc::new(Semaphore::new(0));
        let filled = Arc::clone(&semaphore);
        runtime.spawn(async move {
            let began = Instant::now();
            let mut ticks = tokio::time::interval(Duration::from_millis(1));
            let mut added = 0;
            loop {
                ticks.tick().await;
                let due = began.elapsed().as_nanos() * u128::from(rate) / 1_000_000_000;
                filled.add_permits((due - added) as usize);
                added = due;
            }
        });
        Self(semaphore)
    }

    async fn wait(&self) {
        self.0.acquire().await.expect("never closed").forget();
    }
}

/// What came of one cell.
#[derive(Clone, Copy, Debug)]
struct Result {
    /// Of the allowance.
    share: f64,
    /// Microseconds of processor time a grant, of the whole process.
    cpu_us: f64,
}

fn measure<P: Party>(rate: u32, tasks: usize) -> Result {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let party = P::at(rate, &runtime);
    let counts: Vec<Arc<AtomicU64>> = (0..tasks).map(|_| Arc::default()).collect();
    for count in &counts {
        let (party, count) = (party.clone(), Arc::clone(count));
        runtime.spawn(async move {
            loop {
                party.wait().await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let granted = || counts.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
    thread::sleep(WARM_UP);
    let (before, began, cpu) = (granted(), Instant::now(), ProcessTime::now());
    thread::sleep(MEASURED);
    let (grants, took, cpu) = (granted() - before, began.elapsed(), cpu.elapsed());
    runtime.shutdown_timeout(Duration::from_secs(5));
    Result {
        share: grants as f64 / (f64::from(rate) * took.as_secs_f64()),
        cpu_us: cpu.as_secs_f64() * 1e6 / grants.max(1) as f64,
    }
}

/// Measures one cell: a rate, and a number of tasks.
type Measure = fn(u32, usize) -> Result;

const PARTIES: [(&str, Measure); 4] = [
    ("tidegate", measure::<Tidegate>),
    ("governor until_ready", measure::<Governor>),
    ("leaky-bucket", measure::<LeakyBucket>),
    ("Semaphore and 1 ms ticker", measure::<Ticker>),
];

/// Notes where tidegate is behind a peer in one cell.
fn compare(losses: &mut Vec<String>, cell: &str, results: &[Result]) {
    let (ours, peers) = results.split_first().expect("tidegate comes first");
    if ours.share < PROMISED_SHARE {
        losses.push(format!(
            "{cell}: {:.2} % of the allowance delivered; the promise is {:.1} %",
            ours.share * 100.0,
            PROMISED_SHARE * 100.0
        ));
    }
    for (result, (name, _)) in peers.iter().zip(&PARTIES[1..]) {
        if ours.share < result.share - 0.001 {
            losses.push(format!(
                "{cell}: {:.2} % of the allowance delivered, by {name} {:.2} %",
                ours.share * 100.0,
                result.share * 100.0
            ));
        }
        if ours.cpu_us > result.cpu_us * 1.02 {
            losses.push(format!(
                "{cell}: a grant costs {:.3} µs of processor time, with {name} {:.3} µs",
                ours.cpu_us, result.cpu_us
            ));
        }
    }
}

/// Measures every cell: a few, or all of them.
pub fn run(full: bool) -> Report {
    let rates: &[u32] = if full { &[1_000, 10_000, 100_000, 1_000_000] } else { &[10_000, 1_000_000] };
    let mut report = Report::default();
    let out = &mut report.tables;
    write!(out, "| rate, tasks |").unwrap();
    for (name, _) in PARTIES {
        write!(out, " {name} |").unwrap();
    }
    writeln!(out, "\n|---|{}", "---:|".repeat(PARTIES.len())).unwrap();
    for &rate in rates {
        for tasks in [100, 1000] {
            let cell = format!("{rate}/s, {tasks} tasks");
            let results: Vec<Result> = PARTIES.iter().map(|(_, measure)| measure(rate, tasks)).collect();
            write!(out, "| {cell} |").unwrap();
            for result in &results {
                write!(out, " {:.2} %, {:.3} µs |", result.share * 100.0, result.cpu_us).unwrap();
            }
            out.push('\n');
            compare(&mut report.losses, &cell, &results);
        }
    }
    report
}
