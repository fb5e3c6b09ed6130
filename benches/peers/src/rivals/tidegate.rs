//! tidegate itself.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use tidegate::{Fleet, Keyed, ManualClock, Quota, RateLimiter};

use super::{Member, Rival, Setting, Steps, Table};

/// How long tasks have to queue up before the first permit comes.
pub(super) const HEAD_START: Duration = Duration::from_millis(50);

/// tidegate's `RateLimiter`.
pub struct Tidegate(pub RateLimiter);

impl Tidegate {
    /// Its quota at a setting.
    pub fn quota(setting: &Setting) -> Quota {
        let quota = Quota::new(setting.permits, setting.per).with_burst(setting.burst);
        if setting.full { quota } else { quota.with_initial(0) }
    }
}

impl Rival for Tidegate {
    const NAME: &'static str = "tidegate";
    const NOTE: &'static str = "Tasks that wait get up to what comes in 10 ms (`catch_up`) above the burst, to make \
        up for timers that are late. None of the others has that, except the semaphore, which has no bound at all.";

    fn new(setting: &Setting) -> Self {
        Self(RateLimiter::new(Self::quota(setting)))
    }

    /// A debt keeps the first permit back until all tasks are in the queue.
    fn starting(setting: &Setting) -> (Self, Instant) {
        let limiter = Self::new(setting);
        let debt = setting.rate() * HEAD_START.as_secs_f64();
        let paid = limiter.0.charge(debt).expect("not too deep a debt");
        (limiter, Instant::now() + paid)
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        self.0.try_acquire().is_ok()
    }

    async fn wait(&self) {
        self.0.acquire().await;
    }

    fn driven(setting: &Setting, steps: Steps) -> Option<f64> {
        let clock = ManualClock::new();
        let limiter = RateLimiter::with_clock(Self::quota(setting), clock.clone());
        Some(steps.take(setting, |step| clock.advance(step), || limiter.try_acquire().is_ok()))
    }
}

/// tidegate's `Keyed`, with the standard library's hasher.
pub struct TidegateKeys(Keyed<u64>);

impl Table for TidegateKeys {
    const NAME: &'static str = "tidegate";

    fn new(keys: usize) -> Self {
        let quota = Quota::per_second(1_000_000).with_burst(1_000_000_000);
        Self(Keyed::builder(quota).max_keys(keys).build().expect("a quota"))
    }

    fn first(&self, key: u64) -> bool {
        // The limiter of the key is full again a minute later, and until then the table keeps it.
        self.0.try_acquire_n(&key, 60_000_000).is_ok()
    }

    #[inline]
    fn try_acquire(&self, key: u64) -> bool {
        self.0.try_acquire(&key).is_ok()
    }
}

/// tidegate's `Fleet`, as its builder makes it if nothing is chosen.
pub struct TidegateFleet(Fleet);

impl Member for TidegateFleet {
    const NAME: &'static str = "tidegate";
    const NOTE: &'static str = "`Fleet`. A process leases permits from a script on the server, for a tenth of a second or less \
        at a time, and its tasks wait in one queue. Half of the burst is set aside for leases that are used late, so at most \
        the other half is there at once.";

    async fn join(server: &str, name: &str, setting: &Setting, _: u32) -> Result<Self, Box<dyn Error>> {
        Ok(Self(Fleet::builder(name, Tidegate::quota(setting)).join(server).await?))
    }

    async fn wait(&self) {
        self.0.acquire().await;
    }

    fn failed(&self) -> u64 {
        self.0.report().failed()
    }
}
