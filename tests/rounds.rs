//! Hungry tasks share alike: none is served twice before all have been served once, in whatever order they come
//! back. And who is not hungry is not held up by that.

#[path = "support/mute.rs"]
mod mute;
#[path = "support/random.rs"]
mod random;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use mute::Mute;
use random::Random;
use tidegate::{Quota, RateLimiter, TokioClock};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinSet, yield_now},
    time::{Instant, sleep},
};

const MILLI: Duration = Duration::from_millis(1);

type Limiter = RateLimiter<TokioClock>;

/// An empty bucket.
fn limiter(rate: u64, burst: u64) -> Limiter {
    RateLimiter::with_clock(Quota::per_second(rate).burst(burst).initial(0), TokioClock::new())
}

/// Counts of grants, task by task.
#[derive(Clone)]
struct Counts(Arc<[AtomicU64]>);

impl Counts {
    fn new(tasks: usize) -> Self {
        Self((0..tasks).map(|_| AtomicU64::new(0)).collect())
    }

    fn add(&self, task: usize) {
        self.0[task].fetch_add(1, Relaxed);
    }

    fn each(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|count| count.load(Relaxed))
    }

    /// By how much two of them differ at the most.
    fn apart(&self) -> u64 {
        self.each().max().unwrap() - self.each().min().unwrap()
    }
}

/// Hungry tasks that come back in an order that is anybody's guess; after each grant, by how much their counts
/// differ at the most. And how many grants there were of so many that the time was worth.
async fn hungry(rate: u64, burst: u64, tasks: usize) -> (u64, u64, u64) {
    let (limiter, counts) = (limiter(rate, burst), Counts::new(tasks));
    let apart = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut all = JoinSet::new();
    for task in 0..tasks {
        let (limiter, counts, apart) = (limiter.clone(), counts.clone(), Arc::clone(&apart));
        all.spawn(async move {
            let mut random = Random(task as u64);
            loop {
                limiter.acquire().await;
                counts.add(task);
                apart.fetch_max(counts.apart(), Relaxed);
                for _ in 0..random.below(4) {
                    yield_now().await;
                }
            }
        });
    }
    sleep(Duration::from_millis(400)).await;
    let allowed = start.elapsed().as_micros() as u64 * rate / 1_000_000;
    let granted = counts.each().sum();
    (apart.load(Relaxed), granted, allowed)
}

/// A tick is worth less than a round, as much, or more; and the burst nothing, a round, or many.
#[tokio::test(start_paused = true)]
async fn counts_differ_by_one_at_the_most() {
    for (rate, tasks) in [(1_000, 10), (10_000, 7), (10_000, 100), (100_000, 60), (100_000, 100)] {
        for burst in [1, 100, 1_000] {
            let (apart, granted, allowed) = hungry(rate, burst, tasks).await;
            assert_eq!(apart, 1, "{rate}/s, {tasks} tasks, burst {burst}");
            // The last tick may still be under way.
            let missing = allowed - granted;
            assert!(missing <= 2 * rate / 1_000, "{rate}/s, {tasks} tasks: {granted} of {allowed}");
        }
    }
}

/// One of them has a longest wait.
#[tokio::test(start_paused = true)]
async fn a_longest_wait_gives_no_more_than_a_share() {
    let (limiter, counts) = (limiter(25_000, 1), Counts::new(10));
    let mut all = JoinSet::new();
    for task in 0..10 {
        let (limiter, counts) = (limiter.clone(), counts.clone());
        all.spawn(async move {
            loop {
                if task == 0 {
                    limiter.acquire_within(1, Duration::from_secs(1)).await.unwrap();
                } else {
                    limiter.acquire().await;
                    yield_now().await;
                    yield_now().await;
                }
                counts.add(task);
            }
        });
    }
    sleep(200 * MILLI).await;
    assert!(counts.each().sum::<u64>() > 4_900);
    assert!(counts.apart() <= 1, "{:?}", counts.each().collect::<Vec<_>>());
}

/// Above 100,000 a second who comes back takes what is there.
#[tokio::test(start_paused = true)]
async fn above_that_rate_nobody_is_waited_for() {
    let (apart, granted, allowed) = hungry(1_000_000, 1, 100).await;
    assert!(apart > 1, "{apart}");
    assert!(allowed - granted <= 2_000, "{granted} of {allowed}");
}

/// Whoever is served once and does not come back costs the others the rest of a tick, and no permit.
#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_in_vain() {
    let (limiter, start) = (limiter(10_000, 1), Instant::now());
    let counts = Counts::new(1);
    let mut all = JoinSet::new();
    {
        let (limiter, counts) = (limiter.clone(), counts.clone());
        all.spawn(async move {
            loop {
                limiter.acquire().await;
                counts.add(0);
            }
        });
    }
    let mut once = 0;
    while start.elapsed() < Duration::from_secs(1) {
        // Each comes alone, and late or early in a tick.
        for pause in [3, 7, 1] {
            sleep(pause * MILLI).await;
            all.spawn(limiter.acquire_owned());
            once += 1;
        }
    }
    let allowed = start.elapsed().as_micros() as u64 / 100;
    let granted = once + counts.each().sum::<u64>();
    assert!(granted <= allowed && allowed - granted <= 20, "{granted} of {allowed}");
}

