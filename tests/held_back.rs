//! Who is held back for the sake of fairness loses nothing by it: not its turn, not what it was due, and no more
//! time than is said. And nobody is held back who need not be.

#[path = "support/held.rs"]
mod held;
#[path = "support/mute.rs"]
mod mute;

use core::task::Waker;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use held::{MICRO, MILLI, after_threads, held, limiter, settle};
use mute::Mute;
use tidegate::{Clock, Inherit, Quota, RateLimiter, TokioClock};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinHandle, yield_now},
    time::{Instant, advance, sleep},
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// One who finds others awaited; it is served once the time is over, on a runtime of its own.
fn is_served_in_time(limiter: &RateLimiter<Mute>) {
    runtime().block_on(async {
        let back = tokio::spawn(limiter.acquire_owned());
        settle().await;
        limiter.clock().advance(MILLI);
        sleep(3 * MILLI).await;
        assert!(back.is_finished(), "it waits for an alarm that nobody has set");
    });
}

#[test]
fn who_is_held_back_does_not_rely_on_threads_that_have_left() {
    let limiter = after_threads(1);
    is_served_in_time(&limiter);
}

#[test]
fn who_is_held_back_does_not_rely_on_a_runtime_that_nobody_drives() {
    let quota = Quota::per_second(10_000).burst(1).initial(0);
    let limiter = RateLimiter::with_clock(quota, Mute::default());
    let idle = runtime();
    idle.block_on(async {
        let first = [limiter.acquire_owned(), limiter.acquire_owned()].map(tokio::spawn);
        settle().await;
        limiter.clock().advance(MILLI);
        for waiter in first {
            waiter.await.unwrap();
        }
    });
    is_served_in_time(&limiter);
    drop(idle);
}

