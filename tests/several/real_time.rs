//! By real time, on several threads and runtimes.

use tokio::runtime::Builder;

use super::*;

/// A clock that stands still until it is started, and once it has been stopped.
#[derive(Clone, Debug, Default)]
struct StopClock {
    real: QuantaClock,
    /// What it shows while it stands: zero for its time.
    stands_at: Arc<AtomicU64>,
}

impl StopClock {
    fn stop(&self) {
        self.stands_at.store(self.real.now(), Ordering::Relaxed);
    }

    fn start(&self) {
        self.stands_at.store(0, Ordering::Relaxed);
    }
}

impl Clock for StopClock {
    fn now(&self) -> u64 {
        match self.stands_at.load(Ordering::Relaxed) {
            0 => self.real.now(),
            then => then,
        }
    }
}

/// In real time, on two workers: groups in both orders, waiters and cancellations, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_time_groups_and_waiters_take_exactly_what_they_should() {
    let clock = StopClock::default();
    clock.stop();
    let quota = Quota::per_second(20_000).with_burst(1_000_000).with_initial(50).with_catch_up(ms(0));
    let [a, b] = [(); 2].map(|()| RateLimiter::with_clock(quota, clock.clone()));
    clock.start();
    let tasks: Vec<_> = (0..400_u64)
        .map(|i| {
            let (a, b) = (a.clone(), b.clone());
            tokio::spawn(async move {
                for round in 0..5 {
                    let (one, two) = if i % 2 == 0 { (&a, &b) } else { (&b, &a) };
                    match (i + round) % 4 {
                        0 => one.acquire().await,
                        1 => {
                            // Given up at once, or after a while: it takes all or nothing either way.
                            let all = AllOf::new().and(one, 1).and(two, 1).acquire();
                            let within = Duration::from_micros(i * 50);
                            if tokio::time::timeout(within, all).await.is_ok() {
                                // Made good for, so that the sum below is exact.
                                a.refund(1).unwrap();
                                b.refund(1).unwrap();
                            }
                        }
                        _ => AllOf::new().and(one, 1).and(two, 1).acquire().await.unwrap(),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(Duration::from_secs(60), task).await.expect("somebody waits forever").unwrap();
    }
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
    // Each of 400 tasks made five rounds. In a round with i + round = 0 mod 4 the task took one permit.
    let kinds = (0..400_u64).flat_map(|i| (0..5).map(move |round| (i, (i + round) % 4)));
    let (mut of_a, mut of_b) = (0, 0);
    for (i, kind) in kinds {
        let both = i64::from(kind >= 2);
        of_a += both + i64::from(kind == 0 && i % 2 == 0);
        of_b += both + i64::from(kind == 0 && i % 2 == 1);
    }
    // Both began with 50 and have earned the same since.
    clock.stop();
    assert_eq!(a.available() + of_a, b.available() + of_b);
}

/// A call for several limits that was granted its part on a runtime that no thread drives.
#[test]
fn a_group_whose_runtime_stands_still_delays_nobody() {
    let quota = Quota::per_second(50).with_burst(1);
    let [a, b] = [0, 1].map(|initial| RateLimiter::new(quota.with_initial(initial)));
    let [driven, idle] = [(); 2].map(|()| Builder::new_current_thread().enable_time().build().unwrap());
    let mut group = Box::pin(AllOf::new().and(&a, 1).and(&b, 1).acquire());
    let is_pending = idle.block_on(async { futures_util::poll!(&mut group).is_pending() });
    assert!(is_pending);
    driven.block_on(async {
        let both = async { tokio::join!(a.acquire(), a.acquire()) };
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("they are held up");
    });
    idle.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), group).await.expect("it is not served").unwrap();
    });
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, without any runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return outcome;
        }
        std::thread::park();
    }
}

#[test]
fn groups_need_no_runtime() {
    let quota = Quota::per_second(1_000).with_burst(1_000).with_initial(0);
    let [a, b] = [(); 2].map(|()| RateLimiter::new(quota));
    let (all, start) = (AllOf::new().and(&a, 2).and(&b, 1), std::time::Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| block_on(all.acquire()).unwrap()));
        }
    });
    assert!(start.elapsed() >= ms(40), "forty came in {:?}", start.elapsed());
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
}
