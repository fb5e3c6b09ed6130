//! What a queue of 10 to 100,000 waiters costs: it should not matter how long it is.

use std::{
    collections::VecDeque,
    fmt::Write,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tidegate::{AcquireOwned, Clock, ManualClock, QuantaClock, Quota, RateLimiter};
use tokio::runtime::Runtime;

use crate::{Report, stats::median};

/// How many wait.
const LENGTHS: [usize; 5] = [10, 100, 1000, 10_000, 100_000];

/// How often each is measured, how long, and how many operations there are between two looks at the time.
const ROUNDS: usize = 15;
const SLICE: Duration = Duration::from_millis(10);
const BATCH: u32 = 500;

/// How much more an operation may cost with the longest queue than with the shortest.
const FLAT: f64 = 2.0;

/// What the table shows, in words.
pub const EXPLANATION: &str = "A waiter that joins at the back of a queue and leaves again; and one that \
is served, by a clock moved by hand, and joins again. The second goes through all waiters in turn, so a \
queue that outgrows the processor's caches is slower by that.";

type Waiter<C> = Pin<Box<AcquireOwned<C>>>;

fn poll<C: Clock>(waiter: Pin<&mut AcquireOwned<C>>) -> Poll<()> {
    waiter.poll(&mut Context::from_waker(Waker::noop()))
}

fn queue_up<C: Clock>(limiter: &RateLimiter<C>, waiters: usize) -> VecDeque<Waiter<C>> {
    let queue = (0..waiters)
        .map(|_| {
            let mut waiter = Box::pin(limiter.acquire_owned());
            assert!(poll(waiter.as_mut()).is_pending(), "a permit for one who should wait");
            waiter
        })
        .collect();
    assert_eq!(limiter.waiting(), waiters);
    queue
}

/// Nanoseconds an operation.
fn time(mut operation: impl FnMut()) -> f64 {
    let began = Instant::now();
    let mut operations = 0;
    loop {
        for _ in 0..BATCH {
            operation();
        }
        operations += BATCH;
        let took = began.elapsed();
        if took >= SLICE {
            return took.as_nanos() as f64 / f64::from(operations);
        }
    }
}

/// A waiter joins at the back, and leaves again.
struct Visits {
    runtime: Runtime,
    limiter: RateLimiter<QuantaClock>,
    /// There to be in the queue.
    _queue: VecDeque<Waiter<QuantaClock>>,
}

impl Visits {
    fn new(waiters: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let limiter = RateLimiter::new(Quota::per_day(1).with_initial(0));
        let entered = runtime.enter();
        let queue = queue_up(&limiter, waiters);
        drop(entered);
        Self { runtime, limiter, _queue: queue }
    }

    fn measure(&self) -> f64 {
        let _entered = self.runtime.enter();
        time(|| {
            let mut visitor = std::pin::pin!(self.limiter.acquire_owned());
            assert!(poll(visitor.as_mut()).is_pending(), "a permit for one who should wait");
        })
    }
}

/// A permit comes; the first in the queue is served, and joins again at the back.
struct Grants {
    clock: ManualClock,
    limiter: RateLimiter<ManualClock>,
    queue: VecDeque<Waiter<ManualClock>>,
}

impl Grants {
    fn new(waiters: usize) -> Self {
        let clock = ManualClock::new();
        let limiter = RateLimiter::with_clock(
            Quota::per_second(1_000_000).with_burst(1).with_initial(0),
            clock.clone(),
        );
        let queue = queue_up(&limiter, waiters);
        Self { clock, limiter, queue }
    }

    fn measure(&mut self) -> f64 {
        time(|| {
            self.clock.advance(Duration::from_micros(1));
            let mut first = self.queue.pop_front().expect("somebody waits");
            assert!(poll(first.as_mut()).is_ready(), "the first was not served");
            first.set(self.limiter.acquire_owned());
            assert!(poll(first.as_mut()).is_pending(), "a permit out of turn");
            self.queue.push_back(first);
        })
    }
}

/// Measures everything.
pub fn run() -> Report {
    let visits: Vec<Visits> = LENGTHS.iter().map(|&waiters| Visits::new(waiters)).collect();
    let mut grants: Vec<Grants> = LENGTHS.iter().map(|&waiters| Grants::new(waiters)).collect();
    let mut samples = [(); 2].map(|()| vec![Vec::new(); LENGTHS.len()]);
    for _ in 0..ROUNDS {
        for length in 0..LENGTHS.len() {
            samples[0][length].push(visits[length].measure());
            samples[1][length].push(grants[length].measure());
        }
    }
    let mut report = Report::default();
    let out = &mut report.tables;
    let lengths = LENGTHS.map(|waiters| waiters.to_string());
    writeln!(out, "| ns an operation, by the number of waiters | {} |", lengths.join(" | ")).unwrap();
    writeln!(out, "|---|{}", "---:|".repeat(LENGTHS.len())).unwrap();
    let names = ["one joins at the back and leaves", "one is served and joins again"];
    for (name, samples) in names.into_iter().zip(samples) {
        let medians: Vec<f64> = samples.into_iter().map(median).collect();
        write!(out, "| {name} |").unwrap();
        for cost in &medians {
            write!(out, " {cost:.0} |").unwrap();
        }
        out.push('\n');
        let ratio = medians[LENGTHS.len() - 1] / medians[0];
        if ratio > FLAT {
            let (few, many) = (&lengths[0], &lengths[LENGTHS.len() - 1]);
            report
                .losses
                .push(format!("{name}: with {many} waiters it takes {ratio:.1} times as long as with {few}"));
        }
    }
    out.push('\n');
    report
}
