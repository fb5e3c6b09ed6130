//! One quota on every core: `PerCore` slots and `Local`s beside the word, governor, and a bare decrement.

use std::thread;

use tidegate::PerCore;

use crate::{
    Effort, Report,
    measure::{Row, run_rounds},
    rivals::{Governor, Rival, Setting, Tidegate, floor},
    stats::short,
};

/// What the table shows, in words.
const EXPLANATION: &str = "Millions of calls a second, all admitted, by one thread and by more, with how many times as many \
as governor makes before them; medians of rounds in which every call is measured once, one after the other. The ratios are \
taken round by round. The last row is how much faster many threads of this machine are than one when they share nothing: \
where that is not as many times, other work had a core, or the machine has no such many.";

fn shares_of(share: u64) -> PerCore {
    PerCore::builder(&abundant().0).share(share).build().expect("a share that is small enough")
}

fn abundant() -> Tidegate {
    Tidegate::new(&Setting::ABUNDANT)
}

/// Where they stand in the table.
const GOVERNOR: usize = 0;
const WORD: usize = 1;
const PER_CORE: usize = 2;
const BY_HAND: usize = 5;
const DECREMENT: usize = 6;
const PARTIES: usize = 8;

fn rows(threads: usize) -> [Row; PARTIES] {
    let slots = |name, slots: PerCore| Row::new(name, threads, slots, |it| it.try_acquire().is_ok());
    let by_hand = |name, slots: PerCore| {
        Row::with_own(name, threads, slots, |it| it.local(), |_, own| own.try_acquire().is_ok())
    };
    [
        Row::new("governor", threads, Governor::new(&Setting::ABUNDANT), Governor::try_acquire),
        Row::new("tidegate", threads, abundant(), Tidegate::try_acquire),
        slots("PerCore", PerCore::new(&abundant().0)),
        slots("PerCore, share 64", shares_of(64)),
        by_hand("Local, share 64", shares_of(64)),
        by_hand("Local, share 1024", shares_of(1024)),
        Row::new("bare thread-local decrement", threads, (), |()| floor::decrement()),
        Row::with_own(
            "arithmetic alone: what the machine gives",
            threads,
            (),
            |()| 1,
            |(), own| floor::arithmetic(own),
        ),
    ]
}

/// One, two, four and so on, and all cores.
fn threads() -> Vec<usize> {
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let mut threads: Vec<usize> =
        (0..).map(|power| 1 << power).take_while(|&n| n <= 2 || n < cores).collect();
    if cores > 2 {
        threads.push(cores);
    }
    threads
}

/// Measures everything.
pub fn run(effort: Effort) -> Report {
    let mut report = Report::new("One quota on every core", EXPLANATION);
    let threads = threads();
    let mut all: Vec<Row> = threads.iter().flat_map(|&threads| rows(threads)).collect();
    run_rounds(&mut all, effort.rounds, effort.slice);
    let by_threads: Vec<&[Row]> = all.chunks(PARTIES).collect();

    let mut head = vec!["call".to_owned()];
    head.extend(threads.iter().flat_map(|&n| [plural(n), "to governor".to_owned()]));
    head.push("two threads to one".to_owned());
    let lines: Vec<Vec<String>> = (0..PARTIES)
        .map(|party| {
            let mut line = vec![by_threads[0][party].name.clone()];
            for rows in &by_threads {
                line.push(format!("{:.0}", 1000.0 / rows[party].time().median));
                line.push(short(rows[GOVERNOR].ratio(&rows[party]).median));
            }
            line.push(short(by_threads[0][party].ratio(&by_threads[1][party]).median));
            line
        })
        .collect();
    report.table(&head, &lines);
    for (rows, &threads) in by_threads.iter().zip(&threads) {
        for row in *rows {
            report.keep(format!("{}: {}", plural(threads), row.name), row.samples.iter().copied());
        }
    }
    gates(&mut report, by_threads[0], by_threads[1]);
    report
}

fn plural(threads: usize) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

fn gates(report: &mut Report, one: &[Row], two: &[Row]) {
    let faster = |rows: &[Row], party: usize| rows[GOVERNOR].ratio(&rows[party]).median;
    let grows = |party: usize| one[party].ratio(&two[party]).median;
    let gates = [
        ("PerCore to governor, one thread", 3.3, faster(one, PER_CORE), ""),
        ("PerCore to governor, two threads", 9.0, faster(two, PER_CORE), ""),
        ("Local (1024) to governor, one thread", 10.0, faster(one, BY_HAND), ""),
        ("Local (1024) to governor, two threads", 20.0, faster(two, BY_HAND), ""),
        (
            "bare decrement to Local (1024), one thread",
            1.0 / 1.7,
            one[DECREMENT].ratio(&one[BY_HAND]).median,
            "",
        ),
        ("Local (1024), two threads to one", 1.8, grows(BY_HAND), ""),
        ("PerCore, two threads to one", 1.25, grows(PER_CORE), ""),
        (
            "the word to governor, two threads",
            1.4,
            faster(two, WORD),
            "both change one word by a compare-and-swap, and the two cores hand its cache line to and fro",
        ),
    ];
    let mut lines = Vec::new();
    for (what, at_least, is, why) in gates {
        let passed = is >= at_least;
        let verdict = if passed { "pass" } else { "**FAIL**" };
        lines.push(vec![what.into(), format!("{is:.2}"), format!("{at_least:.2}"), verdict.into()]);
        if !passed {
            report.lose(format!("throughput of {what}: {is:.2}; the target is {at_least:.2}"), why);
        }
    }
    report.table(&["throughput of", "is", "should be at least", ""], &lines);
}
