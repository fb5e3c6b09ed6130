//! How much passes in a window of time.

use std::time::Duration;

use tidegate::{Clock, Quota, RateLimiter};

use super::support::{LateClock, Line, MILLI, Numbers, SECOND, drain, manual};

/// The most that passed in any closed window of that length.
fn most_in_a_window(times: &[u64], window_ns: u64) -> usize {
    let mut most = 0;
    let mut first = 0;
    for (last, time) in times.iter().enumerate() {
        while time - times[first] > window_ns {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// At most 10 in any second: one call at 0, 19 from 0.99 s on. Never more than 10 in a second. tower's fixed
/// windows pass 19 within 10 ms.
#[test]
fn the_edge_of_a_fixed_window() {
    for burst in [1, 5, 10] {
        let (limiter, clock) = manual(Quota::at_most(10, Duration::from_secs(1)).with_burst(burst));
        let mut times = Vec::new();
        for now in [0].into_iter().chain((0..19).map(|i| 990 * MILLI + i * 10 * MILLI / 19)) {
            clock.set(now);
            times.extend(limiter.try_acquire().ok().map(|()| now));
        }
        assert!(most_in_a_window(&times, SECOND) <= 10, "burst {burst}: {times:?}");
        assert!(times.len() as u64 > burst.min(2), "burst {burst}: {times:?}");
    }
}

/// A rate with a burst passes both in its first window, which surprises the users of every limiter; a quota
/// of `at_most` does not.
#[test]
fn the_first_window() {
    for (quota, passes) in [
        (Quota::per_second(10), 20),
        (Quota::at_most(10, Duration::from_secs(1)).with_burst(10), 10),
        (Quota::at_most(10, Duration::from_secs(1)).with_burst(4), 10),
        (Quota::at_most(10, Duration::from_secs(1)), 10),
    ] {
        let (limiter, clock) = manual(quota);
        let mut passed = drain(&limiter);
        for _ in 0..1_000 {
            clock.advance(Duration::from_millis(1));
            passed += drain(&limiter);
        }
        assert!(passed <= passes, "{quota}: {passed}");
        assert!(passed >= passes - 1, "{quota}: {passed}");
    }
}

fn some_quota(numbers: &mut Numbers) -> (u64, u64, Quota) {
    let n = 1 + numbers.below(30);
    let window_ns = numbers.one_of([7, 1_000, 999_983, 10 * MILLI, SECOND, 3 * SECOND + 1]);
    let quota = Quota::at_most(n, Duration::from_nanos(window_ns)).with_burst(1 + numbers.below(n));
    (n, window_ns, quota)
}

/// Of many quotas, windows and courses of calls: never more than N in any closed window.
#[test]
fn never_more_in_any_window() {
    let mut numbers = Numbers(5);
    let mut full = 0;
    for _ in 0..600 {
        let (n, window_ns, quota) = some_quota(&mut numbers);
        let (limiter, clock) = manual(quota);
        let mut times = Vec::new();
        for _ in 0..300 {
            match numbers.below(4) {
                0 => times.extend((0..drain(&limiter)).map(|_| clock.now())),
                1 => {
                    let taken = limiter.try_acquire_up_to(1 + numbers.below(n));
                    times.extend((0..taken).map(|_| clock.now()));
                }
                2 => times.extend(limiter.try_acquire().ok().map(|()| clock.now())),
                _ => {
                    // To the moment of the next, or thereabouts, or some way on.
                    let next = limiter.time_until(1).expect("one fits").as_nanos() as u64;
                    let any = numbers.below(window_ns + 1);
                    clock.advance(Duration::from_nanos(numbers.one_of([next, next.saturating_sub(1), any])));
                }
            }
        }
        let most = most_in_a_window(&times, window_ns);
        assert!(most as u64 <= n, "{quota}: {most} in one window");
        full += usize::from(most as u64 == n);
    }
    assert!(full > 100, "only {full} quotas were used to the full");
}

/// The same with waiters, and a clock that jumps over many grants at once.
#[test]
fn never_more_in_any_window_with_waiters() {
    let mut numbers = Numbers(6);
    for _ in 0..300 {
        let (n, window_ns, quota) = some_quota(&mut numbers);
        let (limiter, clock) = manual(quota);
        let mut line = Line::new(&clock);
        let mut times = Vec::new();
        for _ in 0..200 {
            match numbers.below(5) {
                0 | 1 => {
                    if line.join(limiter.acquire_owned()).1 {
                        times.push(clock.now());
                    }
                }
                2 => times.extend((0..drain(&limiter)).map(|_| clock.now())),
                _ => clock.advance(Duration::from_nanos(numbers.below(3 * window_ns))),
            }
            times.extend(line.granted().into_iter().map(|(_, time)| time));
        }
        times.sort_unstable();
        let most = most_in_a_window(&times, window_ns);
        assert!(most as u64 <= n, "{quota}: {most} in one window");
    }
}

/// The same with timers that ring late, where the limiter makes up for lost time, but within its bound.
#[test]
fn never_more_in_any_window_with_late_timers() {
    let mut numbers = Numbers(8);
    let mut full = 0;
    for _ in 0..300 {
        let (n, window_ns, quota) = some_quota(&mut numbers);
        let clock = LateClock::default();
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let mut line = Line::new(&clock);
        let mut times = Vec::new();
        for _ in 0..300 {
            match numbers.below(6) {
                0..3 => {
                    if line.join(limiter.acquire_owned()).1 {
                        times.push(clock.now());
                    }
                }
                3 => times.extend((0..drain(&limiter)).map(|_| clock.now())),
                _ => {
                    let due = clock.deadline().unwrap_or(0).saturating_sub(clock.now());
                    let most = numbers.one_of([0, window_ns / 100, window_ns / 10, 2 * window_ns]);
                    clock.advance(due + numbers.below(most + 1));
                    clock.ring();
                }
            }
            times.extend(line.granted().into_iter().map(|(_, time)| time));
        }
        let most = most_in_a_window(&times, window_ns);
        assert!(most as u64 <= n, "{quota}: {most} in one window");
        full += usize::from(most as u64 == n);
    }
    assert!(full > 50, "only {full} quotas were used to the full");
}

/// And it is not bought with idleness: in the long run almost N in each window pass, less the burst that is
/// kept back from the rate.
#[test]
fn almost_all_of_the_window_is_used() {
    for (n, burst) in [(10, 1), (100, 1), (1_000, 10), (10, 5)] {
        let quota = Quota::at_most(n, Duration::from_secs(1)).with_burst(burst);
        let (limiter, clock) = manual(quota);
        let mut passed = 0;
        while clock.now() < 100 * SECOND {
            limiter.try_acquire().unwrap();
            passed += 1;
            clock.advance(limiter.time_until(1).expect("one fits"));
        }
        // A hundredth at most is kept for late timers.
        let most = (n - burst + 1) * 100;
        assert!(passed >= most * 98 / 100, "{quota}: {passed}");
        assert!(passed <= most + burst, "{quota}: {passed}");
    }
}
