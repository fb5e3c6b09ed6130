//! A limiter for each of a million keys: tidegate and governor.

use std::{
    fmt::Write,
    fs,
    hint::black_box,
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{DefaultKeyedRateLimiter, RateLimiter as Governor};
use tidegate::{Keyed, Quota};

use crate::{
    Report,
    calls::Call,
    ratios::{Effort, Row, alone, by_two, ratio, row, run_rounds},
    stats::spread,
};

/// What the section is about.
pub const EXPLANATION: &str = "A table of a million keys of 8 bytes, all admitted, with keys that are drawn uniformly or by \
    Zipf's law (exponent 1). Both use the standard library's hasher. The ratios are taken round by round.";

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

fn ours() -> Arc<Keyed<u64>> {
    static TABLE: OnceLock<Arc<Keyed<u64>>> = OnceLock::new();
    Arc::clone(TABLE.get_or_init(|| {
        let quota = Quota::per_second(1_000_000).with_burst(1_000_000_000);
        let keyed = Keyed::builder(quota).max_keys(2 * KEYS as usize).build().expect("a quota");
        (0..KEYS).for_each(|key| keyed.try_acquire_n(&key, 1_000_000).expect("a permit"));
        Arc::new(keyed)
    }))
}

fn theirs() -> Arc<DefaultKeyedRateLimiter<u64>> {
    static TABLE: OnceLock<Arc<DefaultKeyedRateLimiter<u64>>> = OnceLock::new();
    Arc::clone(TABLE.get_or_init(|| {
        let keyed = Governor::keyed(governor_quota());
        (0..KEYS).for_each(|key| keyed.check_key(&key).expect("a permit"));
        Arc::new(keyed)
    }))
}

fn governor_quota() -> governor::Quota {
    governor::Quota::per_second(NonZeroU32::new(1_000_000_000).expect("not zero"))
        .allow_burst(NonZeroU32::MAX)
}

/// A place in the list of draws: another one for each thread.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(DRAWS / 7, Ordering::Relaxed)
}

macro_rules! parties {
    ($($name:ident($table:ty, $make:expr, $keys:expr, $title:literal) => $call:expr;)*) => {$(
        struct $name($table, &'static [u64]);

        impl Default for $name {
            fn default() -> Self {
                Self($make, $keys)
            }
        }

        impl Call for $name {
            type Own = usize;

            fn name(&self) -> &'static str {
                $title
            }

            fn own(&self) -> usize {
                place()
            }

            #[inline]
            fn call(&self, place: &mut usize) -> bool {
                *place += 1;
                let call: fn(&$table, &u64) -> bool = $call;
                call(&self.0, black_box(&self.1[*place % DRAWS]))
            }
        }
    )*};
}
parties! {
    OursUniform(Arc<Keyed<u64>>, ours(), uniform(), "tidegate, uniform keys") => |table, key| table.try_acquire(key).is_ok();
    OursZipf(Arc<Keyed<u64>>, ours(), zipf(), "tidegate, Zipf keys") => |table, key| table.try_acquire(key).is_ok();
    TheirsUniform(Arc<DefaultKeyedRateLimiter<u64>>, theirs(), uniform(), "governor, uniform keys")
        => |table, key| table.check_key(key).is_ok();
    TheirsZipf(Arc<DefaultKeyedRateLimiter<u64>>, theirs(), zipf(), "governor, Zipf keys")
        => |table, key| table.check_key(key).is_ok();
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
fn filled(call: impl Fn(u64)) -> (f64, f64, f64) {
    let (before, start) = (resident(), Instant::now());
    let mut longest = Duration::ZERO;
    let mut last = start;
    for key in 0..KEYS {
        call(key);
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
    }
    let ns = start.elapsed().as_nanos() as f64 / KEYS as f64;
    ((resident() - before) / KEYS as f64, ns, longest.as_nanos() as f64 / 1e3)
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
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for key in 1_000_000_u64.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let _ = attacked.try_acquire(&key);
                }
            });
            std::thread::sleep(slice);
            let beside = known(2 * calls);
            over.store(true, Ordering::Relaxed);
            beside
        })
    };
    beside(&keyed) / beside(&other)
}

fn line(report: &mut Report, row: &Row, to: &Row, least: f64) {
    let speed = ratio(to, row);
    let verdict = if speed.median >= least { "pass" } else { "fail" };
    let ns = spread(row.samples.iter().copied());
    writeln!(
        report.tables,
        "| {} | {:.0} ({:.0}–{:.0}) | {:.2} ({:.2}–{:.2}) | {least} | {verdict} |",
        row.name, ns.median, ns.low, ns.high, speed.median, speed.low, speed.high
    )
    .expect("a string");
    if speed.median < least.max(1.0) {
        report.losses.push(format!("{}: {:.2} of the speed of \"{}\"", row.name, speed.median, to.name));
    }
}

/// Measures everything.
pub fn run(effort: Effort) -> Report {
    let mut report = Report::default();
    report
        .tables
        .push_str("| table | bytes a new key | ns a new key | longest call, µs |\n|---|---:|---:|---:|\n");
    let quota = Quota::per_second(1).with_burst(1_000);
    let table = Keyed::<u64>::builder(quota).max_keys(2 * KEYS as usize).build().expect("a quota");
    let ours = filled(|key| assert!(table.try_acquire(&key).is_ok()));
    let table = Governor::keyed(governor_quota());
    let theirs = filled(|key| assert!(table.check_key(&key).is_ok()));
    for (name, (bytes, ns, longest)) in [("tidegate", ours), ("governor", theirs)] {
        writeln!(report.tables, "| {name} | {bytes:.0} | {ns:.0} | {longest:.0} |").expect("a string");
    }
    drop(table);
    for (title, how) in [("One thread", false), ("Two threads", true)] {
        let rows: &mut [Row] = &mut if how {
            [
                row::<OursUniform>(by_two),
                row::<TheirsUniform>(by_two),
                row::<OursZipf>(by_two),
                row::<TheirsZipf>(by_two),
            ]
        } else {
            [
                row::<OursUniform>(alone),
                row::<TheirsUniform>(alone),
                row::<OursZipf>(alone),
                row::<TheirsZipf>(alone),
            ]
        };
        run_rounds(rows, Effort { rounds: effort.rounds.min(30), ..effort });
        writeln!(
            report.tables,
            "\n| {title} | ns a call (quartiles) | speed to governor (quartiles) | at least | |"
        )
        .expect("a string");
        report.tables.push_str("|---|---:|---:|---:|---|\n");
        line(&mut report, &rows[0], &rows[1], 1.0);
        line(&mut report, &rows[2], &rows[3], if how { 1.2 } else { 1.0 });
    }
    let slower = spread((0..5).map(|_| attacked(Duration::from_millis(200))));
    let verdict = if slower.median <= 2.0 { "pass" } else { "fail" };
    writeln!(
        report.tables,
        "\nBeside a thread that sends nothing but new keys to a full table, calls for known keys take {:.2} \
         ({:.2}–{:.2}) times as long as beside a thread that does the same to another table, at most 2: {verdict}.\n",
        slower.median, slower.low, slower.high
    )
    .expect("a string");
    if slower.median > 2.0 {
        report.losses.push(format!("keys under attack: a call takes {:.2} times as long", slower.median));
    }
    report
}
