//! A limiter for each of a million keys: tidegate and governor. No other rival has one.

use std::{
    fs,
    hint::black_box,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tidegate::{Keyed, Quota};

use crate::{
    Effort, Report,
    measure::{Row, run_rounds},
    rivals::{GovernorKeys, Table, TidegateKeys},
    stats::spread,
};

/// What the section is about.
const EXPLANATION: &str = "A table of a million keys of 8 bytes, all admitted, with keys that are drawn uniformly or by \
Zipf's law (exponent 1). Both rivals use the standard library's hasher; the others have no limiter for each key. The ratios \
are taken round by round.";

const KEYS: u64 = 1_000_000;
const DRAWS: usize = 1 << 20;

fn random(x: &mut u64) -> u64 {
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    *x
}

/// Keys in the order in which they are called, drawn before.
fn uniform() -> &'static [u64] {
    static DRAWN: OnceLock<Vec<u64>> = OnceLock::new();
    DRAWN.get_or_init(|| {
        let mut x = 0x9e37_79b9_7f4a_7c15;
        (0..DRAWS).map(|_| random(&mut x) % KEYS).collect()
    })
}

fn zipf() -> &'static [u64] {
    static DRAWN: OnceLock<Vec<u64>> = OnceLock::new();
    DRAWN.get_or_init(|| {
        let mut sums: Vec<f64> = (1..=KEYS).map(|rank| 1.0 / rank as f64).collect();
        for i in 1..sums.len() {
            sums[i] += sums[i - 1];
        }
        let all = sums[sums.len() - 1];
        let mut x = 0x9e37_79b9_7f4a_7c15;
        let draw = |x: &mut u64| {
            let at = random(x) as f64 / u64::MAX as f64 * all;
            let rank = sums.partition_point(|&sum| sum < at) as u64;
            // Spread over the table.
            rank.wrapping_mul(0x9e37_79b9) % KEYS
        };
        (0..DRAWS).map(|_| draw(&mut x)).collect()
    })
}

/// A place in the list of draws: another one for each thread.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(DRAWS / 7, Ordering::Relaxed)
}

/// A table that knows all keys.
fn full<T: Table>() -> Arc<T> {
    let table = T::new(2 * KEYS as usize);
    (0..KEYS).for_each(|key| assert!(table.first(key), "{}: no permit for a new key", T::NAME));
    Arc::new(table)
}

/// Calls for known keys, drawn uniformly and by Zipf's law.
fn hits<T: Table>(table: &Arc<T>, threads: usize) -> [Row; 2] {
    [("uniform", uniform as fn() -> _), ("Zipf", zipf)].map(|(law, draws)| {
        Row::with_own(
            format!("{}, {law} keys", T::NAME),
            threads,
            (Arc::clone(table), draws()),
            |_| place(),
            |(table, draws), place| {
                *place += 1;
                table.try_acquire(black_box(draws[*place % DRAWS]))
            },
        )
    })
}

/// The resident bytes of the process.
fn resident() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok())
        .map_or(f64::NAN, |pages| pages * 4096.0)
}

/// Bytes and nanoseconds for each of a million new keys, and the longest call in microseconds.
fn filled<T: Table>() -> (&'static str, [f64; 3]) {
    let table = T::new(2 * KEYS as usize);
    let (before, start) = (resident(), Instant::now());
    let mut longest = Duration::ZERO;
    let mut last = start;
    for key in 0..KEYS {
        assert!(table.first(key), "{}: no permit for a new key", T::NAME);
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
    }
    let ns = start.elapsed().as_nanos() as f64 / KEYS as f64;
    (T::NAME, [(resident() - before) / KEYS as f64, ns, longest.as_nanos() as f64 / 1e3])
}

