//! The picture: what the server admitted and refused, the sends within its window, and the waits of the callers.

use std::{collections::VecDeque, time::Duration};

use crate::{
    report::{Kind, LEARNING, Verdict},
    server::Seen,
    svg::{self, Axis, Mark, Panel},
};

const GREEN: &str = "#2e8b57";
const RED: &str = "#d1495b";
const BLUE: &str = "#1f5fbf";
const ORANGE: &str = "#e08a1e";

/// The points of a curve, and the bars of a chart.
const POINTS: f64 = 500.0;
const BARS: f64 = 40.0;

pub(crate) fn draw(phases: &[Verdict]) -> String {
    let mut panels = Vec::new();
    for phase in phases {
        match phase.kind {
            Kind::Unlimited => panels.push(answers(phase)),
            Kind::Limited => panels.extend([window(phase), waits(phase)]),
            Kind::Learned => panels.push(learned(phase)),
        }
    }
    svg::page(&panels)
}

/// Admitted and refused requests, in stacked bars of a slice of time each.
fn answers(phase: &Verdict) -> Panel {
    let span = phase.span.as_secs_f64();
    let slice = svg::step(span, BARS);
    let mut counts = vec![(0_u32, 0_u32); (span / slice) as usize + 1];
    for seen in &phase.seen {
        let last = counts.len() - 1;
        let (admitted, refused) = &mut counts[((seen.at.as_secs_f64() / slice) as usize).min(last)];
        *if seen.accepted { admitted } else { refused } += 1;
    }
    let most = counts.iter().map(|(admitted, refused)| admitted + refused).max().unwrap_or(0);
    let refused = phase.seen.iter().filter(|seen| !seen.accepted).count();
    let mut panel = Panel::new(
        &format!("Without a limiter: {refused} of {} requests refused", phase.seen.len()),
        &Axis { label: "seconds", most: counts.len() as f64 * slice },
        &Axis { label: &format!("requests in {:?}", rounded(slice)), most: 1.05 * f64::from(most) },
    );
    panel.explain(Mark::Box, GREEN, "admitted");
    panel.explain(Mark::Box, RED, "refused with 429");
    for (i, &(admitted, refused)) in counts.iter().enumerate() {
        let (from, to) = (i as f64 * slice, (i as f64 + 0.9) * slice);
        let (admitted, both) = (f64::from(admitted), f64::from(admitted + refused));
        panel.area((from, 0.0), (to, admitted), GREEN);
        panel.area((from, admitted), (to, both), RED);
    }
    panel
}

/// The requests within the last window against the allowance.
fn window(phase: &Verdict) -> Panel {
    let span = phase.span.as_secs_f64();
    let within = within(&phase.seen, phase.window, span);
    let limit = phase.limit as f64;
    let most = highest(&within);
    let mut panel = Panel::new(
        &format!("With tidegate: at most {most} requests in any {:?}", phase.window),
        &Axis { label: "seconds", most: span },
        &Axis { label: &format!("requests in the last {:?}", phase.window), most: 1.12 * most.max(limit) },
    );
    panel.explain(Mark::Line, GREEN, "sent");
    panel.explain(Mark::Dashes, BLUE, &format!("the allowance: {limit}"));
    panel.curve(&within, GREEN);
    panel.level(limit, BLUE);
    refusals(&mut panel, phase);
    panel
}

