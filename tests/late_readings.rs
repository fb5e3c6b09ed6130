//! Clock readings that are old by the time they are used: a thread may be held up between its reading and the
//! lock, for as long as it pleases the machine.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tidegate::{Clock, Inherit, ManualClock, Quota, RateLimiter};

type Meanwhile = Box<dyn FnOnce() + Send>;

/// A clock that does something between the reading and its use, once.
#[derive(Clone, Default)]
struct Slow {
    clock: ManualClock,
    /// After how many readings, and what.
    meanwhile: Arc<Mutex<Option<(usize, Meanwhile)>>>,
}

impl std::fmt::Debug for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slow").finish_non_exhaustive()
    }
}

impl Slow {
    fn meanwhile(&self, after: usize, action: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some((after, Box::new(action)));
    }
}

impl Clock for Slow {
    fn now(&self) -> u64 {
        let now = self.clock.now();
        let mut meanwhile = self.meanwhile.lock().unwrap();
        let action = match &mut *meanwhile {
            Some((0, _)) => meanwhile.take().map(|(_, action)| action),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        drop(meanwhile);
        if let Some(action) = action {
            action();
        }
        now
    }
}

fn quota(rate: u64, burst: u64) -> Quota {
    Quota::per_second(rate).burst(burst).catch_up(Duration::ZERO)
}

/// A second passes between a reading of the clock and its use, in which the quota is set to that, and all is
/// taken that is there.
fn hold_up(limiter: &RateLimiter<Slow>, after: usize, quota: Quota) {
    let Slow { clock, .. } = limiter.clock().clone();
    let other = limiter.clone();
    limiter.clock().meanwhile(after, move || {
        clock.advance(Duration::from_secs(1));
        other.set_quota(quota).unwrap();
        other.try_acquire_up_to(u64::MAX);
        assert_eq!(other.available(), 0);
    });
}

#[test]
fn a_change_of_quota_by_an_old_reading_is_no_second_burst() {
    for (inherit, more) in [(Inherit::AsIs, 0), (Inherit::Additively, 998), (Inherit::Proportionally, 0)] {
        // It reads the clock twice.
        for after in 0..2 {
            let limiter = RateLimiter::with_clock(quota(1_000, 1), Slow::default());
            limiter.clock().clock.advance(Duration::from_secs(5));
            hold_up(&limiter, after, quota(1_000, 2));
            limiter.set_quota_with(quota(1_000, 1_000), inherit).unwrap();
            assert_eq!(limiter.available(), more, "{inherit:?}, reading {after}");
        }
    }
}

#[test]
fn a_charge_that_is_refused_by_an_old_reading_is_no_second_burst() {
    for after in 0..2 {
        let limiter = RateLimiter::with_clock(quota(1_000, 1_000), Slow::default());
        limiter.clock().clock.advance(Duration::from_secs(5));
        hold_up(&limiter, after, quota(1_000, 1));
        limiter.charge(6_000_000_000_000_u64).unwrap_err();
        assert!(limiter.available() <= 0, "reading {after}: {}", limiter.available());
    }
}
