//! Waiting in tokio's paused time, to the millisecond.

use std::{pin::Pin, task::Poll, time::Duration};

use futures_util::{StreamExt, stream};
use tidegate::{
    AcquireOwned, PacedExt, QuantaClock, Quota, RateLimiter, TokioClock, throttle, throttle_stream,
};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep},
};

fn limiter(quota: Quota) -> RateLimiter<TokioClock> {
    RateLimiter::with_clock(quota, TokioClock::new())
}

async fn spawned(quota: Quota, tasks: u32) -> Vec<u128> {
    let limiter = limiter(quota);
    let start = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let permit = limiter.acquire_owned();
            tokio::spawn(async move {
                permit.await;
                start.elapsed().as_millis()
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.push(task.await.unwrap());
    }
    times
}

async fn throttled(quota: Quota, calls: u32) -> Vec<u128> {
    let limiter = limiter(quota);
    let start = Instant::now();
    throttle((0..calls).map(|_| async { start.elapsed().as_millis() }), &limiter).all().await
}

#[tokio::test(start_paused = true)]
async fn five_per_ten_seconds() {
    let quota = Quota::new(5, Duration::from_secs(10));
    let times = [0, 0, 0, 0, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20].map(|s| s * 1000);
    assert_eq!(spawned(quota, 15).await, times);
    assert_eq!(throttled(quota, 15).await, times);
}

#[tokio::test(start_paused = true)]
async fn one_per_one_and_a_half_seconds() {
    let quota = Quota::new(1, Duration::from_millis(1500));
    let times = [0, 1500, 3000, 4500, 6000];
    assert_eq!(spawned(quota, 5).await, times);
    assert_eq!(throttled(quota, 5).await, times);
}

#[tokio::test(start_paused = true)]
async fn throttle_starts_in_order_and_finishes_as_it_comes() {
    let limiter = limiter(Quota::per_second(10).with_burst(1));
    let start = Instant::now();
    // The first to start is the last to finish.
    let calls = || {
        (0..4_u64).map(|i| async move {
            let started = start.elapsed().as_millis();
            sleep(Duration::from_millis(1000 - 300 * i)).await;
            (i, started)
        })
    };
    let outputs = throttle(calls(), &limiter).all().await;
    assert_eq!(outputs, [(0, 0), (1, 100), (2, 200), (3, 300)]);

    let mut stream = throttle(calls(), &limiter);
    let mut order = Vec::new();
    while let Some((i, _)) = futures_util::StreamExt::next(&mut stream).await {
        order.push(i);
    }
    assert_eq!(order, [3, 2, 1, 0]);
}

/// The first call takes a second, the others a tenth. Each notes how many run.
async fn bounded(most: usize, in_order: bool) -> (Vec<u64>, usize, u128) {
    let limiter = limiter(Quota::per_second(100).with_burst(10));
    let (running, peak) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let start = Instant::now();
    let call = async |i: u64| {
        running.set(running.get() + 1);
        peak.set(peak.get().max(running.get()));
        sleep(Duration::from_millis(if i == 0 { 1_000 } else { 100 })).await;
        running.set(running.get() - 1);
        i
    };
    let stream = throttle((0..20).map(call), &limiter).concurrency(most);
    let mut stream = if in_order { stream.in_order() } else { stream };
    let mut outputs = Vec::new();
    while let Some(i) = futures_util::StreamExt::next(&mut stream).await {
        outputs.push(i);
    }
    (outputs, peak.get(), start.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn throttle_runs_no_more_at_once_than_it_may() {
    // One place is taken for a second, in which the others run ten rounds of two calls.
    let (outputs, peak, millis) = bounded(3, false).await;
    assert_eq!((peak, millis), (3, 1_000));
    assert_eq!(outputs.last(), Some(&19), "{outputs:?}");
    // Two outputs wait for the first call, and take the places of others.
    let (outputs, peak, millis) = bounded(3, true).await;
    assert_eq!(outputs, (0..20).collect::<Vec<_>>());
    assert_eq!((peak, millis), (3, 1_600));
    let (_, peak, _) = bounded(1, false).await;
    assert_eq!(peak, 1);
}

#[tokio::test(start_paused = true)]
async fn throttle_takes_permits_only_for_futures_that_may_start() {
    let limiter = limiter(Quota::per_second(100).with_burst(10));
    let mut stream = throttle((0..10).map(|_| sleep(Duration::from_secs(1))), &limiter).concurrency(2);
    let first = tokio::time::timeout(Duration::from_millis(1), futures_util::StreamExt::next(&mut stream));
    assert!(first.await.is_err());
    assert_eq!((limiter.available(), limiter.waiting()), (8, 0));
    // It is owned, and can be moved to a task.
    let task = tokio::spawn(async move { stream.all().await.len() });
    drop(limiter);
    assert_eq!(task.await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn throttle_stops_at_the_first_end_of_its_list() {
    let limiter = RateLimiter::with_clock(Quota::per_second(10), TokioClock::new());
    // An iterator may go on after its end.
    let mut calls = [Some(1), Some(2), None, Some(3)].into_iter();
    let list = std::iter::from_fn(move || calls.next().flatten().map(std::future::ready));
    assert_eq!(throttle(list, &limiter).all().await, [1, 2]);
    assert_eq!(limiter.available(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_branch_of_a_select_that_loses_keeps_its_message_and_its_place() {
    let limiter = limiter("1 per 100ms".parse().unwrap());
    let (sender, mut receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        for message in 0_u32..10 {
            sender.send(message).await.unwrap();
            sleep(Duration::from_millis(30)).await;
        }
    });
    let mut messages = stream::poll_fn(move |cx| receiver.poll_recv(cx)).paced_by(&limiter);
    let mut ticks = interval(Duration::from_millis(7));
    let start = Instant::now();
    let (mut received, mut lost) = (Vec::new(), 0);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => received.push((message, start.elapsed().as_millis())),
                None => break,
            },
            _ = ticks.tick() => lost += 1,
        }
    }
    assert_eq!(received, (0_u32..10).map(|message| (message, u128::from(message) * 100)).collect::<Vec<_>>());
    assert!(lost > 100, "{lost}");
}

#[tokio::test(start_paused = true)]
async fn futures_of_a_stream_are_started_in_turn() {
    let limiter = limiter("1 per 100ms".parse().unwrap());
    let start = Instant::now();
    // They come in pairs.
    let calls = stream::iter(0..6)
        .then(|call| async move {
            if call % 2 == 0 {
                sleep(Duration::from_millis(150)).await;
            }
            call
        })
        .map(|call| async move { (call, start.elapsed().as_millis()) });
    let times = throttle_stream(calls, &limiter).concurrency(2).all().await;
    assert_eq!(times, [(0, 150), (1, 250), (2, 400), (3, 500), (4, 650), (5, 750)]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_throttle_takes_no_permits_for_the_rest() {
    let limiter = limiter(Quota::per_second(1).with_burst(2));
    let list = throttle((0..10).map(|_| sleep(Duration::from_secs(100))), &limiter);
    assert!(tokio::time::timeout(Duration::from_millis(1500), list.all()).await.is_err());
    assert_eq!(limiter.waiting(), 0);
    // Two at once and one at 1 s; by 3 s there are two again.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(limiter.available(), 2);
}

#[tokio::test(start_paused = true)]
async fn run_waits_and_then_runs() {
    let limiter = limiter(Quota::per_second(1));
    let start = Instant::now();
    for second in 0..3 {
        assert_eq!(limiter.run(async { start.elapsed().as_secs() }).await, second);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_runtime_catches_up_no_more_than_allowed() {
    for (catch_up_ms, at_once) in [(20, 5 + 20), (0, 5)] {
        let quota = Quota::per_second(1000)
            .with_burst(5)
            .with_initial(0)
            .with_catch_up(Duration::from_millis(catch_up_ms));
        let limiter = limiter(quota);
        let waiters: Vec<_> = (0..100).map(|_| tokio::spawn(limiter.acquire_owned())).collect();
        while limiter.waiting() < 100 {
            tokio::task::yield_now().await;
        }
        // All at once, as after a stall of ten seconds.
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(limiter.waiting(), 100 - at_once, "catch-up of {catch_up_ms} ms");
        for waiter in waiters {
            waiter.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hungry_task_lets_others_run() {
    let limiter = limiter(Quota::per_second(1_000_000_000).with_burst(1_000_000_000));
    let hungry = tokio::spawn(async move {
        loop {
            limiter.acquire().await;
        }
    });
    // On the one thread there is: only if the other yields.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    hungry.abort();
    assert!(hungry.await.unwrap_err().is_cancelled());
}

/// Uses up what the runtime lets a task do before it has to yield.
async fn exhaust_the_budget() {
    std::future::poll_fn(|cx| {
        while let Poll::Ready(budget) = tokio::task::coop::poll_proceed(cx) {
            budget.made_progress();
        }
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_task_out_of_budget_keeps_its_place() {
    let limiter = limiter(Quota::per_second(1).with_burst(1).with_initial(0));
    let start = Instant::now();
    tokio::spawn(async move {
        exhaust_the_budget().await;
        let mut first = std::pin::pin!(limiter.acquire());
        assert!(futures_util::poll!(first.as_mut()).is_pending(), "no permit yet");
        assert_eq!(limiter.waiting(), 1, "not in the queue");
        let second = tokio::spawn({
            let limiter = limiter.clone();
            async move {
                limiter.acquire().await;
                start.elapsed().as_secs()
            }
        });
        first.await;
        assert_eq!(start.elapsed().as_secs(), 1);
        assert_eq!(second.await.unwrap(), 2);
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_task_out_of_budget_holds_the_permit_it_cannot_report() {
    let limiter = limiter(Quota::per_second(1).with_burst(1));
    tokio::spawn(async move {
        exhaust_the_budget().await;
        let mut held = Box::pin(limiter.acquire());
        assert!(futures_util::poll!(held.as_mut()).is_pending(), "out of budget");
        assert!(limiter.try_acquire().is_err(), "it was the only one");
        drop(held);
        assert!(limiter.try_acquire().is_ok(), "not given back");
    })
    .await
    .unwrap();
}

#[test]
fn a_runtime_that_goes_down_takes_nobody_with_it() {
    let build =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let limiter = RateLimiter::new(Quota::per_second(20).with_burst(1).with_initial(0));
    let (first, second) = (build(), build());
    // The head, and so the timer, is on the first runtime. On a slow machine it may find a permit there.
    let lost = loop {
        let head = first.spawn(limiter.acquire_owned());
        while limiter.waiting() == 0 && !head.is_finished() {
            std::thread::yield_now();
        }
        if limiter.waiting() > 0 {
            break head;
        }
    };
    let waiters: Vec<_> = (0..5).map(|_| second.spawn(limiter.acquire_owned())).collect();
    drop(first);
    second.block_on(async {
        for waiter in waiters {
            tokio::time::timeout(Duration::from_secs(60), waiter).await.expect("left waiting").unwrap();
        }
    });
    drop(lost);
}

/// A waiter that was polled once on that runtime. On a slow machine some may find a permit there before.
fn waiter_on(
    runtime: &tokio::runtime::Runtime,
    limiter: &RateLimiter,
) -> Pin<Box<AcquireOwned<QuantaClock>>> {
    loop {
        let mut waiter = Box::pin(limiter.acquire_owned());
        let _ = runtime.block_on(async { futures_util::poll!(waiter.as_mut()) });
        if limiter.waiting() == 1 {
            return waiter;
        }
    }
}

#[test]
fn a_runtime_that_is_not_driven_holds_nobody_up() {
    let limiter = RateLimiter::new(Quota::per_second(20).with_burst(1).with_initial(0));
    let parked = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // Polled once on a runtime that is then left standing, alive, with its timer.
    drop(waiter_on(&parked, &limiter));
    let head = waiter_on(&parked, &limiter);
    let driven = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    driven.block_on(async {
        drop(head);
        tokio::time::timeout(Duration::from_secs(60), limiter.acquire()).await.expect("left waiting");
    });
    drop(parked);
}

#[test]
fn handles_and_futures_go_between_threads() {
    fn send_sync<T: Send + Sync>(_: &T) {}
    let limiter = RateLimiter::new(Quota::per_second(1));
    send_sync(&limiter);
    send_sync(&limiter.acquire());
    send_sync(&limiter.acquire_n(1));
    send_sync(&limiter.acquire_owned());
    send_sync(&limiter.acquire_n_owned(1));
}
