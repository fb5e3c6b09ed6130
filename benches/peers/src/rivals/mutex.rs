//! What people write themselves: a token bucket of two floating-point numbers in a mutex.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{Rival, Setting, Steps};

/// The bucket.
pub struct MutexBucket {
    rate: f64,
    burst: f64,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    level: f64,
    at: Duration,
}

impl MutexBucket {
    /// Takes a permit at a time since the bucket was made; otherwise tells how long to wait for it.
    fn take(&self, now: Duration) -> Result<(), Duration> {
        let mut state = self.state.lock().expect("no panic under the lock");
        // Another thread may have read the clock later and come first.
        let earned = now.saturating_sub(state.at).as_secs_f64() * self.rate;
        state.level = (state.level + earned).min(self.burst);
        state.at = state.at.max(now);
        if state.level < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - state.level) / self.rate));
        }
        state.level -= 1.0;
        Ok(())
    }
}

impl Rival for MutexBucket {
    const NAME: &'static str = "mutex bucket";
    const NOTE: &'static str = "Thirty lines with the standard library's mutex and clock. Its tasks sleep for as long \
        as they are told and ask again, without a queue.";
    const INEXACT: &'static str = "sums of floating-point numbers are rounded";

    fn new(setting: &Setting) -> Self {
        let burst = setting.burst as f64;
        let level = if setting.full { burst } else { 0.0 };
        let state = Mutex::new(State { level, at: Duration::ZERO });
        Self { rate: setting.rate(), burst, began: Instant::now(), state }
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        self.take(self.began.elapsed()).is_ok()
    }

    async fn wait(&self) {
        while let Err(wait) = self.take(self.began.elapsed()) {
            tokio::time::sleep(wait).await;
        }
    }

    fn driven(setting: &Setting, steps: Steps) -> Option<f64> {
        let bucket = Self::new(setting);
        let now = std::cell::Cell::new(Duration::ZERO);
        Some(steps.take(setting, |step| now.set(now.get() + step), || bucket.take(now.get()).is_ok()))
    }
}
