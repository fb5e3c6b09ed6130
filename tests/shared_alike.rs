//! What is said of hungry callers, where not all of them are alike: one has a longest wait, or some come once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tidegate::{Quota, RateLimiter, TokioClock};
use tokio::{
    task::yield_now,
    time::{advance, sleep},
};

const MILLI: Duration = Duration::from_millis(1);

fn limiter(rate: u64, burst: u64) -> RateLimiter<TokioClock> {
    RateLimiter::with_clock(Quota::per_second(rate).burst(burst).initial(0), TokioClock::new())
}

/// Lets all tasks go on that can.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// Hungry callers, of whom one has a longest wait.
#[tokio::test(start_paused = true)]
async fn a_longest_wait_gives_no_more_than_a_share() {
    let limiter = limiter(25_000, 1);
    let counts: Arc<[AtomicU64]> = (0..10).map(|_| AtomicU64::new(0)).collect();
    for task in 0..10 {
        let (limiter, counts) = (limiter.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            loop {
                if task == 0 {
                    limiter.acquire_within(1, Duration::from_secs(1)).await.unwrap();
                } else {
                    limiter.acquire().await;
                    yield_now().await;
                    yield_now().await;
                }
                counts[task].fetch_add(1, Relaxed);
            }
        });
    }
    sleep(Duration::from_millis(200)).await;
    let counts: Vec<_> = counts.iter().map(|count| count.load(Relaxed)).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 1, "{counts:?}");
}

/// Two are hungry; one of them is back at once, and one within 0.3 ms. Others come once, now and then.
#[tokio::test(start_paused = true)]
async fn who_comes_anew_is_not_taken_for_who_is_awaited() {
    let limiter = limiter(10_000, 1);
    let (quick, slow) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    {
        let (limiter, slow) = (limiter.clone(), Arc::clone(&slow));
        tokio::spawn(async move {
            limiter.acquire().await;
            slow.fetch_add(1, Relaxed);
            // It is held up for less than half a millisecond, if it ever comes back.
            core::future::pending::<()>().await;
        });
    }
    {
        let (limiter, quick) = (limiter.clone(), Arc::clone(&quick));
        tokio::spawn(async move {
            loop {
                limiter.acquire().await;
                quick.fetch_add(1, Relaxed);
            }
        });
    }
    settle().await;
    // Late by 9 ms, with credit for as many tenths.
    advance(9 * MILLI).await;
    settle().await;
    assert_eq!((quick.load(Relaxed), slow.load(Relaxed)), (1, 1));
    for _ in 0..3 {
        advance(MILLI / 10).await;
        drop(tokio::spawn(limiter.acquire_owned()));
        settle().await;
    }
    let (quick, slow) = (quick.load(Relaxed), slow.load(Relaxed));
    assert!(quick <= slow + 1, "{quick} to {slow} within 0.3 ms");
}
