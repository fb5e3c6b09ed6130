//! How late is a grant, against the time at which its permit was due?

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::waiting::{Cell, WARM_UP, in_turn, runtime};
use crate::{
    Effort, Report,
    plot::{Curve, lines},
    rivals::{Rival, each_rival, names},
    stats::{median, quantile, short},
};

const EXPLANATION: &str = "Hungry tasks as above, with a burst of 1. The n-th grant is due n periods after permits begin to \
flow, and this is by how much later it came: median, 99th percentile, and most, in µs, of the grants after the first 0.3 s; then what was \
delivered. A rival that delivers less than the rate is later with each grant, so its numbers grow with the time that is \
measured. Below 0 is early: a permit that was there at first.";

const TASKS: usize = 100;

/// Grants that are looked at, at most.
const MOST: u64 = 1 << 20;

/// What is told of them.
const QUANTILES: [f64; 3] = [0.5, 0.99, 1.0];

/// The quantiles of the lateness in µs, and what was delivered.
type Late = [f64; 4];
type Measure = fn(Cell, Duration) -> Late;

fn late<R: Rival>() -> Measure {
    measure::<R>
}

fn measure<R: Rival>(cell: Cell, measured: Duration) -> Late {
    let runtime = runtime();
    let (rival, starts) = runtime.block_on(async { R::starting(&cell.setting()) });
    let shared = Arc::new((rival, AtomicU64::new(0), AtomicBool::new(false)));
    let interval = cell.setting().time_of(1).as_nanos() as f64;
    let hungry = move |shared: Arc<(R, AtomicU64, AtomicBool)>| async move {
        let (rival, grants, over) = &*shared;
        let mut late = Vec::new();
        while !over.load(Ordering::Relaxed) {
            rival.wait().await;
            let grant = grants.fetch_add(1, Ordering::Relaxed) + 1;
            let since = Instant::now().saturating_duration_since(starts);
            if since > WARM_UP && grant < MOST {
                late.push((since.as_nanos() as f64 - grant as f64 * interval) / 1e3);
            }
        }
        late
    };
    let tasks: Vec<_> = (0..TASKS).map(|_| runtime.spawn(hungry(Arc::clone(&shared)))).collect();
    thread::sleep(starts.saturating_duration_since(Instant::now()) + WARM_UP + measured);
    let delivered = shared.1.load(Ordering::Relaxed) as f64 * interval / starts.elapsed().as_nanos() as f64;
    shared.2.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    runtime.block_on(async {
        // A task may wait for as long as its rival has put it off; what it saw is lost then.
        let last = tokio::time::Instant::now() + Duration::from_secs(1);
        for task in tasks {
            if let Ok(late) = tokio::time::timeout_at(last, task).await {
                all.extend(late.expect("a task panicked"));
            }
        }
    });
    runtime.shutdown_background();
    all.sort_by(f64::total_cmp);
    let [half, most, last] =
        QUANTILES.map(|part| if all.is_empty() { f64::NAN } else { quantile(&all, part) });
    [half, most, last, delivered]
}

/// Measures everything.
pub fn run(effort: Effort) -> Report {
    let mut report = Report::new("Lateness", EXPLANATION);
    let rates: &[u32] =
        if effort.full { &[100, 1_000, 10_000, 100_000, 1_000_000] } else { &[1_000, 10_000, 100_000] };
    let measured = effort.long / 3;
    let mut all: Vec<Vec<Vec<Late>>> = rates.iter().map(|_| Vec::new()).collect();
    for round in 0..effort.long_rounds {
        for (&rate, rounds) in rates.iter().zip(&mut all) {
            let cell = Cell { rate, tasks: TASKS, burst: 1 };
            rounds.push(in_turn(&each_rival!(late()), round, |measure| measure(cell, measured)));
        }
    }
    let mut table = Vec::new();
    let mut curves: Vec<Curve> = names().into_iter().map(Curve::new).collect();
    for (&rate, rounds) in rates.iter().zip(&all) {
        let mut line = vec![format!("{rate:e}")];
        let mut medians = Vec::new();
        for (rival, name) in names().into_iter().enumerate() {
            let of = |what: usize| median(rounds.iter().map(|rivals| rivals[rival][what]));
            let [half, most, last, delivered] = [0, 1, 2, 3].map(of);
            line.push(format!(
                "{}, {}, {}; {:.1} %",
                short(half),
                short(most),
                short(last),
                100.0 * delivered
            ));
            medians.push((name, half, delivered));
            curves[rival].points.push((f64::from(rate), 100.0 * delivered));
            report.keep(format!("{rate:e}, {name}"), rounds.iter().flat_map(|rivals| rivals[rival]));
        }
        let (_, ours, _) = medians[0];
        for &(name, theirs, delivered) in &medians[1..] {
            if delivered > 0.99 && theirs > 0.0 && ours > 1.1 * theirs {
                report.lose(
                    format!(
                        "lateness at {rate:e}/s: half of the grants {} µs late or more, with {name} {}",
                        short(ours),
                        short(theirs)
                    ),
                    "",
                );
            }
        }
        table.push(line);
    }
    let head: Vec<&str> = ["rate a second"].into_iter().chain(names()).collect();
    report.table(&head, &table);
    report.picture(
        "delivered.svg",
        "What hungry tasks get of a rate",
        lines(
            "What 100 hungry tasks get of a rate, burst 1",
            "permits a second",
            "% of what is due",
            &curves,
        ),
    );
    report
}
