//! One quota on every core: `PerCore` slots and `Local`s beside the word, governor, and a bare decrement.

use std::{cell::Cell, fmt::Write, thread};

use tidegate::{Local, PerCore, Quota, RateLimiter};

use crate::{
    Report,
    calls::{Admit, Call, GovernorAdmit},
    ratios::{Effort, Row, alone, by_many, by_two, ratio, row, run_rounds},
    stats::median,
};

/// What the tables show, in words.
pub const EXPLANATION: &str = "Millions of calls a second, all admitted, by one thread and by two; medians of \
rounds in which every call is measured once, one after the other. The ratios are taken round by round. The \
last row is how much faster two threads of this machine are than one when they share nothing: where that is not \
two, other work had a core, or the machine has no two. With more cores, the curve to all of them follows.";

/// A quota that nothing exhausts.
fn abundant() -> RateLimiter {
    RateLimiter::new(Quota::per_second(1_000_000_000).with_burst(1_000_000_000_000))
}

fn shares_of(share: u64) -> PerCore {
    PerCore::builder(&abundant()).share(share).build().expect("a share that is small enough")
}

macro_rules! through_slots {
    ($(#[$doc:meta] $name:ident, $title:literal, $make:expr;)*) => {$(
        #[$doc]
        pub struct $name(PerCore);

        impl Default for $name {
            fn default() -> Self {
                Self($make)
            }
        }

        impl Call for $name {
            type Own = ();

            fn name(&self) -> &'static str {
                $title
            }

            fn own(&self) {}

            #[inline]
            fn call(&self, (): &mut ()) -> bool {
                self.0.try_acquire().is_ok()
            }
        }
    )*};
}

through_slots! {
    /// Slots, with shares that follow the demand.
    Adaptive, "PerCore", PerCore::new(&abundant());
    /// Slots, with shares of 64.
    Slots, "PerCore, share 64", shares_of(64);
}

macro_rules! by_hand {
    ($(#[$doc:meta] $name:ident, $title:literal, $make:expr;)*) => {$(
        #[$doc]
        pub struct $name(PerCore);

        impl Default for $name {
            fn default() -> Self {
                Self($make)
            }
        }

        impl Call for $name {
            type Own = Local;

            fn name(&self) -> &'static str {
                $title
            }

            fn own(&self) -> Local {
                self.0.local()
            }

            #[inline]
            fn call(&self, own: &mut Local) -> bool {
                own.try_acquire().is_ok()
            }
        }
    )*};
}

by_hand! {
    /// A `Local` for each thread, with shares of 64.
    SmallHand, "Local, share 64", shares_of(64);
    /// A `Local` for each thread, with shares of 1024.
    ByHand, "Local, share 1024", shares_of(1024);
}

/// A decrement of a number of the thread's own.
#[derive(Default)]
pub struct Decrement;

thread_local!(static LEFT: Cell<u64> = const { Cell::new(u64::MAX) });

impl Call for Decrement {
    type Own = ();

    fn name(&self) -> &'static str {
        "bare thread-local decrement"
    }

    fn own(&self) {}

    #[inline]
    fn call(&self, (): &mut ()) -> bool {
        LEFT.with(|left| {
            let there = left.get();
            left.set(there.wrapping_sub(1));
            there > 0
        })
    }
}

/// No call at all: arithmetic in registers, as much of it as the machine has cores for.
#[derive(Default)]
pub struct Arithmetic;

impl Call for Arithmetic {
    type Own = u64;

    fn name(&self) -> &'static str {
        "arithmetic alone: what the machine gives"
    }

    fn own(&self) -> u64 {
        1
    }

    #[inline]
    fn call(&self, own: &mut u64) -> bool {
        *own = own.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        true
    }
}

/// Where they stand in the tables.
const GOVERNOR: usize = 0;
const WORD: usize = 1;
const PER_CORE: usize = 2;
const BY_HAND: usize = 5;
const DECREMENT: usize = 6;

fn rows(two: bool) -> [Row; 8] {
    macro_rules! rows {
        ($($party:ty),*) => { [$(row::<$party>(if two { by_two } else { alone })),*] };
    }
    rows![GovernorAdmit, Admit, Adaptive, Slots, SmallHand, ByHand, Decrement, Arithmetic]
}

/// Something that has to hold.
struct Gate {
    what: &'static str,
    at_least: f64,
    is: f64,
}

