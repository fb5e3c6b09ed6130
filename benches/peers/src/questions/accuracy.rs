//! Is the rate that is delivered the rate that was set? In virtual time, so that no timer and no other work has a part in it.

use std::time::Duration;

use crate::{
    Effort, Report,
    rivals::{Rival, Setting, Steps, each_rival, names},
};

const EXPLANATION: &str = "A hungry caller in virtual time: what it gets beyond what is due, from an empty bucket. The \
caller comes once for 500 permits, and takes all it can get; in the rows with \"often\" it comes 7000 times for each \
permit. It is exact where the count is exactly what whole permits are due. A caller of tower's `RateLimit`, of the \
semaphore and of async-speed-limit waits, so it cannot come often. An empty cell: the rival cannot do that, or its clock \
cannot be driven so.";

const SECOND: Duration = Duration::from_secs(1);

/// Permits, the time in which they come, and whether the caller comes often.
const CELLS: [(&str, u64, Duration, bool); 11] = [
    ("1 an hour", 1, Duration::from_secs(3600), false),
    ("1 an hour, often", 1, Duration::from_secs(3600), true),
    ("7 a minute", 7, Duration::from_secs(60), false),
    ("7 a minute, often", 7, Duration::from_secs(60), true),
    ("3 a second", 3, SECOND, false),
    ("1e3 a second", 1_000, SECOND, false),
    ("999983 a second", 999_983, SECOND, false),
    ("3e6 a second", 3_000_000, SECOND, false),
    ("1e8 a second", 100_000_000, SECOND, false),
    ("7e8 a second", 700_000_000, SECOND, false),
    ("1e9 a second", 1_000_000_000, SECOND, false),
];

/// How many permits the caller gets: the time for so many, or what comes in [`LEAST`].
const PERMITS: u64 = 200_000;
const LEAST: Duration = Duration::from_millis(20);
const STEPS: u32 = 400;

/// A deviation that is worth a mark.
const MARKED: f64 = 1e-5;

fn plan(permits: u64, per: Duration, often: bool) -> (Setting, Steps) {
    let mut setting = Setting { permits, per, burst: 1, full: false };
    let steps = if often {
        Steps { step: setting.time_of(1) / 7000, count: 3_500_000, often }
    } else {
        Steps { step: setting.time_of(PERMITS).max(LEAST) / STEPS, count: STEPS, often }
    };
    // Holds what comes in two steps.
    setting.burst = (2 * setting.due(steps.step)).max(1);
    (setting, steps)
}

fn driven<R: Rival>(setting: &Setting, steps: Steps) -> Option<f64> {
    R::driven(setting, steps)
}

fn inexact<R: Rival>() -> &'static str {
    R::INEXACT
}

fn cell(delivered: Option<f64>) -> String {
    match delivered.map(|share| share - 1.0) {
        None => String::new(),
        Some(0.0) => "exact".to_owned(),
        Some(off) if off.abs() < MARKED => "± 0".to_owned(),
        Some(off) => format!("**{:+.3} %**", 100.0 * off),
    }
}

/// Measures everything.
pub fn run(_: Effort) -> Report {
    let mut report = Report::new("Accuracy", EXPLANATION);
    let mut wrong = vec![false; names().len()];
    let mut lines = Vec::new();
    for (name, permits, per, often) in CELLS {
        let (setting, steps) = plan(permits, per, often);
        let results = each_rival!(driven(&setting, steps));
        for (wrong, share) in wrong.iter_mut().zip(results) {
            *wrong |= share.is_some_and(|share| (share - 1.0).abs() >= MARKED);
        }
        if results[0].is_some_and(|share| (share - 1.0).abs() >= MARKED) {
            report.lose(format!("accuracy at {name}: {}", cell(results[0])), "");
        }
        report.keep(name, results.map(|share| share.unwrap_or(f64::NAN)));
        lines.push([name.to_owned()].into_iter().chain(results.map(cell)).collect::<Vec<_>>());
    }
    let head: Vec<&str> = ["rate"].into_iter().chain(names()).collect();
    report.table(&head, &lines);
    report.say(&format!("\"± 0\" is less than {MARKED:e} beside it. Where the deviation is more:"));
    let notes = each_rival!(inexact());
    let marked = names().into_iter().zip(notes).zip(wrong).filter(|(_, wrong)| *wrong);
    let list: Vec<String> = marked.map(|((name, note), _)| format!("- {name}: {note}.")).collect();
    report.say(&list.join("\n"));
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rivals::{Governor, Tidegate};

    #[test]
    fn a_rival_that_rounds_its_period_is_found_out() {
        let (setting, steps) = plan(3_000_000, SECOND, false);
        assert_eq!(driven::<Tidegate>(&setting, steps), Some(1.0));
        // 333 ns for a third of a microsecond.
        let off = driven::<Governor>(&setting, steps).expect("its clock can be driven") - 1.0;
        assert!((0.000_99..0.001_02).contains(&off), "{off}");
    }

    #[test]
    fn a_permit_that_is_missing_shows() {
        assert_eq!(cell(Some(1.0)), "exact");
        assert_eq!(cell(Some(199_999.0 / 200_000.0)), "± 0");
        assert_eq!(cell(Some(199_990.0 / 200_000.0)), "**-0.005 %**");
        assert_eq!(cell(None), "");
    }

    #[test]
    fn what_is_due_is_counted_in_whole_permits() {
        let (setting, steps) = plan(7, Duration::from_secs(60), false);
        // 200,000 permits take 1,714,285.71 s, and the step is a 400th of that less a part of a nanosecond.
        assert_eq!(setting.due(steps.time()), 199_999);
        assert_eq!(setting.burst, 998);
    }
}
