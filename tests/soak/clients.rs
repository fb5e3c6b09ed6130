//! A while over loopback: tasks and threads are admitted by one limiter before each request, and leave, hang up and
//! stall at random, while the quota changes.

use std::{
    io::{Read, Write},
    net::{self, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};

use tidegate::{Clock, Denied, Quota};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinSet,
};

use super::{
    super::random::Random,
    calls::{Call, Calls},
    in_force::Change,
    memory::{Kept, join},
    round::{Limiter, Plan},
    server::{Book, REQUEST, Request, serve},
};

/// What the clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// In permits.
    pub(crate) granted: u64,
    pub(crate) charged: u64,
    /// Requests that were sent as a whole.
    pub(crate) sent: u64,
    /// Requests that were admitted, and not sent: nothing of them, or not all.
    pub(crate) lost: Vec<Request>,
    pub(crate) cut: u64,
    pub(crate) connections: u64,
    /// The waiters that left the queue.
    pub(crate) cancelled: u64,
    pub(crate) changes: Vec<Change>,
}

impl Log {
    fn append(mut self, mut other: Self) -> Self {
        self.granted += other.granted;
        self.charged += other.charged;
        self.sent += other.sent;
        self.lost.append(&mut other.lost);
        self.cut += other.cut;
        self.connections += other.connections;
        self.cancelled += other.cancelled;
        self.changes.append(&mut other.changes);
        self
    }

    /// Notes that a request has been admitted that wants to be since `began`.
    fn admitted(&mut self, scene: &Scene, waited: bool, began: u64, permits: u64) -> Request {
        self.granted += permits;
        Request { waited, began, granted: scene.limiter.clock().now(), permits }
    }

    /// What becomes of a request that was admitted: how much of it is sent, and whether the answer is read.
    fn fate(&mut self, request: Request, random: &mut Random) -> (usize, bool) {
        let (sent, heard) = match random.below(32) {
            0 => (0, false),
            1 => (1 + random.below(REQUEST as u64 - 1) as usize, false),
            2 | 3 => (REQUEST, false),
            _ => (REQUEST, true),
        };
        if sent == REQUEST {
            self.sent += 1;
        } else {
            self.lost.push(request);
            self.cut += u64::from(sent > 0);
        }
        (sent, heard)
    }
}

/// The longest wait of a caller that must be granted.
const PATIENCE: Duration = Duration::from_secs(120);
const FOR_EVER: &str = "somebody waits for ever";

/// What is the same for all.
#[derive(Debug)]
struct Scene {
    limiter: Limiter,
    address: SocketAddr,
    plan: Plan,
    quotas: Vec<Quota>,
    over: AtomicBool,
    calls: Calls,
    kept: Kept,
}

impl Scene {
    fn is_over(&self) -> bool {
        // Relaxed: it says nothing about anything else.
        self.over.load(Ordering::Relaxed)
    }

    /// Where the books have to balance, marks the beginning of a call, and its end by being dropped.
    fn call(&self) -> Option<Call<'_>> {
        self.plan.never_full.then(|| self.calls.begin())
    }
}

/// A client that waits as a task. Now and then it leaves the queue, forgets that it waits, or stalls its runtime.
async fn task(scene: Arc<Scene>, seed: u64) -> Log {
    let (limiter, mut random, mut log) = (&scene.limiter, Random(seed), Log::default());
    let (mut stream, mut forgotten) = (None, Vec::new());
    while !scene.is_over() {
        let call = scene.call();
        let (n, began) = (1 + random.below(3), limiter.clock().now());
        let mut request = None;
        match random.below(64) {
            0 => thread::sleep(Duration::from_millis(1 + random.below(30))),
            1..10 => {
                let patience = Duration::from_micros(random.below(4_000));
                let wait = async {
                    limiter.acquire_n(n).await.unwrap();
                    request = Some(log.admitted(&scene, true, began, n));
                };
                let left = tokio::time::timeout(patience, wait).await.is_err();
                log.cancelled += u64::from(left);
            }
            10..16 if forgotten.len() < 4 => {
                let mut future = Box::pin(limiter.acquire_n(n));
                if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    request = Some(log.admitted(&scene, true, began, n));
                } else {
                    forgotten.push(future);
                }
            }
            16..20 => log.cancelled += forgotten.drain(..).count() as u64,
            20..28 if limiter.try_acquire_n(n).is_ok() => {
                request = Some(log.admitted(&scene, false, began, n));
            }
            28..34 => match limiter.acquire_within(n, Duration::from_millis(random.below(20))).await {
                Ok(()) => request = Some(log.admitted(&scene, true, began, n)),
                Err(denied) => assert!(matches!(denied, Denied::NotYet(_)), "{denied}"),
            },
            _ => {
                limiter.acquire_n(n).await.unwrap();
                request = Some(log.admitted(&scene, true, began, n));
            }
        }
        drop(call);
        if let Some(request) = request {
            let (sent, heard) = log.fate(request, &mut random);
            if stream.is_none() {
                log.connections += 1;
                stream = Some(TcpStream::connect(scene.address).await.unwrap());
            }
            let mut line = stream.take().unwrap();
            line.write_all(&request.to_bytes()[..sent]).await.unwrap();
            if heard {
                line.read_exact(&mut [0]).await.unwrap();
                stream = Some(line);
            }
        }
        if scene.plan.hungry {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
        }
    }
    log.cancelled += forgotten.len() as u64;
    log
}

