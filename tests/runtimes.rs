//! A limiter depends on no single runtime: a runtime that is blocked, not driven, or gone delays no waiter elsewhere.
//! Any executor will do, and none at all. These tests run in real time, with generous limits. No waiter may wait for
//! the stalled runtime.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Barrier, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use tidegate::{Quota, RateLimiter};
use tokio::runtime::{Builder, Runtime};

const MS: Duration = Duration::from_millis(1);

/// How long a runtime stalls: far longer than any wait of another should be, on any machine.
const STALL: Duration = Duration::from_secs(4);

/// Longer than a wait of 50 ms takes on a slow machine, and far shorter than the stall.
const SOON: Duration = Duration::from_secs(2);

fn several_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Unparks a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The plainest executor.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Used once from a runtime, which then blocks. Another runtime, alone in the queue, is served in time.
#[test]
fn a_runtime_that_blocks_after_its_use_holds_up_no_other() {
    for make in [several_threads, one_thread] {
        let limiter = RateLimiter::new(Quota::per_second(20).with_burst(1));
        let (ready, blocked) = mpsc::channel();
        let (limiter_a, barrier) = (limiter.clone(), Arc::new(Barrier::new(2)));
        let at_end = Arc::clone(&barrier);
        let a = thread::spawn(move || {
            let runtime = make();
            let stalls = async move {
                limiter_a.acquire().await;
                limiter_a.acquire().await;
                ready.send(()).unwrap();
                // On purpose: the only worker stalls until the other is done.
                at_end.wait();
            };
            runtime.block_on(async { tokio::spawn(stalls).await.unwrap() });
        });
        blocked.recv().unwrap();
        let start = Instant::now();
        let b = several_threads();
        b.block_on(limiter.acquire_within(1, 5_000 * MS)).unwrap();
        let waited = start.elapsed();
        barrier.wait();
        a.join().unwrap();
        assert!(waited < SOON, "{waited:?}");
    }
}

/// The first waiter is a task of a runtime that no thread drives.
#[test]
fn a_runtime_that_is_not_driven_holds_up_no_other() {
    let limiter = RateLimiter::new(Quota::per_second(20).with_burst(1));
    limiter.try_acquire().unwrap();
    let a = one_thread();
    let first = a.spawn(limiter.acquire_owned());
    // Just as far as its first poll.
    a.block_on(async {
        while limiter.waiting() == 0 {
            tokio::task::yield_now().await;
        }
    });
    let b = several_threads();
    let start = Instant::now();
    b.block_on(limiter.acquire_within(1, STALL)).unwrap();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    // The first was granted meanwhile, and hears of it when it is polled.
    a.block_on(first).unwrap();
}

/// Two runtimes of one thread each, as some servers have, one of which stalls while it waits.
#[test]
fn of_two_runtimes_one_that_stalls_does_not_stall_the_other() {
    let limiter = RateLimiter::new(Quota::per_second(20).with_burst(1));
    let (ready, waits) = mpsc::channel();
    let barrier = Arc::new(Barrier::new(2));
    let (limiter_a, at_end) = (limiter.clone(), Arc::clone(&barrier));
    let a = thread::spawn(move || {
        one_thread().block_on(async {
            limiter_a.acquire().await;
            let mut queued = pin!(limiter_a.acquire());
            assert!(futures_util::poll!(queued.as_mut()).is_pending());
            ready.send(()).unwrap();
            at_end.wait();
            queued.await;
        });
    });
    waits.recv().unwrap();
    let start = Instant::now();
    one_thread().block_on(async {
        for _ in 0..4 {
            limiter.acquire().await;
        }
    });
    let waited = start.elapsed();
    barrier.wait();
    a.join().unwrap();
    assert!(waited < SOON, "{waited:?}");
}

/// Waiters of two runtimes by turns; one of them goes down with its waiters in the queue.
#[test]
fn a_runtime_that_goes_down_takes_only_its_own_waiters_with_it() {
    for make in [several_threads, one_thread] {
        let limiter = RateLimiter::new(Quota::per_second(100).with_burst(1).with_initial(0));
        let (going, staying) = (make(), several_threads());
        let mut tasks = Vec::new();
        for _ in 0..4 {
            drop(going.spawn(limiter.acquire_owned()));
            going.block_on(tokio::task::yield_now());
            tasks.push(staying.spawn(limiter.acquire_owned()));
        }
        drop(going);
        let start = Instant::now();
        staying.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(limiter.waiting(), 0);
    }
}