/// A few are hungry, and in each tick somebody comes who does not come back. Those who are waited for in vain cost
/// nothing that has come.
#[tokio::test(start_paused = true)]
async fn the_few_get_what_the_many_leave() {
    for (hungry, catch_up) in [(1, 3), (3, 3), (1, 10), (3, 10)] {
        let quota = Quota::per_second(10_000).burst(1).initial(0).catch_up(catch_up * MILLI);
        let (limiter, counts) = (RateLimiter::with_clock(quota, TokioClock::new()), Counts::new(4));
        let start = Instant::now();
        let mut all = JoinSet::new();
        for task in 0..hungry {
            let (limiter, counts) = (limiter.clone(), counts.clone());
            all.spawn(async move {
                loop {
                    limiter.acquire().await;
                    counts.add(task);
                }
            });
        }
        for _ in 0..500 {
            sleep(MILLI).await;
            let (once, counts) = (limiter.acquire_owned(), counts.clone());
            all.spawn(async move {
                once.await;
                counts.add(3);
            });
        }
        let allowed = start.elapsed().as_micros() as u64 / 100;
        let granted = counts.each().sum::<u64>();
        // What is held in the end is not lost.
        let kept = 10 * u64::from(catch_up) + 10;
        assert!(
            granted <= allowed && granted + kept >= allowed,
            "{granted} of {allowed}, {hungry}, {catch_up} ms"
        );
    }
}

/// Releases so many late, of which one is back at once, and waits; there are permits for it.
async fn held(limiter: &Limiter, released: usize) -> tokio::task::JoinHandle<Instant> {
    let first: Vec<_> = (0..released).map(|_| tokio::spawn(limiter.acquire_owned())).collect();
    for waiter in first {
        waiter.await.unwrap();
    }
    let back = limiter.acquire_owned();
    let back = tokio::spawn(async move {
        back.await;
        Instant::now()
    });
    yield_now().await;
    assert!(!back.is_finished(), "nobody was waited for");
    back
}

#[tokio::test(start_paused = true)]
async fn who_is_held_back_goes_on_within_a_tick() {
    let limiter = limiter(10_000, 1);
    let back = held(&limiter, 2).await;
    let start = Instant::now();
    assert_eq!(back.await.unwrap(), start + MILLI);
}

#[tokio::test(start_paused = true)]
async fn who_is_held_back_goes_on_when_the_other_is_back() {
    let limiter = limiter(10_000, 1);
    let back = held(&limiter, 2).await;
    let start = Instant::now();
    limiter.acquire().await;
    assert_eq!(back.await.unwrap(), start);
    assert_eq!(Instant::now(), start);
}

/// It holds nobody back beyond a deadline, nor calls that do not wait.
#[tokio::test(start_paused = true)]
async fn who_cannot_wait_does_not() {
    let limiter = limiter(10_000, 5);
    let first = [limiter.acquire_owned(), limiter.acquire_owned()].map(tokio::spawn);
    for waiter in first {
        waiter.await.unwrap();
    }
    let start = Instant::now();
    limiter.acquire_within(1, Duration::ZERO).await.unwrap();
    limiter.acquire_within(1, MILLI / 4).await.unwrap();
    limiter.try_acquire_n(2).unwrap();
    assert_eq!(Instant::now(), start);
}

/// Nor those ahead of such a one: all who wait go on.
#[tokio::test(start_paused = true)]
async fn who_cannot_wait_takes_those_ahead_along() {
    let limiter = limiter(10_000, 5);
    let back = held(&limiter, 3).await;
    let start = Instant::now();
    tokio::spawn(limiter.acquire_within_owned(1, MILLI / 4)).await.unwrap().unwrap();
    assert_eq!(back.await.unwrap(), start);
    assert_eq!(Instant::now(), start);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// The runtime that kept the time has gone with those who were released, and no alarm is set.
#[test]
fn who_is_held_back_sets_an_alarm_if_there_is_none() {
    let clock = Mute::default();
    let quota = Quota::per_second(10_000).burst(1).initial(0);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    runtime().block_on(async {
        let first = [limiter.acquire_owned(), limiter.acquire_owned()].map(tokio::spawn);
        yield_now().await;
        clock.advance(MILLI);
        for waiter in first {
            waiter.await.unwrap();
        }
    });
    runtime().block_on(async {
        let back = tokio::spawn(limiter.acquire_owned());
        yield_now().await;
        assert!(!back.is_finished(), "nobody was waited for");
        clock.advance(MILLI);
        sleep(2 * MILLI).await;
        assert!(back.is_finished(), "it waits for an alarm that nobody has set");
    });
}
