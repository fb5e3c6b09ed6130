//! Blocked threads in the queue, beside tasks and without any runtime.

use std::{
    future::Future,
    pin::pin,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use tidegate::{Clock, Denied, ManualClock, NotYet, Quota, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);

/// One permit a second, none there at the start.
fn limiter(burst: u64) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).with_burst(burst).with_initial(0).with_catch_up(Duration::ZERO);
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

/// Lets other threads run until so many wait.
fn until_waiting<C: Clock>(limiter: &RateLimiter<C>, count: usize) {
    while limiter.waiting() != count {
        thread::yield_now();
    }
}

#[test]
fn threads_and_tasks_are_served_in_turn() {
    let (limiter, clock) = limiter(1);
    let mut cx = Context::from_waker(Waker::noop());
    let (served, turns) = mpsc::channel();
    thread::scope(|scope| {
        let mut tasks = Vec::new();
        for turn in 0..3 {
            let (limiter, served) = (limiter.clone(), served.clone());
            scope.spawn({
                let limiter = limiter.clone();
                move || {
                    limiter.blocking_acquire();
                    served.send(turn).unwrap();
                }
            });
            until_waiting(&limiter, 2 * turn + 1);
            let mut task = Box::pin(limiter.acquire_owned());
            assert!(task.as_mut().poll(&mut cx).is_pending());
            tasks.push(task);
        }
        for (turn, task) in tasks.iter_mut().enumerate() {
            clock.advance(SECOND);
            assert_eq!(turns.recv(), Ok(turn));
            assert_eq!(limiter.waiting(), 2 * (2 - turn) + 1);
            assert!(task.as_mut().poll(&mut cx).is_pending(), "a task overtook a thread");
            clock.advance(SECOND);
            assert!(task.as_mut().poll(&mut cx).is_ready());
        }
        assert!(turns.try_recv().is_err());
    });
    assert_eq!(limiter.waiting(), 0);
    assert_eq!(limiter.available(), 0);
}

/// In real time, with nothing but threads: no runtime, and no other thread of the crate's.
#[test]
fn real_time_threads_need_no_runtime() {
    let limiter = RateLimiter::new(Quota::per_second(2_000).with_burst(1).with_catch_up(Duration::ZERO));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| limiter.blocking_acquire()));
        }
    });
    assert!(began.elapsed() >= Duration::from_micros(399 * 500), "{:?}", began.elapsed());
    assert_eq!(limiter.waiting(), 0);
}