/// Measures everything.
pub fn run(effort: Effort) -> Report {
    let mut all = [rows(false), rows(true)];
    for rows in &mut all {
        run_rounds(rows, Effort { rounds: 0, ..effort });
    }
    for _ in 0..effort.rounds {
        for rows in &mut all {
            for row in rows {
                row.sample(effort.slice);
            }
        }
    }
    let [one, two] = all;
    let mut report = Report::default();
    table(&mut report.tables, &one, &two);
    let faster = |rows: &[Row; 8], party: usize| ratio(&rows[GOVERNOR], &rows[party]).median;
    let grows = |party: usize| ratio(&one[party], &two[party]).median;
    let gates = [
        Gate { what: "PerCore to governor, one thread", at_least: 3.3, is: faster(&one, PER_CORE) },
        Gate { what: "PerCore to governor, two threads", at_least: 9.0, is: faster(&two, PER_CORE) },
        Gate { what: "Local (1024) to governor, one thread", at_least: 10.0, is: faster(&one, BY_HAND) },
        Gate { what: "Local (1024) to governor, two threads", at_least: 20.0, is: faster(&two, BY_HAND) },
        Gate {
            what: "bare decrement to Local (1024), one thread",
            at_least: 1.0 / 1.7,
            is: ratio(&one[DECREMENT], &one[BY_HAND]).median,
        },
        Gate { what: "Local (1024), two threads to one", at_least: 1.8, is: grows(BY_HAND) },
        Gate { what: "PerCore, two threads to one", at_least: 1.25, is: grows(PER_CORE) },
        Gate { what: "the word to governor, two threads", at_least: 1.4, is: faster(&two, WORD) },
    ];
    let out = &mut report.tables;
    writeln!(out, "| throughput of | is | should be at least | |\n|---|---:|---:|---|").unwrap();
    for Gate { what, at_least, is } in gates {
        let passed = is >= at_least;
        let verdict = if passed { "pass" } else { "**FAIL**" };
        writeln!(out, "| {what} | {is:.2} | {at_least:.2} | {verdict} |").unwrap();
        if !passed {
            report.losses.push(format!("throughput of {what}: {is:.2}; the target is {at_least:.2}"));
        }
    }
    report.tables.push('\n');
    curve(&mut report.tables, effort);
    report
}

fn millions(ns: f64) -> f64 {
    1000.0 / ns
}

fn table(out: &mut String, one: &[Row], two: &[Row]) {
    writeln!(out, "| call | one thread | to governor | two threads | to governor | two to one |").unwrap();
    writeln!(out, "|---|---:|---:|---:|---:|---:|").unwrap();
    for (alone, both) in one.iter().zip(two) {
        writeln!(
            out,
            "| {} | {:.0} | {:.2} | {:.0} | {:.2} | {:.2} |",
            alone.name,
            millions(median(alone.samples.iter().copied())),
            ratio(&one[GOVERNOR], alone).median,
            millions(median(both.samples.iter().copied())),
            ratio(&two[GOVERNOR], both).median,
            ratio(alone, both).median,
        )
        .unwrap();
    }
    out.push('\n');
}

/// The curve to all cores, where there are more than two.
fn curve(out: &mut String, effort: Effort) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores <= 2 {
        return;
    }
    let mut threads: Vec<usize> = (0..).map(|power| 1 << power).take_while(|&n| n < cores).collect();
    threads.push(cores);
    write!(out, "| millions of calls a second, by threads |").unwrap();
    for n in &threads {
        write!(out, " {n} |").unwrap();
    }
    writeln!(out, "\n|---|{}", "---:|".repeat(threads.len())).unwrap();
    line::<GovernorAdmit>(out, &threads, effort);
    line::<Admit>(out, &threads, effort);
    line::<Adaptive>(out, &threads, effort);
    line::<Slots>(out, &threads, effort);
    line::<ByHand>(out, &threads, effort);
    line::<Decrement>(out, &threads, effort);
    line::<Arithmetic>(out, &threads, effort);
    out.push('\n');
}

fn line<T: Call + Default>(out: &mut String, threads: &[usize], effort: Effort) {
    let party = T::default();
    write!(out, "| {} |", party.name()).unwrap();
    for &threads in threads {
        let samples = (0..effort.rounds / 4).map(|_| by_many(&party, threads, effort.slice));
        write!(out, " {:.0} |", millions(median(samples))).unwrap();
    }
    out.push('\n');
}