/// What is due by the old quota is granted by the old quota.
#[tokio::test(start_paused = true)]
async fn who_is_held_back_is_due_when_the_quota_changes() {
    let limiter = limiter(10_000, 1);
    let back = held(&limiter, 6, 4).await;
    assert_eq!(limiter.waiting(), 4);
    limiter.set_quota(Quota::per_hour(1)).unwrap();
    settle().await;
    assert_eq!(back.iter().filter(|task| task.is_finished()).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn who_is_held_back_is_due_when_the_quota_starts_anew() {
    let limiter = limiter(10_000, 1);
    let back = held(&limiter, 2, 1).await;
    assert_eq!(limiter.waiting(), 1);
    limiter.set_quota_with(Quota::per_hour(1).initial(0), Inherit::Reset).unwrap();
    settle().await;
    assert!(back[0].is_finished());
}

/// A call that does not wait finds what it would find if nobody were held back.
#[tokio::test(start_paused = true)]
async fn who_does_not_wait_lets_them_go_on() {
    let limiter = limiter(10_000, 5);
    let back = held(&limiter, 2, 1).await;
    assert_eq!(limiter.waiting(), 1);
    limiter.try_acquire().unwrap();
    settle().await;
    assert!(back[0].is_finished());
}

/// A refusal says when to come back, and nobody else comes.
#[tokio::test(start_paused = true)]
async fn a_refusal_counts_those_who_are_held_back() {
    let limiter = limiter(10_000, 5);
    let back = held(&limiter, 6, 4).await;
    assert_eq!(limiter.waiting(), 4);
    let retry_after = limiter.try_acquire_n(5).unwrap_err().retry_after().unwrap();
    // Without driving the timer, as a thread would that sleeps for so long.
    advance(retry_after).await;
    limiter.try_acquire_n(5).unwrap();
    settle().await;
    assert!(back.iter().all(JoinHandle::is_finished));
}

#[tokio::test(start_paused = true)]
async fn what_has_capacity_is_not_refused() {
    let limiter = limiter(10_000, 5);
    let _back = held(&limiter, 2, 1).await;
    assert_eq!(limiter.has_capacity(1), limiter.try_acquire().is_ok());
}

/// What has come is kept for 10 ms; by the next tick some of it might be lost.
#[tokio::test(start_paused = true)]
async fn who_is_owed_much_is_not_held_back() {
    for (late_us, at_once) in [(7_000, false), (9_000, true)] {
        let limiter = limiter(10_000, 1);
        let first = [limiter.acquire_owned(), limiter.acquire_owned()].map(tokio::spawn);
        settle().await;
        advance(late_us * MICRO).await;
        for waiter in first {
            waiter.await.unwrap();
        }
        let back = tokio::spawn(limiter.acquire_owned());
        settle().await;
        assert_eq!(back.is_finished(), at_once, "{late_us} µs");
    }
}

/// A tenth of what there is is asked for, by callers who come once; nobody has to wait.
#[tokio::test(start_paused = true)]
async fn where_there_is_enough_nobody_is_held_back() {
    for burst in [1, 100_000] {
        let limiter = limiter(100_000, burst);
        held(&limiter, 2, 0).await;
        if burst > 1 {
            limiter.reset();
        }
        let mut waited = 0;
        for call in 0..1_000 {
            advance(100 * MICRO).await;
            let task = tokio::spawn(limiter.acquire_owned());
            yield_now().await;
            // Not at once: those who were released may be hungry.
            waited += u64::from(call >= 500 && !task.is_finished());
        }
        assert_eq!(waited, 0, "burst {burst}: of 500");
    }
}

/// Where the bucket is never empty there is no late timer, and no credit for one.
#[tokio::test(start_paused = true)]
async fn who_is_held_back_makes_no_credit() {
    let limiter = limiter(100_000, 1);
    held(&limiter, 2, 0).await;
    for _ in 0..1_000 {
        advance(100 * MICRO).await;
        drop(tokio::spawn(limiter.acquire_owned()));
        yield_now().await;
    }
    settle().await;
    // Some of them may wait still.
    let waiting = limiter.waiting();
    let many: Vec<_> = (0..500).map(|_| tokio::spawn(limiter.acquire_owned())).collect();
    settle().await;
    let served = many.iter().filter(|task| task.is_finished()).count();
    assert!(served + waiting <= 12, "{served} at once of a burst of one");
}

/// As it would be without the one who came and went.
#[tokio::test(start_paused = true)]
async fn who_comes_to_be_the_next_is_served_in_its_tick() {
    let limiter = limiter(100, 2);
    let start = Instant::now();
    let first = [limiter.acquire_owned(), limiter.acquire_owned()].map(tokio::spawn);
    settle().await;
    let gone = tokio::spawn(limiter.acquire_n_owned(1.09));
    sleep(15 * MILLI).await;
    gone.abort();
    settle().await;
    limiter.acquire().await;
    assert_eq!(start.elapsed(), 30 * MILLI);
    assert!(first.iter().all(JoinHandle::is_finished));
}

/// A permit comes back, so that the head is due one emission interval earlier.
#[tokio::test(start_paused = true)]
async fn a_refund_brings_the_next_grant_forward() {
    let limiter = limiter(1_000, 2);
    let start = Instant::now();
    let task = limiter.acquire_n_owned(2);
    let task = tokio::spawn(async move {
        task.await.unwrap();
        Instant::now()
    });
    settle().await;
    limiter.refund(1).unwrap();
    assert_eq!(task.await.unwrap() - start, MILLI);
}

/// A clock that jumps forward is believed: what is due in a moment is not left until long after.
#[test]
fn the_alarm_after_the_next_follows_the_clock() {
    let ten = Duration::from_secs(10);
    let quota = Quota::new(1, ten).burst(1).initial(0).catch_up(2 * ten);
    let limiter = RateLimiter::with_clock(quota, Mute::default());
    runtime().block_on(async {
        let _first = tokio::spawn(limiter.acquire_owned());
        let second = tokio::spawn(limiter.acquire_owned());
        settle().await;
        let third = tokio::spawn(limiter.acquire_owned());
        settle().await;
        // The alarm for the first; the one after it is set for the third.
        limiter.clock().advance(ten);
        sleep(ten + MILLI).await;
        assert_eq!(limiter.waiting(), 2);
        // To 10 ms before the third is due.
        limiter.clock().advance(1_999 * 10 * MILLI);
        sleep(ten).await;
        assert!(second.is_finished());
        limiter.clock().advance(10 * MILLI);
        sleep(12 * MILLI).await;
        assert!(third.is_finished(), "it waits for ten seconds more");
    });
}

/// Hungry tasks, of whom one is slower than half a millisecond; a catch-up no longer than a timer is late.
#[tokio::test(start_paused = true)]
async fn a_short_catch_up_delivers_the_rate_all_the_same() {
    let mut shares = Vec::new();
    for catch_up in [1, 2, 3, 10] {
        let quota = Quota::per_second(10_000).burst(1).initial(0).catch_up(catch_up * MILLI);
        let limiter = RateLimiter::with_clock(quota, TokioClock::new());
        let count = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8 {
            let (limiter, count) = (limiter.clone(), Arc::clone(&count));
            tasks.spawn(async move {
                loop {
                    limiter.acquire().await;
                    count.fetch_add(1, Relaxed);
                    if task == 0 {
                        sleep(3 * MILLI).await;
                    }
                }
            });
        }
        sleep(500 * MILLI).await;
        let allowed = start.elapsed().as_micros() as u64 / 100;
        shares.push((catch_up, count.load(Relaxed) * 1000 / allowed));
    }
    assert!(shares.iter().all(|&(_, share)| share >= 990), "{shares:?}");
}

/// A clock that counts how often an alarm is set.
#[derive(Debug)]
struct Counting(TokioClock, AtomicU64);

impl Clock for Counting {
    fn now(&self) -> u64 {
        self.0.now()
    }

    fn wake_at(&self, _: u64, _: &Waker) -> bool {
        self.1.fetch_add(1, Relaxed);
        false
    }
}

/// Who is alone holds nobody back, and needs no alarm for that.
#[tokio::test(start_paused = true)]
async fn who_is_alone_needs_one_alarm_a_permit() {
    let clock = Counting(TokioClock::new(), AtomicU64::new(0));
    let limiter = RateLimiter::with_clock(Quota::per_second(100).initial(0), clock);
    for _ in 0..100 {
        limiter.acquire().await;
    }
    let alarms = limiter.clock().1.load(Relaxed);
    assert!(alarms <= 100, "{alarms} alarms for 100 permits");
}
