//! What a limiter takes, and a waiter. The program `memory` counts, since a counting allocator makes all else slower.

use std::{
    alloc::System,
    env,
    future::Future,
    hint::black_box,
    mem,
    pin::Pin,
    process::Command,
    sync::Arc,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use stats_alloc::StatsAlloc;

use crate::{
    Effort, Report,
    rivals::{Rival, Setting, each_rival},
};

const EXPLANATION: &str = "Bytes, by a counting allocator: the limiter itself and what it has allocated when nobody waits yet, \
and what a waiter takes, which is its future and what is allocated for it while it waits. Means of 1000.";

const MANY: usize = 1000;

type Waiter = Pin<Box<dyn Future<Output = ()>>>;

/// Bytes that are allocated, when the timer thread that some rivals have has done what it was told.
fn in_use(allocator: &StatsAlloc<System>) -> f64 {
    let bytes = || {
        let stats = allocator.stats();
        stats.bytes_allocated as f64 - stats.bytes_deallocated as f64
    };
    let mut last = bytes();
    loop {
        thread::sleep(Duration::from_millis(20));
        let now = bytes();
        if now == last {
            return now;
        }
        last = now;
    }
}

/// Bytes of a limiter and of a waiter. Nothing is dropped: a timer thread would free some of it while others are counted.
fn bytes<R: Rival>(allocator: &StatsAlloc<System>) -> (&'static str, f64, f64) {
    let before = in_use(allocator);
    let mut limiters = Vec::with_capacity(MANY);
    limiters.extend((0..MANY).map(|_| R::new(&Setting::EXHAUSTED)));
    let limiter = (in_use(allocator) - before) / MANY as f64;
    // A list that nobody looks at is never allocated.
    mem::forget(black_box(limiters));

    let waited_for = Arc::new(R::new(&Setting::EXHAUSTED));
    let wait = || {
        let limiter = Arc::clone(&waited_for);
        let mut waiter: Waiter = Box::pin(async move { limiter.wait().await });
        let _ = waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        waiter
    };
    // The first ones may find a permit, or make a list that all share. The pointers in this list do not count.
    mem::forget([wait(), wait()]);
    let mut waiters = Vec::with_capacity(MANY);
    let before = in_use(allocator);
    waiters.extend((0..MANY).map(|_| wait()));
    let waiter = (in_use(allocator) - before) / MANY as f64;
    mem::forget(black_box(waiters));
    (R::NAME, limiter, waiter)
}

/// Counts, and prints a line for each rival; for a program whose allocator this is.
pub fn print(allocator: &StatsAlloc<System>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    for (name, limiter, waiter) in each_rival!(bytes(allocator)) {
        println!("{name}\t{limiter}\t{waiter}");
    }
}

/// Measures everything.
pub fn run(_: Effort) -> Report {
    let mut report = Report::new("Memory", EXPLANATION);
    let program = env::current_exe().expect("a program").with_file_name("memory");
    let output =
        Command::new(&program).output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(output.status.success(), "{}: {}", program.display(), output.status);
    let output = String::from_utf8(output.stdout).expect("text");
    let mut lines = Vec::new();
    let mut all = Vec::new();
    for line in output.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let numbers = [1, 2].map(|field| fields[field].parse::<f64>().expect("a number"));
        all.push((fields[0], numbers));
        lines.push(vec![fields[0].to_owned(), format!("{:.0}", numbers[0]), format!("{:.0}", numbers[1])]);
        report.keep(fields[0], numbers);
    }
    for (number, (what, why)) in [("limiter", ""), ("waiter", "")].into_iter().enumerate() {
        let ours = all[0].1[number];
        let less: Vec<String> = all
            .iter()
            .filter(|(_, bytes)| bytes[number] < ours)
            .map(|(name, bytes)| format!("{name} {:.0}", bytes[number]))
            .collect();
        if !less.is_empty() {
            report.lose(format!("a {what} takes {ours:.0} bytes; {}", less.join(", ")), why);
        }
    }
    report.table(&["", "bytes a limiter", "bytes a waiter"], &lines);
    report
}
