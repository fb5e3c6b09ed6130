//! The independent counter: how many permits any window of time has seen.

use std::time::Duration;

use super::worker::Admission;

const STEP_US: u64 = 10_000;

/// A time at which the server lost what it knew, so that it may admit so many permits more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    pub(crate) at_us: u64,
    pub(crate) permits: u64,
}

/// Asserts that no window saw more than `burst + rate * w` permits, on a grid of 10 ms. An admission counts if it was asked for
/// and there within the window. So a process that is held up between the two can hide one, and never invent one.
pub(crate) fn check(admissions: &[Admission], rate: u64, burst: u64, lost: &[Lost]) {
    let start_us = admissions.iter().map(|admission| admission.asked_us).min().unwrap();
    let step = |us: u64| us.saturating_sub(start_us).div_ceil(STEP_US) as usize;
    let steps = admissions.iter().map(|admission| step(admission.there_us)).max().unwrap() + 1;
    let mut by_start: Vec<Vec<(usize, u64)>> = vec![Vec::new(); steps];
    for admission in admissions {
        by_start[step(admission.asked_us)].push((step(admission.there_us), 1));
    }
    // For windows that begin at `from`: the admissions within, by their ends.
    let mut ends = vec![0_u64; steps];
    let mut tightest = i64::MAX;
    for from in (0..steps).rev() {
        for &(to, n) in &by_start[from] {
            ends[to] += n;
        }
        let mut seen = 0;
        for (to, n) in ends.iter().enumerate().skip(from) {
            seen += n;
            let length_us = (to - from) as u64 * STEP_US;
            let [from_us, to_us] = [from, to].map(|step| start_us + step as u64 * STEP_US);
            let more = lost.iter().filter(|lost| (from_us..=to_us).contains(&lost.at_us));
            let most = burst + rate * length_us / 1_000_000 + more.map(|lost| lost.permits).sum::<u64>();
            tightest = tightest.min(most as i64 - seen as i64);
            let length = Duration::from_micros(length_us);
            assert!(seen <= most, "{seen} in {length:?} from {} ms on, at most {most}", from * 10);
        }
    }
    println!("every window had room for {tightest} more");
}
