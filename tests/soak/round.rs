//! A while in real time, with a runtime and threads of its own: they come, hammer one limiter, and leave.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use tidegate::{Clock, Local, PerCore, Quota, RateLimiter};

use super::{
    super::random::Random,
    calls::{Call, Calls},
    intervals,
};

/// Real time, which goes on in the same way on every core, until it is stopped.
#[derive(Clone, Debug)]
pub(crate) struct Wall {
    origin: Instant,
    stopped: Arc<AtomicU64>,
}

impl Wall {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), stopped: Arc::default() }
    }

    pub(crate) fn stop(&self) {
        // SeqCst: pairs with itself; no other thread runs.
        self.stopped.store(self.now(), Ordering::SeqCst);
    }

    pub(crate) fn go_on(&self) {
        // SeqCst: see `stop`.
        self.stopped.store(0, Ordering::SeqCst);
    }
}

impl Clock for Wall {
    fn now(&self) -> u64 {
        // SeqCst: see `stop`.
        match self.stopped.load(Ordering::SeqCst) {
            0 => self.origin.elapsed().as_nanos() as u64,
            stopped => stopped,
        }
    }
}

pub(crate) type Limiter = RateLimiter<Wall>;

/// What one of them was admitted.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) tries: Vec<intervals::Call>,
    pub(crate) waits: Vec<intervals::Call>,
    /// Charged and not refunded, in permits.
    pub(crate) charged: u64,
    /// The waiters that left the queue.
    pub(crate) cancelled: u64,
    /// How often the quota has changed.
    pub(crate) changes: u64,
}

impl Log {
    fn tried(&mut self, limiter: &Limiter, call: impl FnOnce() -> u64) {
        note(&mut self.tries, limiter, call);
    }

    fn waited(&mut self, limiter: &Limiter, call: impl FnOnce() -> u64) {
        note(&mut self.waits, limiter, call);
    }

    fn append(mut self, mut other: Self) -> Self {
        self.tries.append(&mut other.tries);
        self.waits.append(&mut other.waits);
        self.charged += other.charged;
        self.cancelled += other.cancelled;
        self.changes += other.changes;
        self
    }
}

/// Notes a call that has taken so many permits.
fn note(calls: &mut Vec<intervals::Call>, limiter: &Limiter, call: impl FnOnce() -> u64) {
    let began = limiter.clock().now();
    let n = call();
    if n > 0 {
        let billionths = i128::from(n) * 1_000_000_000;
        calls.push(intervals::Call { began, over: limiter.clock().now(), billionths });
    }
}

/// Three quotas of that rate by which the bucket is never full, a limiter by the first of them, and when it was made.
pub(crate) fn never_full(permits: u64) -> ([Quota; 3], Limiter, u64) {
    let quotas = [40_u32, 41, 42].map(|bits| {
        let catch_up = Duration::from_millis(u64::from(bits) - 40);
        Quota::per_second(permits).with_burst(1 << bits).with_initial(0).with_catch_up(catch_up)
    });
    let wall = Wall::new();
    wall.stop();
    let start = wall.now();
    let limiter = RateLimiter::with_clock(quotas[0], wall.clone());
    wall.go_on();
    (quotas, limiter, start)
}

/// How a round is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) lasts: Duration,
    /// The callers never pause, so that there is always a waiter.
    pub(crate) hungry: bool,
    /// The bucket is.
    pub(crate) never_full: bool,
}

/// What is the same for all.
struct Scene {
    limiter: Limiter,
    plan: Plan,
    over: AtomicBool,
    calls: Calls,
}

impl Scene {
    fn is_over(&self) -> bool {
        // Relaxed: it says nothing about anything else.
        self.over.load(Ordering::Relaxed)
    }

    /// Marks the beginning of a call, and its end by being dropped.
    fn call(&self) -> Option<Call<'_>> {
        self.plan.never_full.then(|| self.calls.begin())
    }

    /// Changes the quota, or what is set aside of it.
    fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        if self.plan.never_full { self.calls.between(change) } else { change() }
    }
}

/// A hungry task, which now and then leaves the queue, forgets a future, or blocks its worker.
async fn task(scene: Arc<Scene>, seed: u64) -> Log {
    let (limiter, mut random, mut log) = (&scene.limiter, Random(seed), Log::default());
    let mut forgotten = Vec::new();
    while !scene.is_over() {
        let call = scene.call();
        let n = 1 + random.below(3);
        match random.below(64) {
            0 => tokio::task::block_in_place(|| {
                thread::sleep(Duration::from_millis(1 + random.below(30)));
            }),
            1..8 => {
                let wait = async {
                    let began = limiter.clock().now();
                    limiter.acquire_n(n).await.unwrap();
                    let billionths = i128::from(n) * 1_000_000_000;
                    log.waits.push(intervals::Call { began, over: limiter.clock().now(), billionths });
                };
                let left =
                    tokio::time::timeout(Duration::from_micros(random.below(2_000)), wait).await.is_err();
                log.cancelled += u64::from(left);
            }
            8..14 if forgotten.len() < 4 => {
                let mut future = Box::pin(limiter.acquire_n(n));
                let mut polled = false;
                log.waited(limiter, || {
                    polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
                    u64::from(polled) * n
                });
                if !polled {
                    forgotten.push(future);
                }
            }
            14..18 => log.cancelled += forgotten.drain(..).count() as u64,
            18..26 => log.tried(limiter, || limiter.try_acquire_up_to(n)),
            26..30 => log.tried(limiter, || match limiter.try_reserve(n) {
                Ok(reservation) if random.one_in(2) => {
                    reservation.spend();
                    n
                }
                _ => 0,
            }),
            _ => {
                let began = limiter.clock().now();
                limiter.acquire_n(n).await.unwrap();
                let billionths = i128::from(n) * 1_000_000_000;
                log.waits.push(intervals::Call { began, over: limiter.clock().now(), billionths });
            }
        }
        drop(call);
        if scene.plan.hungry {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
        }
    }
    log.cancelled += forgotten.len() as u64;
    log
}

