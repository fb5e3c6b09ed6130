//! ratelimit, a token bucket of several atomics.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ratelimit::{Builder, Clock, Ratelimiter, StdClock, TryWaitError};

use super::{Rival, Setting, Steps};

/// ratelimit's limiter.
pub struct Ratelimit<C: Clock = StdClock>(Ratelimiter<C>);

impl<C: Clock> Ratelimit<C> {
    fn with_clock(setting: &Setting, clock: C) -> Self {
        let builder =
            Builder::with_clock(setting.permits, clock).period(setting.per).max_tokens(setting.burst);
        let builder = builder.initial_available(if setting.full { setting.burst } else { 0 });
        Self(builder.build().expect("a good setting"))
    }
}

impl Rival for Ratelimit {
    const NAME: &'static str = "ratelimit";
    const NOTE: &'static str = "It has no call for tasks: they run the loop of its documentation, with tokio's sleep \
        for the thread's, and have no queue.";
    const FASTER: &'static str = "it does not refill within a microsecond of the last refill";
    const INEXACT: &'static str = "each call refills whole millionths of a permit and drops the rest, so it is too slow if callers come often";

    fn new(setting: &Setting) -> Self {
        Self::with_clock(setting, StdClock::new())
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        self.0.try_wait().is_ok()
    }

    async fn wait(&self) {
        while let Err(error) = self.0.try_wait() {
            let TryWaitError::Insufficient(wait) = error else { unreachable!("a burst of at least 1") };
            tokio::time::sleep(wait).await;
        }
    }

    fn driven(setting: &Setting, steps: Steps) -> Option<f64> {
        let clock = ByHand::default();
        let limiter = Ratelimit::with_clock(setting, clock.clone()).0;
        let advance = |step: Duration| {
            clock.0.fetch_add(step.as_nanos() as u64, Ordering::Relaxed);
        };
        Some(steps.take(setting, advance, || limiter.try_wait().is_ok()))
    }
}

/// A clock moved by hand, in nanoseconds.
#[derive(Clone, Default)]
struct ByHand(Arc<AtomicU64>);

impl Clock for ByHand {
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
