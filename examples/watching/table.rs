//! The table in the terminal, and the picture of it.

use std::time::Duration;

use tidegate::Stats;

use crate::svg::{self, Axis, Mark, Panel};

/// What has happened in one step.
#[derive(Debug)]
pub(crate) struct Row {
    at: Duration,
    /// Of the calls a second: served at once, served after a wait, and refused at once or later.
    at_once: f64,
    after_a_wait: f64,
    refused: f64,
    waiting: usize,
    available: i64,
    median: Duration,
    longest: Duration,
}

pub(crate) struct Table {
    before: Option<Stats>,
    at: Duration,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(stats: Option<Stats>) -> Self {
        println!("           calls a second                                        waits, ms");
        println!("seconds    at once   after a wait   refused   waiting   level    median   longest");
        Self { before: stats, at: Duration::ZERO, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, at: Duration, now: Option<Stats>) {
        let (Some(before), Some(now)) = (&self.before, now) else { return };
        let seconds = at.saturating_sub(self.at).as_secs_f64();
        let a_second = |count: fn(&Stats) -> u64| (count(&now) - count(before)) as f64 / seconds;
        let waits = now.waits.since(&before.waits);
        let row = Row {
            at,
            at_once: a_second(|stats| stats.admitted),
            after_a_wait: a_second(|stats| stats.granted),
            refused: a_second(|stats| stats.refused + stats.too_late),
            waiting: now.waiting,
            available: now.available,
            median: waits.quantile(0.5).unwrap_or_default(),
            longest: waits.longest(),
        };
        println!(
            "{:>7.1} {:>10.0} {:>14.0} {:>9.0} {:>9} {:>7} {:>9} {:>9}  {}",
            row.at.as_secs_f64(),
            row.at_once,
            row.after_a_wait,
            row.refused,
            row.waiting,
            row.available,
            row.median.as_millis(),
            row.longest.as_millis(),
            "#".repeat(row.waiting / 3),
        );
        self.rows.push(row);
        (self.before, self.at) = (Some(now), at);
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

pub(crate) fn picture(rows: &[Row], limit: u64) -> String {
    const GREEN: &str = "#2e8b57";
    const RED: &str = "#d1495b";
    const BLUE: &str = "#1f5fbf";
    const ORANGE: &str = "#e08a1e";
    let curve = |value: &dyn Fn(&Row) -> f64| -> Vec<(f64, f64)> {
        rows.iter().map(|row| (row.at.as_secs_f64(), value(row))).collect()
    };
    let highest = |points: &[(f64, f64)]| points.iter().map(|point| point.1).fold(0.0, f64::max);
    let seconds = rows.last().map_or(0.0, |row| row.at.as_secs_f64());
    let x = Axis { label: "seconds", most: seconds };

    let served = curve(&|row| row.at_once + row.after_a_wait);
    let refused = curve(&|row| row.refused);
    let most = 1.15 * highest(&served).max(highest(&refused)).max(limit as f64);
    let mut calls = Panel::new("Calls a second", &x, &Axis { label: "calls a second", most });
    calls.explain(Mark::Line, GREEN, "served");
    calls.explain(Mark::Line, RED, "refused");
    calls.explain(Mark::Dashes, BLUE, "the limit");
    calls.level(limit as f64, BLUE);
    calls.curve(&served, GREEN);
    calls.curve(&refused, RED);

    let (waiting, longest) =
        (curve(&|row| row.waiting as f64), curve(&|row| row.longest.as_secs_f64() * 1000.0));
    let most = 1.15 * highest(&waiting).max(highest(&longest));
    let mut waits = Panel::new("The queue", &x, &Axis { label: "waiters, milliseconds", most });
    waits.explain(Mark::Line, ORANGE, "callers that wait");
    waits.explain(Mark::Line, BLUE, "longest wait, ms");
    waits.curve(&waiting, ORANGE);
    waits.curve(&longest, BLUE);
    svg::page(&[calls, waits])
}
