//! Claim: a call that is refused because of waiters gets a wait that is long enough, also while waiters are granted or
//! the quota changes: the sum that the call reads without the lock never misses a grant. The wait is by one quota or
//! the other, never by parts of both.

use core::time::Duration;

use loom::thread;

use super::{Limiter, ModelClock, SECOND, check, drive, limiter, queued};
use crate::Quota;

/// The refusal of a call for `permits` that does not wait, while `meanwhile` runs, behind waiters for so many permits,
/// with a burst of three of which `initial` are available.
fn told(
    initial: u64,
    waiting: &[u64],
    permits: u64,
    now: u64,
    meanwhile: impl FnOnce(&Limiter),
) -> Option<Duration> {
    let clock = ModelClock::new();
    let limiter = limiter(3, initial, &clock);
    let _waiters: Vec<_> = waiting.iter().map(|&n| queued(&limiter, n)).collect();
    clock.set(now);
    let other = {
        let limiter = limiter.clone();
        thread::spawn(move || limiter.try_acquire_n(permits).unwrap_err())
    };
    meanwhile(&limiter);
    other.join().unwrap().retry_after()
}

/// The waiter is granted after a second and the caller three seconds later, or both a thousand times sooner. With the
/// ticks of the one and the burst of the other, the request would be too large for ever.
#[test]
fn the_wait_is_by_one_quota_or_the_other() {
    check(0, || {
        let quota = Quota::new(1, Duration::from_millis(999)).with_burst(3);
        let told = told(1, &[2], 3, 0, |limiter| limiter.set_quota(quota).unwrap());
        assert!([4_000, 3_996].map(|ms| Some(Duration::from_millis(ms))).contains(&told), "{told:?}");
    });
}

/// One of two waiters is granted the permit of the first second, and the caller's turn is two seconds later. During the
/// grant, the granted permit may count twice.
#[test]
fn the_wait_is_no_shorter_while_a_waiter_is_granted() {
    check(2, || {
        let told = told(0, &[1, 1], 1, SECOND, drive);
        assert!([2, 3].map(|s| Some(Duration::from_secs(s))).contains(&told), "{told:?}");
    });
}

/// A waiter leaves: the wait counts the waiter, or does not.
#[test]
fn the_wait_is_right_while_a_waiter_leaves() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(3, 0, &clock);
        let (_stays, leaves) = (queued(&limiter, 1), queued(&limiter, 2));
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire().unwrap_err().retry_after())
        };
        drop(leaves);
        let told = other.join().unwrap();
        assert!([2, 4].map(|s| Some(Duration::from_secs(s))).contains(&told), "{told:?}");
    });
}
