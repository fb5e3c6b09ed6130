//! The picture: what each process got, stacked, over time.

use std::time::Duration;

use crate::{
    LIMIT, PROCESSES, WINDOW, svg,
    svg::{Axis, Mark, Panel},
    worker::Count,
};

const COLOURS: [&str; PROCESSES] = ["#1f5fbf", "#2e8b57", "#e08a1e", "#7b4fa3", "#2aa5a0", "#b5651d"];
const RED: &str = "#d1495b";

pub(crate) fn draw(
    ticks: &[[Count; PROCESSES]],
    tick: Duration,
    kill: Duration,
    stop: (Duration, Duration),
) -> String {
    let tick = tick.as_secs_f64();
    let allowed = LIMIT as f64 / WINDOW.as_secs_f64();
    let seconds = Axis { label: "seconds", most: ticks.len() as f64 * tick };
    let mut stacked = Panel::new(
        "What all processes got together",
        &seconds,
        &Axis { label: "requests per second", most: 1.2 * allowed },
    );
    let mut each = Panel::new(
        "What each process got",
        &seconds,
        &Axis { label: "requests per second", most: 0.4 * allowed },
    );
    for (i, colour) in COLOURS.into_iter().enumerate() {
        stacked.explain(Mark::Box, colour, &format!("{}", i + 1));
        each.explain(Mark::Line, colour, &format!("{}", i + 1));
        let mut curve = Vec::new();
        for (at, counts) in ticks.iter().enumerate() {
            let (from, to) = (at as f64 * tick, (at as f64 + 0.96) * tick);
            let rate =
                |counts: &[Count]| counts.iter().map(|count| count.admitted).sum::<u64>() as f64 / tick;
            stacked.area((from, rate(&counts[..i])), (to, rate(&counts[..=i])), colour);
            curve.push(((at as f64 + 0.5) * tick, rate(&counts[i..=i])));
        }
        each.curve(&curve, colour);
    }
    stacked.explain(Mark::Dashes, RED, "the allowance");
    stacked.level(allowed, RED);
    for panel in [&mut stacked, &mut each] {
        for at in [kill, stop.0, stop.1] {
            panel.tick(at.as_secs_f64(), RED);
        }
    }
    each.explain(Mark::Line, RED, "kill, stop, go on");
    svg::page(&[stacked, each])
}
