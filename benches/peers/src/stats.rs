//! Medians and quartiles, and how they are written.

use std::fmt;

/// Median and quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        write!(f, "{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.low, self.high)
    }
}

/// The sample below which a part of the sorted samples lies.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// The spread of samples, of which there is at least one.
pub fn spread(samples: impl IntoIterator<Item = f64>) -> Spread {
    let mut samples: Vec<f64> = samples.into_iter().collect();
    samples.sort_by(f64::total_cmp);
    let at = |part| quantile(&samples, part);
    Spread { low: at(0.25), median: at(0.5), high: at(0.75) }
}

/// The median alone.
pub fn median(samples: impl IntoIterator<Item = f64>) -> f64 {
    spread(samples).median
}

/// A number with five digits: no measurement here has more.
pub fn rounded(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    format!("{number:.4e}").parse().expect("a number")
}

/// A number with three digits, and no more than it needs.
pub fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 99.95 => format!("{number:.0}"),
        size if size >= 9.995 => format!("{number:.1}"),
        size if size >= 0.0995 => format!("{number:.2}"),
        size if size > 0.0 => format!("{number:.4}"),
        _ => format!("{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_samples_in_order_whatever_the_order_they_come_in() {
        let spread = spread([5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(spread, Spread { low: 2.0, median: 3.0, high: 4.0 });
        assert_eq!(format!("{spread:.1}"), "3.0 (2.0–4.0)");
    }

    #[test]
    fn the_last_quantile_is_the_largest_sample() {
        let sorted: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|part| quantile(&sorted, part)), [500.0, 990.0, 1000.0]);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
    }

    #[test]
    fn numbers_keep_the_digits_that_mean_something() {
        assert_eq!(rounded(123_456.789), 123_460.0);
        assert_eq!(rounded(0.000_123_456_7), 0.000_123_46);
        assert_eq!(rounded(0.0), 0.0);
        assert_eq!(
            [1234.5, 99.94, 9.994, 0.1234, 0.01234].map(short),
            ["1234", "99.9", "9.99", "0.12", "0.0123"]
        );
    }
}
