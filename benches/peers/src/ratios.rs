//! Ratios between calls, from short measurements that alternate, so that other work on the machine and its
//! changes of speed fall on all alike.

use std::{
    fmt::Write,
    hint::black_box,
    sync::{
        Barrier,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    Report,
    calls::{
        Acquire, Admit, AdmitWeight, Call, ClockRead, Floor, GovernorAdmit, GovernorRefuse, Make, Refuse,
        RefuseShared,
    },
    stats::{Spread, spread},
};

/// How long one measurement takes, and how many rounds of them there are.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The length of one measurement.
    pub slice: Duration,
    /// The number of rounds; each measures everything once.
    pub rounds: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { slice: Duration::from_millis(20), rounds: 60 }
    }
}

/// What a call may cost, as a multiple of another one.
const TARGETS: [(&str, &str, f64); 4] = [
    ("tidegate, admitted", "governor, admitted", 1.05),
    ("tidegate, refused", "governor, refused", 1.2),
    ("tidegate, `acquire().await` with a permit available", "tidegate, admitted", 1.25),
    ("tidegate, refused through `PerCore`", "tidegate, refused", 1.3),
];

/// Calls between two looks at the time or at the flag.
const BATCH: u64 = 2048;

fn batch<T: Call>(party: &T, own: &mut T::Own) -> u64 {
    let good: u64 = (0..BATCH).map(|_| u64::from(black_box(party).call(black_box(&mut *own)))).sum();
    assert_eq!(good, BATCH, "{}: not every call ended as it should", party.name());
    good
}

/// Nanoseconds a call, on one thread.
pub(crate) fn alone<T: Call>(party: &T, slice: Duration) -> f64 {
    let mut own = party.own();
    let began = Instant::now();
    let mut calls = 0;
    loop {
        calls += batch(party, &mut own);
        let took = began.elapsed();
        if took >= slice {
            return took.as_nanos() as f64 / calls as f64;
        }
    }
}

/// Nanoseconds between calls, with two threads calling.
pub(crate) fn by_two<T: Call>(party: &T, slice: Duration) -> f64 {
    by_many(party, 2, slice)
}

/// Nanoseconds between calls, with so many threads calling. What they do until the system has found a core for
/// each does not count.
pub(crate) fn by_many<T: Call>(party: &T, threads: usize, slice: Duration) -> f64 {
    const WARM_UP: u8 = 0;
    const MEASURED: u8 = 1;
    const OVER: u8 = 2;
    let (start, phase) = (Barrier::new(threads + 1), AtomicU8::new(WARM_UP));
    let work = || {
        let mut own = party.own();
        start.wait();
        while phase.load(Ordering::Relaxed) == WARM_UP {
            batch(party, &mut own);
        }
        let (began, mut calls) = (Instant::now(), 0);
        while phase.load(Ordering::Relaxed) == MEASURED {
            calls += batch(party, &mut own);
        }
        calls as f64 / began.elapsed().as_nanos() as f64
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        start.wait();
        for next in [MEASURED, OVER] {
            thread::sleep(slice);
            phase.store(next, Ordering::Relaxed);
        }
        1.0 / workers.into_iter().map(|worker| worker.join().expect("a worker panicked")).sum::<f64>()
    })
}

type Measure = Box<dyn Fn(Duration) -> f64>;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    measure: Measure,
    pub(crate) samples: Vec<f64>,
}

pub(crate) fn row<T: Call + Default + 'static>(how: fn(&T, Duration) -> f64) -> Row {
    let party = T::default();
    let name = party.name();
    Row { name, measure: Box::new(move |slice| how(&party, slice)), samples: Vec::new() }
}

impl Row {
    /// Measures it once.
    pub(crate) fn sample(&mut self, slice: Duration) {
        self.samples.push((self.measure)(slice));
    }
}

/// The ratio of two rows, round by round.
pub(crate) fn ratio(row: &Row, to: &Row) -> Spread {
    spread(row.samples.iter().zip(&to.samples).map(|(a, b)| a / b))
}

pub(crate) fn run_rounds(rows: &mut [Row], effort: Effort) {
    for row in &mut *rows {
        (row.measure)(effort.slice);
    }
    for _ in 0..effort.rounds {
        for row in &mut *rows {
            row.sample(effort.slice);
        }
    }
}

fn table(out: &mut String, title: &str, unit: &str, rows: &[Row]) {
    let floor = &rows[0];
    writeln!(out, "### {title}\n").unwrap();
    writeln!(out, "| call | {unit} (quartiles) | ratio to the floor (quartiles) |").unwrap();
    writeln!(out, "|---|---:|---:|").unwrap();
    for row in rows {
        let time = spread(row.samples.iter().copied());
        let to_floor = ratio(row, floor);
        writeln!(
            out,
            "| {} | {:.2} ({:.2}–{:.2}) | {:.3} ({:.3}–{:.3}) |",
            row.name, time.median, time.low, time.high, to_floor.median, to_floor.low, to_floor.high
        )
        .unwrap();
    }
    out.push('\n');
}

/// Compares the calls with their targets: a table, and a loss for each that takes longer than the other call.
fn compare(report: &mut Report, title: &str, rows: &[Row]) {
    let find = |name| rows.iter().find(|row| row.name == name);
    report.tables.push_str("| call | to | ratio (quartiles) | at most | |\n|---|---|---:|---:|---|\n");
    for (ours, theirs, most) in TARGETS {
        let (Some(a), Some(b)) = (find(ours), find(theirs)) else { continue };
        let Spread { median, low, high } = ratio(a, b);
        let verdict = if median <= most { "pass" } else { "fail" };
        writeln!(
            report.tables,
            "| {ours} | {theirs} | {median:.2} ({low:.2}–{high:.2}) | {most} | {verdict} |"
        )
        .unwrap();
        if median > 1.0 && theirs.starts_with("governor") || median > most {
            report
                .losses
                .push(format!("{title}: \"{ours}\" takes {median:.2} times as long as \"{theirs}\""));
        }
    }
    report.tables.push('\n');
}

/// Measures everything.
pub fn run(effort: Effort) -> Report {
    let mut report = Report::default();
    let mut single = [
        row::<Floor>(alone),
        row::<ClockRead>(alone),
        row::<Admit>(alone),
        row::<AdmitWeight>(alone),
        row::<GovernorAdmit>(alone),
        row::<Refuse>(alone),
        row::<GovernorRefuse>(alone),
        row::<RefuseShared>(alone),
        row::<Acquire>(alone),
        row::<Make>(alone),
    ];
    run_rounds(&mut single, effort);
    let mut double = [
        row::<Floor>(by_two),
        row::<Admit>(by_two),
        row::<GovernorAdmit>(by_two),
        row::<Refuse>(by_two),
        row::<GovernorRefuse>(by_two),
    ];
    run_rounds(&mut double, effort);

    for (title, unit, rows) in [
        ("One thread", "ns a call", &single[..]),
        ("Two threads on one limiter", "ns between calls of both", &double[..]),
    ] {
        table(&mut report.tables, title, unit, rows);
        compare(&mut report, title, rows);
    }
    report
}
