//! `Quota::at_most` beside hungry callers and a timer that ticks: never more than the allowance in any window, and the share
//! of it that the documentation states.

#[path = "support/late_clock.rs"]
mod late_clock;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Waker},
    time::Duration,
};

use late_clock::LateClock;
use tidegate::{AcquireOwned, Quota, RateLimiter};

const MILLI: u64 = 1_000_000;

/// The timer's tick: later than this no alarm of a runtime rings that is driven.
const TICK_NS: u64 = 1_900_000;

/// Fifty callers that ask again as soon as they are served, for so long: when permits were granted, in order.
fn hungry(quota: Quota, duration_ns: u64) -> Vec<u64> {
    let clock = LateClock::default();
    clock.now.store(1_000_000_000, Relaxed);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let ask = || Box::pin(limiter.acquire_owned());
    let mut callers: VecDeque<Pin<Box<AcquireOwned<LateClock>>>> = (0..50).map(|_| ask()).collect();
    let mut granted = Vec::new();
    while clock.now.load(Relaxed) < 1_000_000_000 + duration_ns {
        clock.ring();
        loop {
            let before = granted.len();
            for caller in &mut callers {
                if caller.as_mut().poll(&mut cx).is_ready() {
                    granted.push(clock.now.load(Relaxed));
                    caller.set(limiter.acquire_owned());
                }
            }
            if granted.len() == before {
                break;
            }
        }
        clock.now.fetch_add(TICK_NS, Relaxed);
    }
    granted
}

/// The most that was granted in any window of that length, both ends included.
fn most_in_a_window(granted: &[u64], window_ns: u64) -> usize {
    let mut first = 0;
    let counts = granted.iter().enumerate().map(|(last, &time)| {
        while granted[first] + window_ns < time {
            first += 1;
        }
        last + 1 - first
    });
    counts.max().unwrap_or(0)
}

#[test]
fn hungry_callers_get_the_stated_share_and_never_more_than_the_allowance() {
    // The permits, the window, and the share in hundredths.
    for (permits, window_ms, share) in
        [(100, 1_000, 99), (1_000, 1_000, 99), (1_000, 200, 99), (1_000, 50, 96), (200, 10, 83), (40, 2, 50)]
    {
        let quota = Quota::at_most(permits, Duration::from_millis(window_ms));
        let window_ns = window_ms * MILLI;
        let duration_ns = 100 * window_ns.max(100 * MILLI);
        let granted = hungry(quota, duration_ns);
        let most = most_in_a_window(&granted, window_ns);
        assert!(most as u64 <= permits, "{quota}: {most} in a window");
        let allowed = permits as f64 * duration_ns as f64 / window_ns as f64;
        let got = granted.len() as f64 / allowed;
        // A hundredth less: the last permits of the time were not due yet.
        assert!(got * 100.0 > f64::from(share) - 1.0, "{quota}: a share of {got:.3}");
    }
}