/// Eight runtimes share a limiter: together they get its rate, and none is left out.
#[test]
fn eight_runtimes_share_a_limiter() {
    let limiter = RateLimiter::new(Quota::per_second(400).with_burst(1));
    let start = Instant::now();
    let threads: Vec<_> = (0..8)
        .map(|i| {
            let limiter = limiter.clone();
            thread::spawn(move || {
                let runtime = if i % 2 == 0 { one_thread() } else { several_threads() };
                runtime.block_on(async {
                    for _ in 0..10 {
                        limiter.acquire().await;
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    // 80 permits, of which one was there.
    let least = Duration::from_micros(79 * 2_500).saturating_sub(limiter.quota().catch_up());
    assert!((least..SOON).contains(&start.elapsed()), "{:?}", start.elapsed());
}

/// A plain loop that polls, and the executors of other crates.
#[test]
fn any_executor_will_do() {
    let limiter = RateLimiter::new(Quota::per_second(100).with_burst(1));
    let start = Instant::now();
    block_on(async {
        for _ in 0..3 {
            limiter.acquire().await;
        }
    });
    smol::block_on(async {
        for _ in 0..3 {
            limiter.acquire().await;
        }
    });
    futures_executor::block_on(async {
        for _ in 0..3 {
            limiter.acquire().await;
        }
    });
    let least = (80 * MS).saturating_sub(limiter.quota().catch_up());
    assert!((least..SOON).contains(&start.elapsed()), "{:?}", start.elapsed());
}

/// Threads and tasks by turns, with no runtime for the threads.
#[test]
fn threads_need_no_runtime() {
    let limiter = RateLimiter::new(Quota::per_second(100).with_burst(1));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    limiter.blocking_acquire();
                }
            });
        }
    });
    let least = (110 * MS).saturating_sub(limiter.quota().catch_up());
    assert!((least..SOON).contains(&start.elapsed()), "{:?}", start.elapsed());
}

/// A call that blocks inside a task fails, and says so; a thread of `spawn_blocking` may block.
#[test]
fn a_blocking_call_inside_a_task_fails() {
    let limiter = RateLimiter::new(Quota::per_second(100).with_burst(1));
    for make in [several_threads, one_thread] {
        let runtime = make();
        let inside = limiter.clone();
        let failed = runtime.block_on(async move {
            inside.acquire().await;
            tokio::spawn(async move { inside.blocking_acquire() }).await
        });
        let panic = failed.unwrap_err().into_panic();
        let text = panic
            .downcast_ref::<String>()
            .map_or_else(|| (*panic.downcast_ref::<&str>().unwrap()).to_owned(), Clone::clone);
        assert!(text.contains("block"), "{text}");
        let beside = limiter.clone();
        runtime.block_on(async {
            tokio::task::spawn_blocking(move || beside.blocking_acquire()).await.unwrap();
        });
    }
}

/// A thread of `spawn_blocking` waits, while the only worker of its runtime is blocked.
#[test]
fn a_blocked_thread_depends_on_no_worker() {
    let limiter = RateLimiter::new(Quota::per_second(20).with_burst(1).with_initial(0));
    let runtime = several_threads();
    let (ready, blocked) = mpsc::channel();
    runtime.spawn(async move {
        ready.send(()).unwrap();
        thread::sleep(STALL);
    });
    blocked.recv().unwrap();
    let start = Instant::now();
    let waiter = runtime.spawn_blocking(move || limiter.blocking_acquire());
    futures_executor::block_on(waiter).unwrap();
    let waited = start.elapsed();
    runtime.shutdown_background();
    assert!(waited < SOON, "{waited:?}");
}

/// All threads of a runtime wait for permits, so that none is left that drives its timers.
#[test]
fn threads_are_served_when_they_are_all_that_a_runtime_has() {
    let limiter = RateLimiter::new(Quota::per_second(20).with_burst(1).with_initial(0));
    let runtime =
        Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).enable_time().build().unwrap();
    let (served, waits) = mpsc::channel();
    let wait = |limiter: RateLimiter, served: mpsc::Sender<()>| {
        move || {
            limiter.blocking_acquire();
            served.send(()).unwrap();
        }
    };
    let (one, other) = (wait(limiter.clone(), served.clone()), wait(limiter, served));
    runtime.spawn_blocking(one);
    runtime.spawn(async { tokio::task::block_in_place(other) });
    let both = [waits.recv_timeout(STALL), waits.recv_timeout(STALL)];
    // Before the assertion: dropping the runtime would wait for its threads.
    runtime.shutdown_background();
    assert_eq!(both, [Ok(()), Ok(())]);
}

/// A limiter on the default clock under paused time: it goes by real time, and a debug build says what to write
/// instead.
#[tokio::test(start_paused = true)]
async fn paused_time_and_the_default_clock_do_not_go_together() {
    let limiter = RateLimiter::new(Quota::per_second(20).with_burst(1));
    limiter.acquire().await;
    let start = Instant::now();
    let waited = tokio::spawn(async move { limiter.acquire().await }).await;
    // Neither a busy loop nor hours of virtual time.
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    if cfg!(debug_assertions) {
        let panic = waited.unwrap_err().into_panic();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("TokioClock"), "{text}");
    } else {
        waited.unwrap();
    }
}