/// Nanoseconds of a call for a known key while an attacker sends keys that are always new, to the same while the attacker
/// is busy with another table. So it does not count that two threads of a machine may be slower than one.
fn attacked(slice: Duration) -> f64 {
    let keyed = Keyed::<u64>::builder(Quota::per_second(1_000_000).with_burst(1_000_000_000));
    let keyed = keyed.max_keys(100_000).build().expect("a quota");
    let known = |calls: u64| {
        let start = Instant::now();
        for i in 0..calls {
            black_box(keyed.try_acquire_n(&(i % 100), 1_000_000).is_ok());
        }
        start.elapsed().as_nanos() as f64 / calls as f64
    };
    let other =
        Keyed::<u64>::builder(Quota::per_second(1_000_000)).max_keys(100_000).build().expect("a quota");
    let calls = slice.as_nanos() as u64 / 50;
    known(calls);
    let beside = |attacked: &Keyed<u64>| {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for key in 1_000_000_u64.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let _ = attacked.try_acquire(&key);
                }
            });
            thread::sleep(slice);
            let beside = known(2 * calls);
            over.store(true, Ordering::Relaxed);
            beside
        })
    };
    beside(&keyed) / beside(&other)
}

/// What the speed has to be of governor's, and the threads and the law of the keys.
const TARGETS: [(usize, usize, f64); 4] = [(1, 0, 1.0), (1, 1, 1.0), (2, 0, 1.0), (2, 1, 1.2)];

/// Measures everything.
pub fn run(effort: Effort) -> Report {
    let mut report = Report::new("A limiter for each key", EXPLANATION);
    let new = [filled::<TidegateKeys>(), filled::<GovernorKeys>()];
    let line = |(name, new): &(&str, [f64; 3])| {
        [(*name).to_owned()].into_iter().chain(new.iter().map(|number| format!("{number:.0}"))).collect()
    };
    let lines = new.iter().map(line).collect::<Vec<Vec<String>>>();
    report.table(&["table", "bytes a new key", "ns a new key", "longest call, µs"], &lines);
    for (name, numbers) in new {
        report.keep(format!("{name}: bytes, ns, and longest µs for a new key"), numbers);
    }
    for (number, what) in ["more memory a key", "more time for a new key"].into_iter().enumerate() {
        let ratio = new[0].1[number] / new[1].1[number];
        if ratio > 1.05 {
            report.lose(format!("keys: {ratio:.2} times {what} than governor"), WHY_KEYS[number]);
        }
    }
    known_keys(&mut report, effort);

    let slower: Vec<f64> = (0..5).map(|_| attacked(10 * effort.slice)).collect();
    report
        .keep("known keys beside an attacker of the table, to beside one of another", slower.iter().copied());
    let slower = spread(slower);
    let verdict = if slower.median <= 2.0 { "pass" } else { "**FAIL**" };
    report.say(&format!(
        "Beside a thread that sends nothing but new keys to a full table of tidegate, calls for known keys take {slower} \
         times as long as beside a thread that does the same to another table, at most 2: {verdict}."
    ));
    if slower.median > 2.0 {
        report.lose(format!("keys under attack: a call takes {:.2} times as long", slower.median), "");
    }
    report
}

/// Why a key takes more memory, and a new key more time.
const WHY_KEYS: [&str; 2] =
    ["", "its table has a bound, so a new key looks for one to make room, and governor's grows without end"];

fn known_keys(report: &mut Report, effort: Effort) {
    let (ours, theirs) = (full::<TidegateKeys>(), full::<GovernorKeys>());
    let mut lines = Vec::new();
    for threads in [1, 2] {
        let mut rows: Vec<Row> = hits(&ours, threads).into_iter().chain(hits(&theirs, threads)).collect();
        run_rounds(&mut rows, effort.rounds.min(30), effort.slice);
        for &(_, law, least) in TARGETS.iter().filter(|target| target.0 == threads) {
            let (own, other) = (&rows[law], &rows[2 + law]);
            let speed = other.ratio(own);
            let verdict = if speed.median >= least { "pass" } else { "**FAIL**" };
            lines.push(vec![
                own.name.clone(),
                threads.to_string(),
                format!("{speed:.2}"),
                least.to_string(),
                verdict.to_owned(),
                format!("{:.0}", own.time()),
                format!("{:.0}", other.time()),
            ]);
            if speed.median < least.max(1.0) {
                let name = &own.name;
                report.lose(
                    format!("{name}, threads: {threads}: {:.2} of the speed of governor", speed.median),
                    "",
                );
            }
        }
        for row in rows {
            report.keep(format!("{}, threads: {threads}", row.name), row.samples);
        }
    }
    report.table(
        &["known keys", "threads", "speed to governor", "at least", "", "ns a call", "ns, governor"],
        &lines,
    );
}
