//! Medians and quartiles.

/// Median and quartiles.
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// The spread of samples, of which there is at least one.
pub(crate) fn spread(samples: impl IntoIterator<Item = f64>) -> Spread {
    let mut samples: Vec<f64> = samples.into_iter().collect();
    samples.sort_by(f64::total_cmp);
    let at = |quarter: usize| samples[(samples.len() - 1) * quarter / 4];
    Spread { low: at(1), median: at(2), high: at(3) }
}

/// The median alone.
pub(crate) fn median(samples: impl IntoIterator<Item = f64>) -> f64 {
    spread(samples).median
}