/// How long the callers waited.
fn waits(phase: &Verdict) -> Panel {
    let longest = phase.waits.last().map_or(0.001, |wait| wait.as_secs_f64().max(0.001));
    let width = svg::step(longest, BARS);
    let mut counts = vec![0_u32; (longest / width) as usize + 1];
    for wait in &phase.waits {
        let last = counts.len() - 1;
        counts[((wait.as_secs_f64() / width) as usize).min(last)] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    let mut panel = Panel::new(
        "With tidegate: how long the callers waited",
        &Axis { label: "milliseconds", most: 1_000.0 * counts.len() as f64 * width },
        &Axis { label: &format!("callers in {:?}", rounded(width)), most: 1.05 * f64::from(most) },
    );
    let text = format!(
        "half waited up to {:.1?}, 99 % up to {:.1?}, the longest {:.1?}",
        phase.wait(0.5),
        phase.wait(0.99),
        phase.wait(1.0)
    );
    panel.explain(Mark::Box, BLUE, &text);
    for (i, &count) in counts.iter().enumerate() {
        let (from, to) = (1_000.0 * i as f64 * width, 1_000.0 * (i as f64 + 0.9) * width);
        panel.area((from, 0.0), (to, f64::from(count)), BLUE);
    }
    panel
}

/// The rate that the client learned, and what it sent, against the limit that it did not know.
fn learned(phase: &Verdict) -> Panel {
    let span = phase.span.as_secs_f64();
    let within = within(&phase.seen, phase.window, span);
    let seconds = phase.window.as_secs_f64();
    let every = (phase.rates.len() / POINTS as usize).max(1);
    // In requests a window, as the limit.
    let rates: Vec<_> =
        phase.rates.iter().step_by(every).map(|(at, rate)| (at.as_secs_f64(), rate * seconds)).collect();
    let limit = phase.limit as f64;
    let most = highest(&within).max(highest(&rates)).max(limit);
    let mut panel = Panel::new(
        &format!("With a limit of {limit} in {:?} that the client is not told", phase.window),
        &Axis { label: "seconds (grey: not judged yet)", most: span },
        &Axis { label: &format!("requests in the last {:?}", phase.window), most: 1.12 * most },
    );
    panel.shade(LEARNING.as_secs_f64());
    panel.explain(Mark::Line, GREEN, "sent");
    panel.explain(Mark::Line, ORANGE, "learned rate");
    panel.explain(Mark::Dashes, BLUE, "the limit");
    panel.curve(&within, GREEN);
    panel.curve(&rates, ORANGE);
    panel.level(limit, BLUE);
    refusals(&mut panel, phase);
    panel
}

/// A stroke on the axis of time for each refusal; if there are very many, for some of them.
fn refusals(panel: &mut Panel, phase: &Verdict) {
    let refused: Vec<_> = phase.seen.iter().filter(|seen| !seen.accepted).collect();
    panel.explain(Mark::Box, RED, &format!("{} refused", refused.len()));
    let every = (refused.len() / POINTS as usize).max(1);
    for seen in refused.iter().step_by(every) {
        panel.tick(seen.at.as_secs_f64(), RED);
    }
}

fn highest(points: &[(f64, f64)]) -> f64 {
    points.iter().map(|(_, y)| *y).fold(0.0, f64::max)
}

/// Seconds without the digits that only rounding made.
fn rounded(seconds: f64) -> Duration {
    Duration::from_micros((1e6 * seconds).round() as u64)
}

/// How many requests came within a window that ends at each time: of each point in time the most.
fn within(seen: &[Seen], window: Duration, span: f64) -> Vec<(f64, f64)> {
    let mut recent = VecDeque::new();
    let mut points = vec![(0.0, 0.0)];
    let slice = span / POINTS;
    let mut slices = (1..=POINTS as u32).map(|i| f64::from(i) * slice).peekable();
    let mut most = 0;
    let mut all = seen.iter().map(|seen| seen.at).peekable();
    while let Some(end) = slices.next() {
        let is_last = slices.peek().is_none();
        while let Some(at) = all.next_if(|at| is_last || at.as_secs_f64() < end) {
            recent.push_back(at);
            while recent.front().is_some_and(|&first| first + window <= at) {
                recent.pop_front();
            }
            most = most.max(recent.len());
        }
        // Without a request the window empties.
        while recent.front().is_some_and(|first| (*first + window).as_secs_f64() <= end) {
            recent.pop_front();
        }
        points.push((end, most.max(recent.len()) as f64));
        most = 0;
    }
    points
}
