//! A clock that follows tokio's time.

use tokio::time::Instant;

use super::Clock;

/// A clock that follows tokio's time, also where a test has paused it.
///
/// It costs about two reads of the default clock. Use it where the rest of the program measures time by
/// [`tokio::time`], above all in tests with paused time.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{Quota, RateLimiter, TokioClock};
///
/// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
/// # rt.block_on(async {
/// // In a test with paused time: `#[tokio::test(start_paused = true)]`.
/// let limiter = RateLimiter::with_clock(Quota::per_second(1), TokioClock::new());
/// let start = tokio::time::Instant::now();
/// for _ in 0..3 {
///     limiter.acquire().await;
/// }
/// assert_eq!(start.elapsed(), Duration::from_secs(2));
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct TokioClock {
    origin: Instant,
}

impl TokioClock {
    /// A clock that counts from now.
    ///
    /// See the example of [`TokioClock`].
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> u64 {
        // 2^64 ns are 584 years of uptime.
        Instant::now().saturating_duration_since(self.origin).as_nanos() as u64
    }
}
