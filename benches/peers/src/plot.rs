//! Pictures in SVG: bars and curves, in few colours that differ in brightness, too.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const COLOURS: [&str; 9] =
    ["#0b3c8c", "#d1495b", "#edae49", "#00798c", "#7a5195", "#8a8a8a", "#30a14e", "#b07d62", "#111111"];

/// A line of a picture.
#[derive(Debug)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// A line without points.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), points: Vec::new() }
    }
}

/// Text that is no markup.
fn text(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('`', "")
}

fn svg(height: f64, title: &str, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\" \
         font-size=\"15\">{}</text>\n{body}</svg>\n",
        text(title)
    )
}

/// A bar for each value, with its name before it.
pub fn bars(title: &str, values: &[(&str, f64)]) -> String {
    const LEFT: f64 = 300.0;
    const STEP: f64 = 20.0;
    let most = values.iter().map(|value| value.1).fold(f64::MIN_POSITIVE, f64::max);
    let mut body = String::new();
    for (number, (name, value)) in values.iter().enumerate() {
        let y = 36.0 + STEP * number as f64;
        let width = value / most * (WIDTH - LEFT - 60.0);
        let colour = COLOURS[usize::from(!name.starts_with("tidegate")) * 5];
        writeln!(
            body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" \
             height=\"14\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{value:.2}</text>",
            LEFT - 6.0,
            y + 11.0,
            text(name),
            LEFT + width + 5.0,
            y + 11.0
        )
        .expect("a string");
    }
    svg(46.0 + STEP * values.len() as f64, title, &body)
}

/// An axis from the least to the most, logarithmic or not.
struct Axis {
    least: f64,
    most: f64,
    log: bool,
    from: f64,
    to: f64,
}

impl Axis {
    /// A logarithmic one has room up to the next powers of ten around its values.
    fn log(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, most) = values.fold((f64::MAX, f64::MIN), |(low, high), it| (low.min(it), high.max(it)));
        let (least, most) = (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()));
        Self { least, most, log: true, from, to }
    }

    /// From 0 to 100; what is more is drawn at 100.
    const fn percent(from: f64, to: f64) -> Self {
        Self { least: 0.0, most: 100.0, log: false, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let (least, most, value) = if self.log {
            (self.least.log10(), self.most.log10(), value.log10())
        } else {
            (self.least, self.most, value.min(self.most))
        };
        self.from + (value - least) / (most - least) * (self.to - self.from)
    }

    fn marks(&self) -> Vec<f64> {
        if !self.log {
            return (0..=4).map(|quarter| self.most * f64::from(quarter) / 4.0).collect();
        }
        let powers = self.least.log10().round() as i32..=self.most.log10().round() as i32;
        powers.map(|power| 10_f64.powi(power)).collect()
    }
}

/// Curves over a logarithmic axis, the first of them on top, with their names to the right.
pub fn lines(title: &str, across: &str, up: &str, curves: &[Curve]) -> String {
    const HEIGHT: f64 = 390.0;
    const TOP: f64 = 58.0;
    let points = || curves.iter().flat_map(|curve| &curve.points).filter(|point| point.1.is_finite());
    let x = Axis::log(points().map(|point| point.0), 70.0, WIDTH - 220.0);
    let bottom = HEIGHT - 50.0;
    let y = if up.starts_with('%') {
        Axis::percent(bottom, TOP)
    } else {
        Axis::log(points().map(|point| point.1), bottom, TOP)
    };
    let mut body = String::new();
    for mark in x.marks() {
        let at = x.place(mark);
        writeln!(body, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{mark:e}</text>", HEIGHT - 32.0)
            .expect("a string");
    }
    for mark in y.marks() {
        let at = y.place(mark);
        writeln!(
            body,
            "<path d=\"M{} {at:.1}H{}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            x.from,
            x.to,
            x.from - 6.0,
            at + 4.0,
            crate::stats::short(mark)
        )
        .expect("a string");
    }
    let middle = (x.from + x.to) / 2.0;
    writeln!(
        body,
        "<text x=\"{middle:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text><text x=\"10\" y=\"42\">{}</text>",
        HEIGHT - 12.0,
        text(across),
        text(up)
    )
    .expect("a string");
    for (number, curve) in curves.iter().enumerate().rev() {
        let colour = COLOURS[number % COLOURS.len()];
        let finite = curve.points.iter().filter(|point| point.1.is_finite());
        let path: Vec<String> =
            finite.map(|point| format!("{:.1},{:.1}", x.place(point.0), y.place(point.1))).collect();
        let width = if number == 0 { 3 } else { 2 };
        let at = TOP + 6.0 + 20.0 * number as f64;
        writeln!(
            body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/><rect x=\"{}\" \
             y=\"{}\" width=\"12\" height=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\" font-size=\"11\">{}</text>",
            path.join(" "),
            x.to + 14.0,
            at - 6.0,
            x.to + 30.0,
            at,
            text(&curve.name)
        )
        .expect("a string");
    }
    svg(HEIGHT, title, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_has_a_mark_at_each_power_of_ten_around_its_values() {
        let axis = Axis::log([25.0, 3000.0].into_iter(), 0.0, 300.0);
        assert_eq!(axis.marks(), [10.0, 100.0, 1000.0, 10_000.0]);
        assert!((axis.place(1000.0) - 200.0).abs() < 1e-9);
    }

    #[test]
    fn more_than_all_is_drawn_at_the_end_of_the_axis() {
        let axis = Axis::percent(200.0, 0.0);
        assert_eq!([0.0, 50.0, 101.0].map(|share| axis.place(share)), [200.0, 100.0, 0.0]);
    }

    #[test]
    fn names_are_no_markup() {
        let svg = bars("a < b & c", &[("`PerCore`", 1.0)]);
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains(">PerCore<"), "{svg}");
    }
}