/// A task whose runtime is not driven holds up no thread behind it.
#[test]
fn real_time_a_thread_keeps_the_time_for_a_runtime_that_does_not() {
    let limiter = RateLimiter::new(Quota::per_second(100).with_burst(1).with_initial(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut task = pin!(limiter.acquire());
    let first =
        runtime.block_on(async { std::future::poll_fn(|cx| task.as_mut().poll(cx).map(|()| true)).await });
    assert!(first);
    // A machine that is slow finds the next permit there: until one has to wait.
    let _task = loop {
        let mut task = Box::pin(limiter.acquire());
        let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(task.as_mut().poll(cx)));
        let _ = runtime.block_on(poll);
        if limiter.waiting() == 1 {
            break task;
        }
    };
    // No thread drives the runtime from here on.
    limiter.blocking_acquire();
    assert_eq!(limiter.waiting(), 0, "the task in front was granted first");
}

#[test]
fn a_thread_that_cannot_be_served_in_time_is_back_at_once() {
    let (limiter, clock) = limiter(2);
    let wait = |n, ms| limiter.blocking_acquire_within(n, Duration::from_millis(ms));
    let not_yet = |ms| Err(Denied::NotYet(NotYet::after(Duration::from_millis(ms))));
    assert_eq!(wait(1, 999), not_yet(1));
    assert_eq!(wait(2, 500), not_yet(1_500));
    assert!(wait(3, 10_000).unwrap_err().is_never());
    assert_eq!(wait(0, 0), Ok(()));
    assert_eq!(limiter.waiting(), 0);
    clock.advance(SECOND);
    assert_eq!(wait(1, 0), Ok(()));
    // The longest wait is inclusive, and the waiters ahead count.
    thread::scope(|scope| {
        let first = scope.spawn(|| limiter.blocking_acquire_within(1, SECOND));
        until_waiting(&limiter, 1);
        assert_eq!(wait(1, 1_999), not_yet(1));
        let second = scope.spawn(|| limiter.blocking_acquire_within(1, 2 * SECOND));
        until_waiting(&limiter, 2);
        clock.advance(SECOND);
        assert_eq!(first.join().unwrap(), Ok(()));
        clock.advance(SECOND);
        assert_eq!(second.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_lower_quota_sends_a_thread_away_with_nothing_lost() {
    let (limiter, clock) = limiter(2);
    thread::scope(|scope| {
        let patient = scope.spawn(|| limiter.blocking_acquire_n(2));
        until_waiting(&limiter, 1);
        let hasty = scope.spawn(|| limiter.blocking_acquire_within(1, 4 * SECOND));
        until_waiting(&limiter, 2);
        clock.advance(SECOND);
        limiter.set_quota(Quota::new(1, 2 * SECOND).with_burst(2).with_catch_up(Duration::ZERO)).unwrap();
        // Its turn would come after five seconds now.
        assert_eq!(hasty.join().unwrap(), Err(Denied::NotYet(NotYet::after(SECOND))));
        assert_eq!(limiter.available(), 1);
        clock.advance(2 * SECOND);
        assert_eq!(patient.join().unwrap(), Ok(()));
        // Too many for the burst.
        let large = scope.spawn(|| limiter.blocking_acquire_n(2));
        until_waiting(&limiter, 1);
        limiter.set_quota(Quota::per_second(1)).unwrap();
        assert!(large.join().unwrap().is_err());
    });
    assert_eq!(limiter.available(), 0);
    assert_eq!(limiter.waiting(), 0);
}

/// A charge goes ahead of the waiters.
#[test]
fn a_charge_sends_a_thread_away_that_is_late_for_it() {
    let (limiter, clock) = limiter(2);
    thread::scope(|scope| {
        let patient = scope.spawn(|| limiter.blocking_acquire_n(1));
        until_waiting(&limiter, 1);
        let hasty = scope.spawn(|| limiter.blocking_acquire_within(1, 4 * SECOND));
        until_waiting(&limiter, 2);
        limiter.charge(2).unwrap();
        assert_eq!(limiter.waiting(), 2, "in time after all");
        limiter.charge(0.5).unwrap();
        let late = Duration::from_millis(500);
        assert_eq!(hasty.join().unwrap(), Err(Denied::NotYet(NotYet::after(late))));
        clock.advance(SECOND * 7 / 2);
        assert_eq!(patient.join().unwrap(), Ok(()));
    });
    assert_eq!((limiter.available(), limiter.waiting()), (0, 0));
}

/// In real time: the call returns when the longest wait is over, although no other thread does anything.
#[test]
fn real_time_the_longest_wait_is_kept() {
    let began = Instant::now();
    let limiter = RateLimiter::new(Quota::per_second(50).with_burst(50_000).with_initial(0));
    assert_eq!(limiter.blocking_acquire_within(5, Duration::from_millis(100)), Ok(()));
    assert!(began.elapsed() >= Duration::from_millis(99), "{:?}", began.elapsed());
    // A thousand seconds are too long.
    assert!(limiter.blocking_acquire_within(50_000, Duration::from_millis(1)).is_err());
}

/// Calls meet the change at every moment, but each only one: what they take is in the word by the scale before, or by
/// the one after, and never by both.
#[test]
fn the_books_balance_while_the_quota_changes() {
    const ALL: u64 = 900_000_000;
    let changes = if cfg!(miri) { 20 } else { 1_000 };
    let quota = |more| Quota::per_second(1).with_burst(ALL + more);
    let limiter = RateLimiter::with_clock(quota(0), ManualClock::new());
    let over = AtomicBool::new(false);
    let taken = [const { AtomicU64::new(0) }; 2];
    let read = || taken.each_ref().map(|taken| taken.load(Ordering::Relaxed));
    thread::scope(|scope| {
        for taken in &taken {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    limiter.try_acquire().unwrap();
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for change in 0..changes {
            limiter.set_quota(quota(change % 2)).unwrap();
            // Until each call that has met this change is over.
            let before = read();
            while read().iter().zip(before).any(|(&now, before)| now <= before + 1) {
                thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let left = u64::try_from(limiter.available()).unwrap();
    assert_eq!(read().iter().sum::<u64>() + left, ALL);
}
