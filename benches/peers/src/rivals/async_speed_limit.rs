//! async-speed-limit, which limits bytes: here a permit is a byte.

use std::time::Duration;

use async_speed_limit::{
    Limiter,
    clock::{Clock, ManualClock, Nanoseconds, StandardClock},
};

use super::{Grants, Rival, Setting, Steps};

/// async-speed-limit's limiter.
pub struct AsyncSpeedLimit<C: Clock = StandardClock>(Limiter<C>);

impl<C: Clock> AsyncSpeedLimit<C> {
    fn with_clock(setting: &Setting, clock: C) -> Self {
        let mut builder = Limiter::builder(setting.rate());
        let limiter = builder.refill(setting.time_of(setting.burst)).clock(clock).build();
        if !setting.full {
            limiter.consume_duration(setting.burst as usize);
        }
        Self(limiter)
    }
}

impl Rival for AsyncSpeedLimit {
    const NAME: &'static str = "async-speed-limit";
    const NOTE: &'static str = "It has no call that refuses. A caller takes first and then sleeps for its debt and the \
        time of a burst, so a wait that is given up still costs its permit, and callers add debt without bound.";
    const INEXACT: &'static str = "it rounds waits down to whole nanoseconds";
    const TRIES: bool = false;

    fn new(setting: &Setting) -> Self {
        Self::with_clock(setting, StandardClock)
    }

    async fn wait(&self) {
        self.0.consume(1).await;
    }

    /// A caller that sleeps for as long as it is told.
    fn driven(setting: &Setting, steps: Steps) -> Option<f64> {
        if steps.often {
            return None;
        }
        let clock = ManualClock::new();
        let limiter = AsyncSpeedLimit::with_clock(setting, clock.clone()).0;
        let (mut now, mut grants) = (0, Grants::default());
        while !grants.are_enough(steps.time()) {
            now += limiter.consume_duration(1).as_nanos() as u64;
            clock.set_time(Nanoseconds(now));
            grants.add(Duration::from_nanos(now));
        }
        Some(grants.share(setting))
    }
}
