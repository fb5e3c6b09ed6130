//! Whether what was admitted keeps the bound: the burst and what the rate brings, in each window of time.

use std::time::Duration;

/// The most by which the admissions of a window exceed what the rate brings in it. The bound is kept if that is no more than the
/// burst. `times` are in order.
pub(super) fn most_above_rate(times: &[Duration], rate: f64) -> f64 {
    // A window from an admission to a later one has as many as lie between, and both.
    let mut most = 0.0_f64;
    let mut first = f64::NEG_INFINITY;
    for (number, time) in times.iter().enumerate() {
        let ahead = number as f64 - rate * time.as_secs_f64();
        first = first.max(-ahead);
        most = most.max(ahead + 1.0 + first);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(millis: &[u64]) -> f64 {
        let times: Vec<Duration> = millis.iter().copied().map(Duration::from_millis).collect();
        most_above_rate(&times, 1000.0)
    }

    #[test]
    fn admissions_at_the_rate_need_a_burst_of_one() {
        assert_eq!(most(&[0, 1, 2, 3]), 1.0);
        assert_eq!(most(&[]), 0.0);
    }

    #[test]
    fn the_window_with_the_most_counts_wherever_it_is() {
        // Five in the two milliseconds from 100 to 102.
        assert_eq!(most(&[0, 50, 100, 100, 101, 102, 102, 200]), 3.0);
        assert_eq!(most(&[0, 0, 0, 100, 100]), 3.0);
    }

    #[test]
    fn a_window_may_hold_several_bursts() {
        // Three at once, and three more where only one has come back.
        assert_eq!(most(&[0, 0, 0, 1, 1, 1]), 5.0);
    }
}
