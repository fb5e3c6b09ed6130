//! Clock readings that are old by the time they are used: a thread may be held up between its reading and the
//! lock, for as long as it pleases the machine.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use tidegate::{Clock, Inherit, ManualClock, Quota, RateLimiter, Reservation};

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

/// Whenever the quota changes as the bucket is empty, the word comes to the same number. Who has seen it, and is held up
/// as it reads the clock anew, finds it again five seconds later: that is no clock that has stepped back, and to be
/// followed by the next reading that is late.
#[test]
fn a_word_that_comes_to_the_same_number_is_not_the_one_that_was_seen() {
    type Call = fn(&RateLimiter<Slow>) -> bool;
    // After how many readings, of which the first of a charge is that without the lock.
    let calls: [(&str, usize, Call); 3] = [
        ("available", 0, |limiter| limiter.available() > 0),
        ("try_reserve", 0, |limiter| limiter.try_reserve(1).is_ok()),
        ("charge", 1, |limiter| limiter.charge(1).unwrap().is_zero()),
    ];
    let ten = || quota(10, 10);
    let mut minted = Vec::new();
    for (what, after, call) in calls {
        let limiter = RateLimiter::with_clock(ten(), Slow::default());
        let slow = limiter.clock().clone();
        slow.clock.advance(Duration::from_secs(1_000));
        assert_eq!(limiter.try_acquire_up_to(u64::MAX), 10, "{what}");
        let (here, is_here) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel();
        let (other, clock) = (limiter.clone(), slow.clone());
        // Seconds after the first reading, and before its use.
        slow.meanwhile(after, move || {
            clock.clock.advance(Duration::from_secs(5));
            assert_eq!(other.try_acquire_up_to(u64::MAX), 10);
            other.set_quota(ten()).unwrap();
            // And after the second.
            clock.clone().meanwhile(0, move || {
                clock.clock.advance(Duration::from_secs(2));
                clock.meanwhile(0, move || goes_on.recv().unwrap());
                let third = other.clone();
                let reading = clock.clone();
                here.send(thread::spawn(move || third.try_reserve(1).map(Reservation::spend))).unwrap();
                while reading.meanwhile.lock().unwrap().is_some() {
                    thread::yield_now();
                }
                clock.clock.advance(Duration::from_secs(3));
                assert_eq!(other.try_acquire_up_to(u64::MAX), 10);
                other.set_quota(ten()).unwrap();
            });
        });
        assert!(!call(&limiter), "{what}");
        go_on.send(()).unwrap();
        let late = is_here.recv().unwrap().join().unwrap();
        let more = limiter.try_acquire_up_to(u64::MAX) + u64::from(late.is_ok());
        if more > 0 {
            minted.push((what, more));
        }
    }
    assert_eq!(minted, []);
}