/// A short life of a blocked thread.
fn blocked(scene: &Scene, random: &mut Random) -> Log {
    let (limiter, mut log) = (&scene.limiter, Log::default());
    for _ in 0..random.below(40) {
        let n = 1 + random.below(3);
        let soon = Duration::from_micros(random.below(3_000));
        let call = scene.call();
        log.waited(limiter, || {
            let waited = if random.one_in(2) {
                limiter.blocking_acquire_n(n).is_ok()
            } else {
                limiter.blocking_acquire_within(n, soon).is_ok()
            };
            if waited { n } else { 0 }
        });
        drop(call);
        if !scene.plan.hungry {
            thread::sleep(Duration::from_micros(random.below(20_000)));
        }
        if scene.is_over() {
            break;
        }
    }
    log
}

/// A caller that uses a slot or a `Local` for a short time.
fn by_core(scene: &Scene, random: &mut Random) -> Log {
    enum User {
        Core(PerCore<Wall>),
        Hand(Local<Wall>),
    }
    let (limiter, mut log) = (&scene.limiter, Log::default());
    let hand = random.one_in(2);
    let mut user = scene.change(|| {
        let per_core = PerCore::builder(limiter).slots(2).build().unwrap();
        if hand { User::Hand(per_core.local()) } else { User::Core(per_core) }
    });
    for _ in 0..random.below(500) {
        let n = 1 + random.below(2);
        let call = scene.call();
        match &mut user {
            User::Core(per_core) if random.one_in(50) => {
                log.waited(limiter, || per_core.blocking_acquire_n(n).map_or(0, |()| n));
            }
            User::Core(per_core) => log.tried(limiter, || u64::from(per_core.try_acquire_n(n).is_ok()) * n),
            User::Hand(local) if random.one_in(50) => {
                log.waited(limiter, || local.blocking_acquire_n(n).map_or(0, |()| n));
            }
            User::Hand(local) => log.tried(limiter, || u64::from(local.try_acquire_n(n).is_ok()) * n),
        }
        drop(call);
        if random.one_in(20) {
            thread::sleep(Duration::from_micros(random.below(1_000)));
        }
        if scene.is_over() {
            break;
        }
    }
    scene.change(|| drop(user));
    log
}

/// Changes the quota, and charges; what is given back where the bucket may be full is a second burst, so only
/// where it is `never_full`.
fn change(scene: &Scene, random: &mut Random, quotas: &[Quota], never_full: bool) -> Log {
    let (limiter, mut log) = (&scene.limiter, Log::default());
    match random.below(4) {
        0 => {
            let _call = scene.call();
            limiter.charge(10).unwrap();
            log.charged += 10;
        }
        1 if never_full => {
            let _call = scene.call();
            limiter.charge(10).unwrap();
            limiter.refund(7).unwrap();
            log.charged += 3;
        }
        _ => {
            let quota = quotas[random.below(quotas.len() as u64) as usize];
            scene.change(|| limiter.set_quota(quota)).unwrap();
            log.changes += 1;
        }
    }
    thread::sleep(Duration::from_micros(random.below(5_000)));
    log
}

/// One thread after the other, until it is over.
fn churn(scene: &Scene, seed: u64, life: impl Fn(&mut Random) -> Log + Sync) -> Log {
    let (mut random, mut log) = (Random(seed), Log::default());
    while !scene.is_over() {
        let lived = thread::scope(|scope| scope.spawn(|| life(&mut random)).join().unwrap());
        log = log.append(lived);
    }
    log
}

/// Runs all callers for so long, and until all are granted and gone.
pub(crate) fn run(limiter: &Limiter, quotas: &[Quota], plan: Plan) -> Log {
    let Plan { seed, never_full, .. } = plan;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let scene = Arc::new(Scene {
        limiter: limiter.clone(),
        plan,
        over: AtomicBool::new(false),
        calls: Calls::default(),
    });
    let tasks: Vec<_> = (0..12).map(|i| runtime.spawn(task(Arc::clone(&scene), seed + i))).collect();
    let log = thread::scope(|scope| {
        let scene = &*scene;
        let mut threads = Vec::new();
        for i in 20..23 {
            threads.push(scope.spawn(move || churn(scene, seed + i, |random| blocked(scene, random))));
            threads.push(scope.spawn(move || churn(scene, seed + i + 10, |random| by_core(scene, random))));
        }
        threads.push(
            scope.spawn(move || churn(scene, seed + 40, |random| change(scene, random, quotas, never_full))),
        );
        thread::sleep(plan.lasts);
        // Relaxed: see `is_over`.
        scene.over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(Log::default(), Log::append)
    });
    runtime.block_on(async {
        let mut log = log;
        for task in tasks {
            let mut task = pin!(task);
            let served = tokio::time::timeout(Duration::from_secs(120), task.as_mut()).await;
            log = log.append(served.expect("somebody waits for ever").unwrap());
        }
        log
    })
}
