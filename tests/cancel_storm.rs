//! A storm of cancellations on two workers in real time: no permit is lost, and none is invented.
//!
//! The bucket is so large that it is never full, so the sum is exact: with the clock stopped, what time has
//! brought is what was taken and what is left.

#[path = "support/random.rs"]
mod random;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use tidegate::{Clock, QuantaClock, Quota, RateLimiter};

use random::Random;

/// Follows real time until it is stopped.
#[derive(Clone, Debug)]
struct Stoppable {
    clock: QuantaClock,
    stopped: Arc<AtomicU64>,
}

impl Stoppable {
    fn new() -> Self {
        Self { clock: QuantaClock::new(), stopped: Arc::new(AtomicU64::new(0)) }
    }

    fn stop(&self) {
        self.stopped.store(self.clock.now(), Ordering::SeqCst);
    }
}

impl Clock for Stoppable {
    fn now(&self) -> u64 {
        match self.stopped.load(Ordering::SeqCst) {
            0 => self.clock.now(),
            stopped => stopped,
        }
    }
}

fn acquires() -> u64 {
    std::env::var("TIDEGATE_STORM_ACQUIRES").ok().and_then(|n| n.parse().ok()).unwrap_or(300_000)
}

const TASKS: u64 = 48;

/// One task's share of the storm: acquires that are dropped in every state, or completed. Returns the
/// permits that were completed.
async fn storm(limiter: RateLimiter<Stoppable>, seed: u64, acquires: u64) -> u64 {
    let mut random = Random(seed);
    let mut taken = 0;
    for _ in 0..acquires {
        let n = 1 + random.below(3);
        let mut permit = Box::pin(limiter.acquire_n(n));
        match random.below(8) {
            // Never polled.
            0 => {}
            // Polled once, with a waker that does nothing.
            1 | 2 => {
                let polled = permit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                taken += n * u64::from(polled.is_ready());
            }
            // Polled a few times while others run, then dropped: granted or not.
            3 | 4 => {
                let granted = poll_for_a_while(permit.as_mut(), random.below(4)).await;
                taken += n * u64::from(granted);
            }
            // A time-out that races the grant.
            5 => {
                let soon = Duration::from_micros(random.below(1_500));
                taken += n * u64::from(tokio::time::timeout(soon, permit).await.is_ok());
            }
            _ => {
                permit.await.unwrap();
                taken += n;
            }
        }
        if random.below(64) == 0 {
            taken += u64::from(limiter.try_acquire().is_ok());
        }
    }
    taken
}

async fn poll_for_a_while<F: Future>(mut future: Pin<&mut F>, rounds: u64) -> bool {
    for _ in 0..=rounds {
        let ready =
            std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if ready {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

async fn run(limiter: &RateLimiter<Stoppable>, tasks: u64) -> u64 {
    let tasks: Vec<_> =
        (0..tasks).map(|seed| tokio::spawn(storm(limiter.clone(), seed, acquires() / tasks))).collect();
    let mut taken = 0;
    for task in tasks {
        taken += tokio::time::timeout(Duration::from_secs(120), task)
            .await
            .expect("somebody waits for ever")
            .unwrap();
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_balance_to_the_permit() {
    // 500 permits a millisecond: sometimes the queue is empty, sometimes it is not.
    let quota = Quota::per_second(500_000)
        .with_burst(1_000_000_000)
        .with_initial(0)
        .with_catch_up(Duration::from_secs(3600));
    let clock = Stoppable::new();
    // Counted from here: the limiter reads its clock once when it is made.
    clock.stop();
    let start = clock.now();
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    clock.stopped.store(0, Ordering::SeqCst);

    let taken = run(&limiter, TASKS).await;
    assert_eq!(limiter.waiting(), 0);
    clock.stop();
    let earned = (clock.now() - start) / 2_000;
    assert_eq!(
        i64::try_from(earned).unwrap() - i64::try_from(taken).unwrap(),
        limiter.available(),
        "{taken} taken"
    );
    assert!(taken > acquires() / 2, "a storm in a teacup: {taken} taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_bucket_stays_within_its_bound_and_goes_on() {
    let quota = Quota::per_second(500_000).with_burst(5);
    let clock = Stoppable::new();
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let start = clock.now();
    let taken = run(&limiter, TASKS).await;
    let elapsed = Duration::from_nanos(clock.now() - start) + quota.catch_up();
    let bound = 5 + (elapsed.as_nanos() / 2_000) as u64 + 1;
    assert!(taken <= bound, "{taken} of {bound}");
    assert_eq!(limiter.waiting(), 0);
    tokio::time::timeout(Duration::from_secs(60), limiter.acquire_n(5)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_waiters_cost_one_grant_each_and_stop_nobody() {
    let limiter = RateLimiter::new(Quota::per_second(100_000).with_burst(10).with_initial(0));
    for _ in 0..100 {
        let mut waiter = Box::pin(limiter.acquire_owned());
        let _ = waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        std::mem::forget(waiter);
        tokio::time::timeout(Duration::from_secs(60), limiter.acquire()).await.unwrap();
    }
    assert_eq!(limiter.waiting(), 0);
}

/// A waiter for many permits keeps the queue from running empty during the storm. So every grant that comes back goes
/// to the next waiter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_balance_behind_a_standing_queue() {
    let quota = Quota::per_second(2_000_000)
        .with_burst(1_000_000_000)
        .with_initial(0)
        .with_catch_up(Duration::from_secs(3600));
    let clock = Stoppable::new();
    clock.stop();
    let start = clock.now();
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    clock.stopped.store(0, Ordering::SeqCst);

    let over = Arc::new(AtomicBool::new(false));
    let standing: Vec<_> = (0..2)
        .map(|_| {
            let (limiter, over) = (limiter.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut taken = 0;
                while !over.load(Ordering::SeqCst) {
                    limiter.acquire_n(5_000).await.unwrap();
                    taken += 5_000;
                }
                taken
            })
        })
        .collect();
    let mut taken = run(&limiter, 20 * TASKS).await;
    over.store(true, Ordering::SeqCst);
    for task in standing {
        taken += tokio::time::timeout(Duration::from_secs(120), task)
            .await
            .expect("somebody waits for ever")
            .unwrap();
    }
    assert_eq!(limiter.waiting(), 0);
    clock.stop();
    let earned = (clock.now() - start) / 500;
    assert_eq!(
        i64::try_from(earned).unwrap() - i64::try_from(taken).unwrap(),
        limiter.available(),
        "{taken} taken"
    );
}