/// The short life of a client that is blocked while it waits.
fn blocked(scene: &Scene, random: &mut Random) -> Log {
    let (limiter, mut log) = (&scene.limiter, Log::default());
    let mut stream = None;
    for _ in 0..random.below(40) {
        let call = scene.call();
        let (n, began) = (1 + random.below(3), limiter.clock().now());
        let soon = Duration::from_micros(random.below(6_000));
        let (waited, admitted) = match random.below(8) {
            0 | 1 => (true, limiter.blocking_acquire_within(n, soon).is_ok()),
            2 => (false, limiter.try_acquire_n(n).is_ok()),
            _ => (true, limiter.blocking_acquire_n(n).is_ok()),
        };
        let request = admitted.then(|| log.admitted(scene, waited, began, n));
        drop(call);
        if let Some(request) = request {
            let (sent, heard) = log.fate(request, random);
            let mut line = stream.take().unwrap_or_else(|| {
                log.connections += 1;
                net::TcpStream::connect(scene.address).unwrap()
            });
            line.write_all(&request.to_bytes()[..sent]).unwrap();
            if heard {
                line.read_exact(&mut [0]).unwrap();
                stream = Some(line);
            }
        }
        if random.one_in(40) || !scene.plan.hungry {
            thread::sleep(Duration::from_micros(random.below(20_000)));
        }
        if scene.is_over() {
            break;
        }
    }
    log
}

/// Tasks on a runtime of one thread, until all of them are served.
fn tasks(scene: &Arc<Scene>, seeds: std::ops::Range<u64>) -> Log {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tasks: JoinSet<_> = seeds.map(|seed| task(Arc::clone(scene), seed)).collect();
        let mut log = Log::default();
        while let Some(served) = tokio::time::timeout(PATIENCE, tasks.join_next()).await.expect(FOR_EVER) {
            log = log.append(served.unwrap());
        }
        log
    })
}

/// One thread after the other, until it is over.
fn threads(scene: &Arc<Scene>, seed: u64) -> Log {
    let (mut seeds, mut log) = (Random(seed), Log::default());
    while !scene.is_over() {
        let (its, mut random) = (Arc::clone(scene), Random(seeds.below(u64::MAX)));
        let thread = scene.kept.spawn(move || blocked(&its, &mut random));
        log = log.append(join(thread));
    }
    log
}

/// Changes the quota, and charges.
fn changes(scene: &Scene, seed: u64) -> Log {
    let (limiter, mut random, mut log) = (&scene.limiter, Random(seed), Log::default());
    while !scene.is_over() {
        thread::sleep(Duration::from_micros(random.below(15_000)));
        if random.one_in(4) {
            let _call = scene.call();
            limiter.charge(10).unwrap();
            log.charged += 10;
            continue;
        }
        let quota = scene.quotas[random.below(scene.quotas.len() as u64) as usize];
        let change = || {
            let began = limiter.clock().now();
            limiter.set_quota(quota).unwrap();
            Change { began, over: limiter.clock().now(), quota }
        };
        log.changes.push(if scene.plan.never_full { scene.calls.between(change) } else { change() });
    }
    log
}

/// Runs all clients for so long, and until all are granted and have disconnected. The quota changes if there are
/// several.
pub(crate) fn run(limiter: &Limiter, quotas: &[Quota], plan: Plan, kept: &Kept) -> (Log, Book) {
    let seed = plan.seed;
    let listener = net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let scene = Arc::new(Scene {
        limiter: limiter.clone(),
        address: listener.local_addr().unwrap(),
        plan,
        quotas: quotas.to_vec(),
        over: AtomicBool::new(false),
        calls: Calls::default(),
        kept: kept.clone(),
    });
    let (all, told) = oneshot::channel();
    let clock = limiter.clock().clone();
    let server = kept.spawn(move || serve(listener, &clock, seed, told));
    let spawn = |life: fn(&Arc<Scene>, u64) -> Log, seed| {
        let scene = Arc::clone(&scene);
        kept.spawn(move || life(&scene, seed))
    };
    let mut clients: Vec<_> =
        [1, 7].map(|i| spawn(|scene, seed| tasks(scene, seed..seed + 6), seed + i)).into();
    clients.extend([20, 21, 22].map(|i| spawn(threads, seed + i)));
    if quotas.len() > 1 {
        clients.push(spawn(|scene, seed| changes(scene, seed), seed + 40));
    }
    thread::sleep(plan.lasts);
    // Relaxed: see `is_over`.
    scene.over.store(true, Ordering::Relaxed);
    let log = clients.into_iter().map(join).fold(Log::default(), Log::append);
    all.send(log.connections).unwrap();
    (log, join(server).unwrap())
}
