//! Limiters that need tokio's timer, and paused runtimes to drive it.

use super::*;

pub(super) fn mute_limiter(burst: u64) -> (RateLimiter<Mute>, Mute) {
    let clock = Mute::default();
    let quota = Quota::per_second(1).burst(burst).initial(0);
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

/// A runtime whose time goes on by itself whenever it has nothing to do.
pub(super) fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Polls a waiter once on a runtime.
pub(super) fn poll_on<C: Clock>(runtime: &Runtime, waiter: &mut Waiter<C>) -> Poll<Result<(), Denied>> {
    runtime.block_on(poll_fn(|cx| Poll::Ready(waiter.as_mut().poll(cx))))
}

/// Lets so many seconds pass on the current runtime, and on the clock a moment before.
pub(super) async fn pass(clock: &Mute, seconds: u32) {
    let (most, rest) = (Duration::from_millis(990), Duration::from_millis(10));
    for _ in 0..seconds {
        tokio::time::sleep(most).await;
        clock.advance(SECOND);
        tokio::time::sleep(rest).await;
    }
}
