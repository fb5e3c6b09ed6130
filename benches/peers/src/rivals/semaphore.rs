//! tokio's semaphore, and a task that adds what is due every millisecond.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::{Rival, Setting, Steps, in_paused_time, tidegate::HEAD_START};

/// The semaphore; the task is there if tasks wait.
pub struct Ticker(Arc<Semaphore>);

impl Rival for Ticker {
    const NAME: &'static str = "semaphore and ticker";
    const NOTE: &'static str = "It hoards permits without bound, so it is no limiter: it shows what the runtime itself \
        can do.";
    const FASTER: &'static str = "its calls never read the clock, which is more than half of the floor";

    fn new(setting: &Setting) -> Self {
        Self(Arc::new(Semaphore::new(if setting.full { setting.burst as usize } else { 0 })))
    }

    fn starting(setting: &Setting) -> (Self, Instant) {
        let (limiter, setting) = (Self::new(setting), *setting);
        let filled = Arc::clone(&limiter.0);
        let starts = tokio::time::Instant::now() + HEAD_START;
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(1));
            let mut added = 0;
            loop {
                ticks.tick().await;
                let due = setting.due(starts.elapsed());
                filled.add_permits((due - added) as usize);
                added = due;
            }
        });
        (limiter, starts.into_std())
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        self.0.try_acquire().map(|permit| permit.forget()).is_ok()
    }

    async fn wait(&self) {
        self.0.acquire().await.expect("never closed").forget();
    }

    fn driven(setting: &Setting, steps: Steps) -> Option<f64> {
        // So many ticks would take too long.
        if steps.time() > Duration::from_secs(1000) { None } else { in_paused_time::<Self>(setting, steps) }
    }
}
