//! One rival in one cell.
//!
//! Nearly every rival begins with an empty bucket, so its allowance is the rate times the time since permits flow.
//! The counts are read at the end only, a few times within [`LAST`]: what is late at one reading has not been
//! lost, so the best of them says how much was delivered.

use std::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cpu_time::ProcessTime;
use tokio::runtime::Runtime;

use super::grid::Cell;
use crate::{
    rivals::{Rival, Tidegate},
    stats::median,
};

/// What is let run before processor time is counted.
pub(in super::super) const WARM_UP: Duration = Duration::from_millis(300);

/// How long the counts are read at the end, and the pause between two readings.
const LAST: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_micros(700);

/// If no count changes for this long, no task was being granted at the time of the reading.
const STILL: Duration = Duration::from_micros(30);

/// What came of one cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// What was delivered of the allowance.
    pub(super) share: f64,
    /// Permits above what tidegate promises never to exceed; negative if it was kept.
    pub(super) excess: f64,
    /// Microseconds of processor time a grant, of the whole process.
    pub(super) cpu_us: f64,
    /// The largest count of a task less the smallest.
    pub(super) rounds_apart: f64,
}

/// The grants of one task, which alone writes it, on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Count(AtomicU64);

impl Count {
    fn add_one(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

struct Counts {
    stop: AtomicBool,
    grants: Vec<Count>,
}

impl Counts {
    fn read(&self) -> Vec<u64> {
        self.grants.iter().map(|count| count.0.load(Ordering::Relaxed)).collect()
    }

    fn total(&self) -> u64 {
        self.grants.iter().map(|count| count.0.load(Ordering::Relaxed)).sum()
    }
}

/// All counts at a time just before `taken`.
struct Reading {
    counts: Vec<u64>,
    taken: Instant,
    /// Nothing changed for a while.
    still: bool,
}

impl Reading {
    fn take(counts: &Counts) -> Self {
        let read = counts.read();
        let taken = Instant::now();
        while taken.elapsed() < STILL {
            spin_loop();
        }
        let still = counts.read() == read;
        Self { counts: read, taken, still }
    }

    fn rounds_apart(&self) -> f64 {
        let most = self.counts.iter().max().expect("a task");
        let least = self.counts.iter().min().expect("a task");
        (most - least) as f64
    }
}

/// What every rival runs on.
pub(in super::super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime")
}

/// Has hungry tasks wait for the rival for as long as `measured`, and a little before.
pub(super) fn measure<R: Rival>(cell: Cell, measured: Duration) -> Outcome {
    let runtime = runtime();
    let (rival, starts) = runtime.block_on(async { R::starting(&cell.setting()) });
    let counts = spawn(&runtime, Arc::new(rival), cell.tasks);

    thread::sleep(starts.saturating_duration_since(Instant::now()) + WARM_UP);
    let (before, cpu) = (counts.total(), ProcessTime::now());
    thread::sleep(measured);
    let (cpu, grants) = (cpu.elapsed(), counts.total() - before);
    let readings = read_for_a_while(&counts);
    counts.stop.store(true, Ordering::Relaxed);
    runtime.shutdown_timeout(Duration::from_secs(5));

    let (mut share, mut excess) = (0.0_f64, f64::MIN);
    let slack = Tidegate::quota(&cell.setting()).catch_up();
    for reading in &readings {
        let grants = reading.counts.iter().sum::<u64>() as f64;
        let time = reading.taken.duration_since(starts);
        let rate = f64::from(cell.rate);
        share = share.max(grants / (rate * time.as_secs_f64()));
        excess = excess.max(grants - rate * (time + slack).as_secs_f64());
    }
    Outcome {
        share,
        excess,
        cpu_us: cpu.as_secs_f64() * 1e6 / grants.max(1) as f64,
        rounds_apart: rounds_apart(&readings),
    }
}

fn spawn<R: Rival>(runtime: &Runtime, rival: Arc<R>, tasks: usize) -> Arc<Counts> {
    let grants = (0..tasks).map(|_| Count::default()).collect();
    let counts = Arc::new(Counts { stop: AtomicBool::new(false), grants });
    for task in 0..tasks {
        let (rival, counts) = (Arc::clone(&rival), Arc::clone(&counts));
        runtime.spawn(async move {
            while !counts.stop.load(Ordering::Relaxed) {
                rival.wait().await;
                counts.grants[task].add_one();
            }
        });
    }
    counts
}

fn read_for_a_while(counts: &Counts) -> Vec<Reading> {
    let began = Instant::now();
    let mut readings = Vec::new();
    while began.elapsed() < LAST {
        readings.push(Reading::take(counts));
        thread::sleep(PAUSE);
    }
    readings
}

/// The median of the readings at which no count changed: a preempted worker may delay a task that was already granted.
/// If the counts always change, as at high rates, the median of all readings.
fn rounds_apart(readings: &[Reading]) -> f64 {
    let any_still = readings.iter().any(|reading| reading.still);
    median(readings.iter().filter(|reading| reading.still || !any_still).map(Reading::rounds_apart))
}
