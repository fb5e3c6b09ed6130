//! Plain SVG: a page of panels with axes.

use std::{
    fmt::{Display, Write},
    fs::{self, File},
    io,
    path::Path,
};

/// Of a panel, with its title, legend and labels.
pub(crate) const WIDTH: f64 = 600.0;
pub(crate) const HEIGHT: f64 = 330.0;
const LEFT: f64 = 75.0;
const RIGHT: f64 = 25.0;
const TOP: f64 = 68.0;
const BOTTOM: f64 = 50.0;
/// About the width of a letter of the legend.
const LETTER: f64 = 6.8;

/// Creates the file for the picture, and its folder.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create(path)
}

/// A round step that divides the range into about `parts` parts.
pub(crate) fn step(range: f64, parts: f64) -> f64 {
    let rough = range / parts;
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&step| step >= rough).unwrap_or(rough)
}

/// How the legend shows a colour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    Box,
    Line,
    Dashes,
}

/// An axis from zero.
#[derive(Debug)]
pub(crate) struct Axis<'a> {
    pub(crate) label: &'a str,
    pub(crate) most: f64,
}

/// A chart. Its coordinates are those of the data.
#[derive(Debug)]
pub(crate) struct Panel {
    svg: String,
    x_most: f64,
    y_most: f64,
    /// Where the legend goes on.
    legend: f64,
}

impl Panel {
    /// Draws the axes. A range of nothing is drawn as one of 1.
    pub(crate) fn new(title: &str, x: &Axis, y: &Axis) -> Self {
        let range = |most: f64| if most > 0.0 && most.is_finite() { most } else { 1.0 };
        let mut panel =
            Self { svg: String::new(), x_most: range(x.most), y_most: range(y.most), legend: LEFT };
        panel.add(format_args!(
            "<text x='{LEFT}' y='26' font-size='16' font-weight='bold' fill='#222'>{title}</text>"
        ));
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in ticks(panel.y_most, 5.0) {
            let y = panel.y(value);
            panel.add(format_args!(
                "<path d='M{LEFT} {y:.1}H{right}' stroke='#e4e4e4'/>\
                 <text x='{:.1}' y='{:.1}' text-anchor='end'>{text}</text>",
                LEFT - 8.0,
                y + 4.5
            ));
        }
        for (value, text) in ticks(panel.x_most, 8.0) {
            let x = panel.x(value);
            panel.add(format_args!(
                "<path d='M{x:.1} {bottom}v5' stroke='#555'/>\
                 <text x='{x:.1}' y='{:.1}' text-anchor='middle'>{text}</text>",
                bottom + 19.0
            ));
        }
        panel.add(format_args!("<path d='M{LEFT} {TOP}V{bottom}H{right}' fill='none' stroke='#555'/>"));
        panel.add(format_args!(
            "<text x='{:.1}' y='{:.1}' text-anchor='middle'>{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 12.0,
            x.label
        ));
        panel.add(format_args!(
            "<text transform='translate(18 {:.1}) rotate(-90)' text-anchor='middle'>{}</text>",
            f64::midpoint(TOP, bottom),
            y.label
        ));
        panel
    }

    fn x(&self, x: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (x / self.x_most).min(1.0)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y / self.y_most).min(1.0)
    }

    fn add(&mut self, element: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.svg, "{element}");
    }

    /// A rectangle between two corners.
    pub(crate) fn area(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let (left, right, top, bottom) = (self.x(from.0), self.x(to.0), self.y(to.1), self.y(from.1));
        if bottom > top {
            self.add(format_args!(
                "<rect x='{left:.1}' y='{top:.1}' width='{:.1}' height='{:.1}' fill='{colour}'/>",
                right - left,
                bottom - top
            ));
        }
    }

    /// Shades the time up to `x`.
    pub(crate) fn shade(&mut self, x: f64) {
        self.add(format_args!(
            "<rect x='{LEFT}' y='{TOP}' width='{:.1}' height='{}' fill='#000' fill-opacity='0.06'/>",
            self.x(x) - LEFT,
            HEIGHT - TOP - BOTTOM
        ));
    }

    pub(crate) fn curve(&mut self, points: &[(f64, f64)], colour: &str) {
        let mut text = String::new();
        for &(x, y) in points {
            let _ = write!(text, "{:.1},{:.1} ", self.x(x), self.y(y));
        }
        self.add(format_args!(
            "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>",
            text.trim_end()
        ));
    }

    /// A horizontal dashed line.
    pub(crate) fn level(&mut self, y: f64, colour: &str) {
        self.add(format_args!(
            "<path d='M{LEFT} {:.1}H{}' stroke='{colour}' stroke-width='2' stroke-dasharray='7 4'/>",
            self.y(y),
            WIDTH - RIGHT
        ));
    }

    /// A short stroke on the x axis.
    pub(crate) fn tick(&mut self, x: f64, colour: &str) {
        self.add(format_args!(
            "<path d='M{:.1} {}v-12' stroke='{colour}' stroke-width='1.5'/>",
            self.x(x),
            HEIGHT - BOTTOM
        ));
    }

    /// The next entry of the legend, which is a line above the axes.
    pub(crate) fn explain(&mut self, mark: Mark, colour: &str, text: &str) {
        let x = self.legend;
        match mark {
            Mark::Box => {
                self.add(format_args!("<rect x='{x}' y='42' width='12' height='12' fill='{colour}'/>"));
            }
            Mark::Line | Mark::Dashes => {
                let dashes = if matches!(mark, Mark::Dashes) { " stroke-dasharray='7 4'" } else { "" };
                self.add(format_args!("<path d='M{x} 48h18' stroke='{colour}' stroke-width='2.5'{dashes}/>"));
            }
        }
        let text_at = x + if matches!(mark, Mark::Box) { 17.0 } else { 23.0 };
        self.add(format_args!("<text x='{text_at:.1}' y='52.5'>{text}</text>"));
        self.legend = text_at + LETTER * text.chars().count() as f64 + 14.0;
    }
}

/// The numbers along an axis, with their texts.
fn ticks(most: f64, parts: f64) -> impl Iterator<Item = (f64, String)> {
    let by = step(most, parts);
    let digits = (-by.log10().floor()).max(0.0) as usize;
    // A value that is a multiple but for the rounding counts.
    (0..=(most / by + 1e-9) as u32)
        .map(move |i| (f64::from(i) * by, format!("{:.digits$}", f64::from(i) * by)))
}

/// Puts the panels side by side in rows of two.
pub(crate) fn page(panels: &[Panel]) -> String {
    let (columns, rows) = (panels.len().min(2), panels.len().div_ceil(2));
    let (width, height) = (columns as f64 * WIDTH, rows as f64 * HEIGHT);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}' \
         font-family='sans-serif' font-size='13' fill='#444'>\n<rect width='{width}' height='{height}' fill='white'/>\n"
    );
    for (i, panel) in panels.iter().enumerate() {
        let (x, y) = ((i % 2) as f64 * WIDTH, (i / 2) as f64 * HEIGHT);
        let _ = writeln!(svg, "<g transform='translate({x} {y})'>\n{}</g>", panel.svg);
    }
    svg.push_str("</svg>\n");
    svg
}
