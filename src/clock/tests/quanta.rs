//! The default clock by the real counter and the real system's clock.

use core::sync::atomic::{AtomicU64, Ordering};
use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Clock, QuantaClock, clock::discipline::WINDOW};

#[test]
fn the_clock_follows_the_system_clock() {
    // The clock's own start lies before this one.
    let clock = QuantaClock::new();
    let (start, first) = (Instant::now(), clock.now());
    assert!(first >= QuantaClock::START);
    while clock.now() < first + 20 * WINDOW {}
    // By how much it was ahead at the end, and behind at the beginning.
    assert!(start.elapsed() > Duration::from_nanos(15 * WINDOW));
}

#[test]
fn all_clocks_show_one_time() {
    let one = QuantaClock::new();
    let (other, third) = (QuantaClock::default(), one.clone());
    for _ in 0..1000 {
        let readings = [&one, &other, &third].map(Clock::now);
        assert!(readings.is_sorted_by(|earlier, later| *earlier < later + WINDOW), "{readings:?}");
    }
    assert_eq!(size_of::<QuantaClock>(), 8);
    assert_eq!(format!("{one:?}"), "QuantaClock { .. }");
}

#[test]
fn no_thread_is_a_window_behind_another() {
    let latest = &AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let clock = QuantaClock::new();
                for _ in 0..if cfg!(miri) { 10 } else { 100_000 } {
                    let earlier = latest.load(Ordering::Acquire);
                    let reading = clock.now();
                    assert!(reading + WINDOW > earlier, "{reading} after {earlier}");
                    latest.fetch_max(reading, Ordering::AcqRel);
                }
            });
        }
    });
}
