//! Many threads.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tidegate::{ManualClock, Quota, RateLimiter};

use super::support::{Numbers, manual};

const THREADS: u64 = 8;

/// Runs `call` on eight threads at once; the sum of what they return.
fn at_once(call: impl Fn(u64) -> u64 + Sync) -> u64 {
    let (start, sum) = (Barrier::new(THREADS as usize), AtomicU64::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (start, sum, call) = (&start, &sum, &call);
            scope.spawn(move || {
                start.wait();
                // Relaxed: read after the threads have been joined.
                sum.fetch_add(call(thread), Ordering::Relaxed);
            });
        }
    });
    sum.into_inner()
}

/// 1,000 permits and no refill; half of the threads ask for one, half for 2,000. Each time 1,000 are
/// admitted, and the limiter is as good as before. leaky-bucket writes a stale copy back: of 300 trials 9
/// admitted too many, 9 lost permits, and 10 left the limiter dead for ever.
#[test]
fn small_and_impossible_requests_at_once() {
    let quota = Quota::per_day(1).with_burst(2_000).with_initial(1_000);
    for trial in 0..300 {
        let (limiter, clock) = manual(quota);
        let taken = at_once(|thread| {
            let mut taken = 0;
            for _ in 0..300 {
                if thread % 2 == 0 {
                    taken += u64::from(limiter.try_acquire_n(1).is_ok());
                } else if limiter.try_acquire_n(2_000).is_ok() {
                    taken += 2_000;
                }
            }
            taken
        });
        assert_eq!((taken, limiter.available()), (1_000, 0), "trial {trial}");
        // Not dead: it fills as ever.
        clock.advance(Duration::from_secs(2 * 86_400));
        assert_eq!(limiter.try_acquire_up_to(5), 2, "trial {trial}");
    }
}

/// Threads that ask for different amounts are each given their own. A version of Envoy changed the request
/// inside its compare-and-swap loop; limitador and trypema check first and update later, and admit too many.
#[test]
fn different_amounts_at_once() {
    for trial in 0..100 {
        let (limiter, _) = manual(Quota::per_day(1).with_burst(10_007));
        let taken = at_once(|thread| {
            let mut numbers = Numbers(trial * THREADS + thread);
            let mut taken = 0;
            for _ in 0..500 {
                let n = 1 + numbers.below(9);
                match numbers.below(3) {
                    0 => taken += limiter.try_acquire_up_to(n),
                    _ if limiter.try_acquire_n(n).is_ok() => taken += n,
                    _ => {}
                }
            }
            taken
        });
        assert_eq!(taken + limiter.available() as u64, 10_007, "trial {trial}");
        assert!(taken > 9_990, "trial {trial}: {taken}");
    }
}

/// Takes, charges and refunds at once: the books balance to the last permit.
#[test]
fn every_kind_of_call_at_once() {
    const DEEP: i64 = 1_000_000;
    for trial in 0..50 {
        let (limiter, _) = manual(Quota::per_day(1).with_burst(DEEP as u64 * 2).with_initial(DEEP as u64));
        let taken = at_once(|thread| {
            let mut numbers = Numbers(trial * THREADS + thread);
            let mut taken = 0;
            for _ in 0..1_000 {
                let n = 1 + numbers.below(20);
                match numbers.below(4) {
                    0 => taken += limiter.charge(n).map_or(0, |_| n),
                    1 if taken >= n => {
                        limiter.refund(n).unwrap();
                        taken -= n;
                    }
                    _ if limiter.try_acquire_n(n).is_ok() => taken += n,
                    _ => {}
                }
            }
            taken
        });
        assert_eq!(limiter.available(), DEEP - taken as i64, "trial {trial}");
    }
}

/// While one thread moves the clock, others take: all together never more than the time is worth.
#[test]
fn takes_while_time_passes() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(1_000_000).with_burst(10), clock.clone());
    let steps = 20_000;
    let taken = at_once(|thread| {
        let mut taken = 0;
        for _ in 0..steps {
            if thread == 0 {
                clock.advance(Duration::from_nanos(700));
            }
            taken += u64::from(limiter.try_acquire().is_ok());
        }
        taken
    });
    let left = limiter.available() as u64;
    assert!(taken + left <= 10 + steps * 7 / 10, "{taken} taken, {left} left");
    // The mover takes more than it brings, so only the first step can have run over.
    assert!(taken + left >= 10 + steps * 7 / 10 - 2, "{taken} taken, {left} left");
}
