//! Those who are held back for others who were released late.

use std::{thread, time::Duration};

use tidegate::{Clock, Quota, RateLimiter, TokioClock};
use tokio::task::{JoinHandle, yield_now};

use super::mute::Mute;

pub(crate) const MILLI: Duration = Duration::from_millis(1);
pub(crate) const MICRO: Duration = Duration::from_micros(1);

pub(crate) fn limiter(rate: u64, burst: u64) -> RateLimiter<TokioClock> {
    RateLimiter::with_clock(Quota::per_second(rate).burst(burst).initial(0), TokioClock::new())
}

/// Lets all tasks go on that can.
pub(crate) async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// So many are released late, and so many of them are back, with permits there for them.
pub(crate) async fn held<C: Clock>(
    limiter: &RateLimiter<C>,
    released: usize,
    back: usize,
) -> Vec<JoinHandle<()>> {
    let first: Vec<_> = (0..released).map(|_| tokio::spawn(limiter.acquire_owned())).collect();
    for waiter in first {
        waiter.await.unwrap();
    }
    let back: Vec<_> = (0..back).map(|_| tokio::spawn(limiter.acquire_owned())).collect();
    settle().await;
    assert!(limiter.waiting() > 0 || back.is_empty(), "nobody is held back");
    back
}

/// Of 10,000 permits a second, with that burst, two threads have been released late, and have left.
pub(crate) fn after_threads(burst: u64) -> RateLimiter<Mute> {
    let quota = Quota::per_second(10_000).burst(burst).initial(0);
    let limiter = RateLimiter::with_clock(quota, Mute::default());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| limiter.acquire_blocking());
        }
        while limiter.waiting() < 2 {
            thread::yield_now();
        }
        limiter.clock().advance(MILLI);
    });
    limiter
}
