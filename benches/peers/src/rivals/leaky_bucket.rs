//! leaky-bucket, which refills in steps of whole milliseconds.

use std::time::Duration;

use leaky_bucket::RateLimiter;

use super::{Rival, Setting, Steps};

/// leaky-bucket's limiter.
pub struct LeakyBucket(RateLimiter);

impl Rival for LeakyBucket {
    const NAME: &'static str = "leaky-bucket";
    const NOTE: &'static str = "It refills in steps that are at least a millisecond, so its burst is at least what \
        comes in one. It is fair, which is its default, so each call takes its lock.";
    const INEXACT: &'static str = "it counts whole milliseconds from one refill to the next, and forgets \
        the rest; a longer interval, with a larger burst, is more exact";

    fn new(setting: &Setting) -> Self {
        // The least number of permits that take a millisecond, since it panics at a shorter interval.
        let mut refill = setting.due(Duration::from_millis(1)).max(1);
        if setting.time_of(refill) < Duration::from_millis(1) {
            refill += 1;
        }
        let max = setting.burst.max(refill) as usize;
        let limiter = RateLimiter::builder()
            .max(max)
            .initial(if setting.full { max } else { 0 })
            .refill(refill as usize)
            .interval(setting.time_of(refill))
            .build();
        Self(limiter)
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        self.0.try_acquire(1)
    }

    async fn wait(&self) {
        self.0.acquire_one().await;
    }

    fn driven(setting: &Setting, steps: Steps) -> Option<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let _entered = runtime.enter();
        let limiter = Self::new(setting);
        let advance = |step| runtime.block_on(tokio::time::advance(step));
        Some(steps.take(setting, advance, || limiter.try_acquire()))
    }
}
