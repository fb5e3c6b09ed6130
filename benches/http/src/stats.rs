//! Medians and quartiles.

use std::fmt;

/// Median and quartiles.
pub(crate) struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(0);
        write!(f, "{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.low, self.high)
    }
}

/// The spread of samples, of which there is at least one.
pub(crate) fn spread(samples: impl IntoIterator<Item = f64>) -> Spread {
    let mut samples: Vec<f64> = samples.into_iter().collect();
    samples.sort_by(f64::total_cmp);
    let at = |quarter: usize| samples[(samples.len() - 1) * quarter / 4];
    Spread { low: at(1), median: at(2), high: at(3) }
}
