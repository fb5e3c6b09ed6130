//! governor, with its default clock, quanta, and its default table, dashmap.

use std::{error::Error, num::NonZeroU32, time::Duration};

use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter, clock::FakeRelativeClock,
};

use super::{Member, Rival, Setting, Steps, Table};

/// governor's direct limiter.
pub struct Governor(DefaultDirectRateLimiter);

fn burst(setting: &Setting) -> NonZeroU32 {
    u32::try_from(setting.burst)
        .map_or(NonZeroU32::MAX, |burst| burst.try_into().expect("a burst of at least 1"))
}

/// The period of a permit in whole nanoseconds, as its own constructors compute it.
fn quota(setting: &Setting) -> Quota {
    Quota::with_period(setting.time_of(1))
        .expect("at least a nanosecond a permit")
        .allow_burst(burst(setting))
}

impl Rival for Governor {
    const NAME: &'static str = "governor";
    const NOTE: &'static str = "Bursts are 32 bits. Its tasks do not queue: all sleep until the next permit comes, by a \
        timer thread, and then all ask at once. It always begins with a full bucket, which is emptied at once.";
    const INEXACT: &'static str =
        "it rounds the period of a permit down to whole nanoseconds, so it is too fast";

    fn new(setting: &Setting) -> Self {
        let limiter = RateLimiter::direct(quota(setting));
        if !setting.full {
            limiter.check_n(burst(setting)).expect("within the burst").expect("a full bucket");
        }
        Self(limiter)
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        self.0.check().is_ok()
    }

    async fn wait(&self) {
        self.0.until_ready().await;
    }

    fn driven(setting: &Setting, steps: Steps) -> Option<f64> {
        let clock = FakeRelativeClock::default();
        let limiter = RateLimiter::direct_with_clock(quota(setting), clock.clone());
        limiter.check_n(burst(setting)).expect("within the burst").expect("a full bucket");
        Some(steps.take(setting, |step| clock.advance(step), || limiter.check().is_ok()))
    }
}

/// governor's keyed limiter, with the standard library's hasher.
pub struct GovernorKeys(DefaultKeyedRateLimiter<u64>);

impl Table for GovernorKeys {
    const NAME: &'static str = "governor";

    /// Its table has no bound, and grows as keys come. Nothing is dropped from it unless the caller asks.
    fn new(_: usize) -> Self {
        let quota =
            Quota::with_period(Duration::from_nanos(1)).expect("a period").allow_burst(NonZeroU32::MAX);
        Self(RateLimiter::keyed(quota))
    }

    fn first(&self, key: u64) -> bool {
        self.try_acquire(key)
    }

    #[inline]
    fn try_acquire(&self, key: u64) -> bool {
        self.0.check_key(&key).is_ok()
    }
}

/// governor's direct limiter in each process, with an equal part of the quota.
pub struct GovernorSplit(Governor);

/// The part of one of so many processes. No burst is rounded up, so the parts are no more than the whole, unless there are
/// more processes than permits in the burst.
fn part(setting: &Setting, processes: u32) -> Setting {
    Setting { per: setting.per * processes, burst: (setting.burst / u64::from(processes)).max(1), ..*setting }
}

impl Member for GovernorSplit {
    const NAME: &'static str = "governor, split";
    const NOTE: &'static str = "Each process has a limiter of its own with an equal part of the rate and of the burst. It needs \
        no server, but the number of processes has to be known, and what one of them does not use is lost to the others.";

    async fn join(_: &str, _: &str, setting: &Setting, processes: u32) -> Result<Self, Box<dyn Error>> {
        Ok(Self(Governor::new(&part(setting, processes))))
    }

    async fn wait(&self) {
        self.0.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_quota_are_no_more_than_the_whole() {
        let setting = Setting { permits: 1000, per: Duration::from_secs(1), burst: 500, full: true };
        let part = part(&setting, 16);
        assert_eq!((part.permits, part.per, part.burst), (1000, Duration::from_secs(16), 31));
        // A permit in 16 ms, without a rest.
        assert_eq!(part.time_of(1), Duration::from_millis(16));
        assert_eq!(super::part(&setting, 501).burst, 1);
    }
}
