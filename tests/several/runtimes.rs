//! Groups on several runtimes, each of which drives its own timers only.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use tokio::runtime::{Builder, Runtime};

use super::{AllOf, Clock, Duration, Quota, RateLimiter, ms};

/// A clock without alarms that is moved by hand, so that those of tokio are needed.
#[derive(Clone, Debug, Default)]
struct Mute(Arc<AtomicU64>);

impl Clock for Mute {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A runtime whose time goes on by itself whenever it has nothing to do.
fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Polls a waiter once on a runtime.
fn poll_on<F: Future>(runtime: &Runtime, waiter: &mut Pin<Box<F>>) -> Poll<F::Output> {
    runtime.block_on(poll_fn(|cx| Poll::Ready(waiter.as_mut().poll(cx))))
}

#[test]
fn a_group_whose_runtime_stands_still_delays_nobody() {
    let clock = Mute::default();
    let quota = Quota::per_second(1).burst(1);
    let [a, b] = [0, 1].map(|initial| RateLimiter::with_clock(quota.initial(initial), clock.clone()));
    let (one, two) = (paused(), paused());
    let mut first = Box::pin(a.acquire());
    assert!(poll_on(&one, &mut first).is_pending());
    // At the head of its queue it is asked for its own timer, and has no way to hear of it.
    let mut group = Box::pin(AllOf::new().and(&a, 1).and(&b, 1).acquire());
    assert!(poll_on(&two, &mut group).is_pending());
    let mut last = Box::pin(a.acquire());
    assert!(poll_on(&one, &mut last).is_pending());
    for waiting in [2, 1, 0] {
        one.block_on(async {
            tokio::time::sleep(ms(990)).await;
            clock.0.fetch_add(Duration::from_secs(1).as_nanos() as u64, Ordering::SeqCst);
            tokio::time::sleep(ms(10)).await;
        });
        assert_eq!(a.waiting(), waiting);
    }
    assert_eq!(poll_on(&two, &mut group), Poll::Ready(Ok(())));
    assert!(poll_on(&one, &mut last).is_ready());
}

#[test]
fn a_group_that_is_due_by_the_old_quota_goes_first() {
    let clock = Mute::default();
    let quota = Quota::per_second(1).burst(2);
    let [a, b] = [0, 1].map(|initial| RateLimiter::with_clock(quota.initial(initial), clock.clone()));
    let runtime = paused();
    let mut group = Box::pin(AllOf::new().and(&a, 2).and(&b, 1).acquire());
    assert!(poll_on(&runtime, &mut group).is_pending());
    // The alarm is late.
    clock.0.fetch_add(2 * 1_000_000_000, Ordering::SeqCst);
    a.set_quota(Quota::per_second(1).burst(1)).unwrap();
    assert_eq!(poll_on(&runtime, &mut group), Poll::Ready(Ok(())));
    assert_eq!(a.available(), 0);
}
