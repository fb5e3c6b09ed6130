//! What a call costs that does not wait, admitted or refused, by one thread and by two.

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Waker},
};

use tidegate::{PerCore, Quota, RateLimiter};

use crate::{
    Effort, Report,
    measure::{Row, run_rounds},
    plot::bars,
    rivals::{
        Rival, Setting, Tidegate, each_rival,
        floor::{Clock, Floor},
    },
};

/// What a call may cost, as a multiple of another one, and why it costs more where that is known.
const TARGETS: [(&str, &str, f64, &str); 4] = [
    ("tidegate, admitted", "governor, admitted", 1.05, ""),
    ("tidegate, refused", "governor, refused", 1.2, ""),
    ("tidegate, `acquire().await` with a permit available", "tidegate, admitted", 1.25, ""),
    (
        "tidegate, refused through `PerCore`",
        "tidegate, refused",
        1.3,
        "a call fails only after all slots were found empty",
    ),
];

const FLOOR: &str = "floor: clock read and CAS";

/// The calls of a rival that do not wait.
fn rival<R: Rival>(threads: usize) -> Vec<Row> {
    if !R::TRIES {
        return Vec::new();
    }
    // Two closures, so that each loop is compiled for the way in which its calls end.
    let name = |how| format!("{}, {how}", R::NAME);
    vec![
        Row::new(name("admitted"), threads, R::new(&Setting::ABUNDANT), |it: &R| it.try_acquire()),
        Row::new(name("refused"), threads, R::new(&Setting::EXHAUSTED), |it: &R| !it.try_acquire()),
    ]
}

/// The empty cells of a rival that has no such calls.
fn missing<R: Rival>() -> Option<Vec<String>> {
    (!R::TRIES)
        .then(|| vec![format!("{}: has no call that does not wait", R::NAME), String::new(), String::new()])
}

fn rows(threads: usize) -> Vec<Row> {
    let mut rows = vec![Row::new(FLOOR, threads, Floor::default(), Floor::call)];
    rows.extend(each_rival!(rival(threads)).into_iter().flatten());
    rows
}

/// What tidegate alone has, and the clock.
fn more_rows() -> Vec<Row> {
    let abundant = || Tidegate::new(&Setting::ABUNDANT).0;
    let exhausted = PerCore::new(&RateLimiter::new(Quota::per_day(1000).with_initial(0)));
    vec![
        Row::new("clock read alone", 1, Clock::default(), Clock::call),
        Row::new("tidegate, admitted, n = 3", 1, abundant(), |it| it.try_acquire_n(black_box(3)).is_ok()),
        Row::new("tidegate, refused through `PerCore`", 1, exhausted, |it| it.try_acquire().is_err()),
        Row::with_own(
            "tidegate, `acquire().await` with a permit available",
            1,
            abundant(),
            |_| Context::from_waker(Waker::noop()),
            |it, context| pin!(it.acquire()).poll(context).is_ready(),
        ),
        Row::new("tidegate, `RateLimiter::new` and drop", 1, Quota::per_minute(7), |quota| {
            black_box(RateLimiter::new(*quota)).waiting() == 0
        }),
    ]
}

/// Measures everything.
pub fn run(effort: Effort) -> Report {
    let explanation = format!(
        "The floor is one reading of the processor's time stamp counter and one uncontended compare-and-swap. Medians \
         with quartiles of {} rounds, in each of which every call is measured for {} ms, one after the other; the \
         ratios are taken round by round.",
        effort.rounds,
        effort.slice.as_millis()
    );
    let mut report = Report::new("Calls that do not wait", &explanation);
    let mut single = rows(1);
    single.extend(more_rows());
    for (title, unit, mut rows) in [
        ("One thread", "ns a call", single),
        ("Two threads on one limiter", "ns between calls of both", rows(2)),
    ] {
        run_rounds(&mut rows, effort.rounds, effort.slice);
        report.say(&format!("### {title}"));
        let line = |row: &Row| {
            vec![row.name.clone(), format!("{:.3}", row.ratio(&rows[0])), format!("{:.2}", row.time())]
        };
        let mut lines: Vec<Vec<String>> = rows.iter().map(line).collect();
        lines.extend(each_rival!(missing()).into_iter().flatten());
        report.table(&["call", "ratio to the floor", unit], &lines);
        compare(&mut report, title, &rows);
        for row in &rows {
            report.keep(format!("{title}: {}", row.name), row.samples.iter().copied());
        }
        if title == "One thread" {
            let drawn = rows.iter().filter(|row| row.ratio(&rows[0]).median < 4.0);
            let values: Vec<(&str, f64)> =
                drawn.map(|row| (row.name.as_str(), row.ratio(&rows[0]).median)).collect();
            report.picture(
                "calls.svg",
                "What a call costs on one thread",
                bars("What a call costs on one thread, as a multiple of the floor", &values),
            );
        }
    }
    report
}

/// Compares the calls with their targets: a table, and a loss for each that takes longer than the other call. Every other
/// rival that is faster is a loss, too.
fn compare(report: &mut Report, title: &str, rows: &[Row]) {
    let find = |name: &str| rows.iter().find(|row| row.name == name);
    let mut lines = Vec::new();
    for (ours, theirs, most, why) in TARGETS {
        let (Some(a), Some(b)) = (find(ours), find(theirs)) else { continue };
        let ratio = a.ratio(b);
        let verdict = if ratio.median <= most { "pass" } else { "**FAIL**" };
        lines.push(vec![ours.into(), theirs.into(), format!("{ratio:.2}"), most.to_string(), verdict.into()]);
        if ratio.median > most {
            report.lose(
                format!(
                    "{title}: \"{ours}\" takes {:.2} times as long as \"{theirs}\", at most {most}",
                    ratio.median
                ),
                why,
            );
        }
    }
    report.table(&["call", "to", "ratio", "at most", ""], &lines);
    for how in ["admitted", "refused"] {
        let Some(ours) = find(&format!("tidegate, {how}")) else { continue };
        for (name, why) in each_rival!(faster_because()) {
            let Some(theirs) = find(&format!("{name}, {how}")) else { continue };
            let ratio = ours.ratio(theirs).median;
            if ratio > 1.0 {
                report.lose(format!("{title}, {how}: {ratio:.2} times as long as {name}"), why);
            }
        }
    }
}

/// Why a call of this rival may be faster, where that is known.
fn faster_because<R: Rival>() -> (&'static str, &'static str) {
    (R::NAME, R::FASTER)
}
