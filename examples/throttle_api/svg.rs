//! The picture: cumulative requests against the allowance.

use std::{
    fmt::Write,
    fs::{self, File},
    io,
    path::Path,
};

use crate::{cli::Options, report::Verdict, server::Seen};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 55.0;

/// Converts data to coordinates of the picture.
struct Axes {
    seconds: f64,
    requests: f64,
}

impl Axes {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.seconds
    }

    fn y(&self, requests: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * requests / self.requests
    }

    /// The points of a cumulative count, at most about 1,000 of them.
    fn curve<'a>(&self, seen: impl Iterator<Item = &'a Seen>) -> String {
        let times: Vec<f64> = seen.map(|seen| seen.at.as_secs_f64()).collect();
        let step = (times.len() / 500).max(1);
        let last = times.len().saturating_sub(1);
        let mut points = String::new();
        for (count, time) in times.iter().enumerate().filter(|(i, _)| i % step == 0 || *i == last) {
            // Writing to a string does not fail.
            let _ = write!(points, "{:.1},{:.1} ", self.x(*time), self.y((count + 1) as f64));
        }
        points
    }
}

/// A round step that divides the range into about `parts` parts.
fn step(range: f64, parts: f64) -> f64 {
    let rough = range / parts;
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&step| step >= rough).unwrap_or(rough)
}

/// Creates the file for the picture, and its folder.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create(path)
}

pub(crate) fn draw(phases: &[Verdict], options: &Options) -> String {
    let rate = options.limit as f64 / options.window.as_secs_f64();
    let seconds = options.time.as_secs_f64();
    let most = phases.iter().map(|phase| phase.seen.len()).max().unwrap_or(0) as f64;
    let axes = Axes { seconds, requests: 1.06 * most.max(rate * seconds) };
    let mut svg = String::new();
    let mut line = |text: String| {
        svg.push_str(&text);
        svg.push('\n');
    };
    line(format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' \
         font-size='13' fill='#333'>\n<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>"
    ));
    line(format!(
        "<text x='{LEFT}' y='26' font-size='16' font-weight='bold'>Requests sent to an API that admits {} in \
         any {:?}</text>",
        options.limit, options.window
    ));
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let by = step(axes.requests, 6.0);
    for i in 0..=((axes.requests / by) as u32) {
        let (value, y) = (f64::from(i) * by, axes.y(f64::from(i) * by));
        line(format!("<path d='M{LEFT} {y:.1}H{right}' stroke='#e4e4e4'/>"));
        line(format!("<text x='{:.1}' y='{:.1}' text-anchor='end'>{value}</text>", LEFT - 8.0, y + 4.0));
    }
    let by = step(seconds, 8.0);
    for i in 0..=((seconds / by) as u32) {
        let (value, x) = (f64::from(i) * by, axes.x(f64::from(i) * by));
        line(format!("<path d='M{x:.1} {bottom}v5' stroke='#333'/>"));
        line(format!("<text x='{x:.1}' y='{:.1}' text-anchor='middle'>{value}</text>", bottom + 20.0));
    }
    line(format!("<path d='M{LEFT} {TOP}V{bottom}H{right}' fill='none' stroke='#333'/>"));
    line(format!(
        "<text x='{:.1}' y='{:.1}' text-anchor='middle'>seconds</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 12.0
    ));

    let mut legend = vec![("#1f5fbf", "6 4", format!("the allowance: {rate:.0} a second"))];
    line(format!(
        "<path d='M{:.1} {:.1}L{:.1} {:.1}' stroke='#1f5fbf' stroke-width='2' stroke-dasharray='6 4'/>",
        axes.x(0.0),
        axes.y(0.0),
        axes.x(seconds),
        axes.y(rate * seconds)
    ));
    for phase in phases {
        let refused = phase.seen.iter().any(|seen| !seen.accepted);
        if refused {
            let points = axes.curve(phase.seen.iter());
            line(format!(
                "<polyline points='{points}' fill='none' stroke='#d1495b' stroke-width='2' stroke-dasharray='2 3'/>"
            ));
            legend.push(("#d1495b", "2 3", format!("{}: sent", phase.name)));
        }
        let colour = if refused { "#d1495b" } else { "#2e8b57" };
        let points = axes.curve(phase.seen.iter().filter(|seen| seen.accepted));
        line(format!("<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2.5'/>"));
        legend.push((colour, "", format!("{}: accepted", phase.name)));
    }
    for (i, (colour, dashes, text)) in legend.iter().enumerate() {
        let y = bottom - 20.0 - 22.0 * (legend.len() - 1 - i) as f64;
        let x = right - 250.0;
        line(format!(
            "<path d='M{x} {y}h34' stroke='{colour}' stroke-width='2.5' stroke-dasharray='{dashes}'/>\
             <text x='{:.1}' y='{:.1}'>{text}</text>",
            x + 44.0,
            y + 4.0
        ));
    }
    line("</svg>".to_owned());
    svg
}
