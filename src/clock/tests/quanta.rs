//! The default clock by the real counter and the real system's clock.

use core::sync::atomic::{AtomicU64, Ordering};
use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    Clock, QuantaClock,
    clock::{discipline::WINDOW, quanta::per_tick},
};

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

/// A counter by its frequency in hertz, and a little slower than that, as quanta may calibrate it: what quanta makes of its
/// ticks, modulo 2^64.
#[test]
fn no_frequency_is_taken_for_another() {
    for (frequency, is_short) in [
        (3_000_000_000_u64, true),
        (1_000_000_001, true),
        (1_000_000_000, false),
        (62_500_000, false), // QEMU's ARM machines
        (31_250_000, false), // Tegra
        (24_000_000, false),
        (12_500_000, false),
    ] {
        for parts in [0, 1] {
            let million = 1_000_000;
            let nanos = |ticks: u64| {
                let per_second = u128::from(frequency) * million;
                (u128::from(ticks) * 1_000_000_000 * (million + parts) / per_second) as u64
            };
            let per_tick = per_tick(nanos);
            let is_short = is_short && (frequency > 2_000_000_000 || parts == 0);
            assert_eq!(per_tick > 0, is_short, "{frequency} Hz: {per_tick}");
            if is_short {
                let second = ((u128::from(frequency) * u128::from(per_tick)) >> 64) as u64;
                assert!(second.abs_diff(1_000_000_000) <= 1_001, "{frequency} Hz: {second}");
            }
        }
    }
}
