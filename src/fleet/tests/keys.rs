//! A fleet for each key.

use core::{fmt, time::Duration};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{task::JoinSet, time::sleep};

use super::{
    random::Random,
    server::{Admitted, Server},
};
use crate::{
    AllOf, Fleet, KeyedFleet, OnOutage, Quota, TokioClock,
    fleet::store::{Pending, Store, Stores},
};

/// A server for each key, as all processes see them.
#[derive(Clone)]
struct Servers {
    all: Arc<Mutex<HashMap<String, Server>>>,
    clock: TokioClock,
    quota: Quota,
    /// A member that leaves and the next one of its key may call at a time, so each has a number.
    connections: Arc<AtomicU64>,
    reports: Arc<AtomicU64>,
    is_stopped: Arc<AtomicBool>,
    policy: OnOutage,
}

impl Servers {
    fn new(quota: Quota) -> Self {
        Self {
            all: Arc::default(),
            clock: TokioClock::new(),
            quota,
            connections: Arc::default(),
            reports: Arc::default(),
            is_stopped: Arc::default(),
            policy: OnOutage::Closed,
        }
    }

    async fn join(&self, max_keys: usize) -> KeyedFleet<String, TokioClock> {
        let choices = Fleet::builder("test", self.quota).on_outage(self.policy).choices().unwrap();
        let clock = Arc::new(self.clock.clone());
        let keyed = KeyedFleet::new(Arc::new(self.clone()), choices, clock, max_keys).unwrap();
        keyed.start().await;
        keyed
    }

    fn of(&self, key: &str) -> Server {
        self.all.lock().unwrap()[key].clone()
    }
}

impl Stores for Servers {
    fn of_key(&self, key: &dyn fmt::Display) -> Arc<dyn Store> {
        let terms = Fleet::builder("test", self.quota).choices().unwrap().terms;
        let mut all = self.all.lock().unwrap();
        let seed = all.len() as u64 + 1;
        let server = all.entry(key.to_string()).or_insert_with(|| {
            let server = Server::new(seed, &self.clock);
            server.with(|state| (state.terms, state.is_of_many) = (terms, true));
            server
        });
        server.with(|state| state.is_stopped = self.is_stopped.load(Ordering::Relaxed));
        Arc::new(server.connect(self.connections.fetch_add(1, Ordering::Relaxed), Duration::from_millis(50)))
    }

    fn beat(&self) -> Pending<'_, u64> {
        self.reports.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(2) })
    }
}

#[tokio::test(start_paused = true)]
async fn each_key_keeps_its_quota_whatever_is_dropped_meanwhile() {
    let quota = Quota::per_second(50).with_burst(40);
    let servers = Servers::new(quota);
    // Twelve keys, of which a process keeps few, so that they come and go all the time.
    let processes = [servers.join(3).await, servers.join(16).await];
    let admitted: Vec<Admitted> = (0..12).map(|_| Admitted::new(quota, &servers.clock)).collect();
    let mut tasks = JoinSet::new();
    for seed in 0..8 {
        let (process, admitted) = (processes[seed % 2].clone(), admitted.clone());
        tasks.spawn(async move {
            let mut random = Random(seed as u64 + 1);
            loop {
                let key = random.below(12) as usize;
                let n = 1 + random.below(10);
                for _ in 0..random.below(8) {
                    let name = format!("key {key}");
                    let wait = Duration::from_millis(random.below(300));
                    if process.acquire_within(name.as_str(), n, wait).await.is_ok() {
                        admitted[key].note(n);
                    }
                }
                sleep(Duration::from_millis(random.below(30))).await;
            }
        });
    }
    sleep(Duration::from_secs(60)).await;
    tasks.abort_all();
    let counts: Vec<u64> = admitted.iter().map(Admitted::count).collect();
    for (key, admitted) in admitted.iter().enumerate() {
        let needed = admitted.burst_needed();
        assert!(needed <= quota.burst(), "key {key} needed a burst of {needed}");
    }
    // Far more than the keys of a broken table would get, and far less than twelve quotas.
    assert!(counts.iter().all(|&count| count > 100), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_uses_is_dropped_and_one_that_is_held_is_not() {
    let quota = Quota::per_second(100);
    let servers = Servers::new(quota);
    let keyed = servers.join(100).await;
    assert!(keyed.is_empty() && keyed.quota() == quota);
    let held = keyed.get("held");
    for key in ["a", "b", "c"] {
        keyed.acquire_n(key, 5).await.unwrap();
    }
    assert_eq!(keyed.len(), 4);
    sleep(Duration::from_secs(14)).await;
    assert_eq!(keyed.len(), 1);
    assert!(!held.limiter().is_closed());
    keyed.acquire_n("a", 5).await.unwrap();
    assert_eq!(keyed.len(), 2);
    assert_eq!(keyed.report().members(), 2);
    // Nobody calls for a key that is gone, and nobody reports a table that is.
    let calls = || servers.of("b").with(|state| state.calls);
    let before = calls();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(calls(), before);
    drop((keyed, held));
    sleep(Duration::from_secs(3)).await;
    let reports = servers.reports.load(Ordering::Relaxed);
    let before = ["a", "held"].map(|key| servers.of(key).with(|state| state.calls));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(servers.reports.load(Ordering::Relaxed), reports);
    assert_eq!(["a", "held"].map(|key| servers.of(key).with(|state| state.calls)), before);
}

#[tokio::test(start_paused = true)]
async fn a_full_table_drops_keys_that_nobody_holds() {
    let servers = Servers::new(Quota::per_second(100));
    let keyed = servers.join(64).await;
    let held: Vec<_> = (0..40).map(|i| keyed.get(&format!("held {i}"))).collect();
    for i in 0..2_000 {
        keyed.get(&format!("key {i}"));
    }
    assert!(keyed.len() <= 64 + 40, "{}", keyed.len());
    for (i, fleet) in held.iter().enumerate() {
        assert!(!fleet.limiter().is_closed());
        // The same member, and not another of the same key.
        fleet.limiter().charge(1).unwrap();
        let again = keyed.get(&format!("held {i}"));
        assert_eq!(again.limiter().available(), fleet.limiter().available());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_key_owes_is_booked_at_the_server() {
    // 50 permits are set aside, so the server has 50.
    let servers = Servers::new(Quota::per_second(10).with_burst(60));
    let keyed = servers.join(100).await;
    keyed.acquire_n("key", 1).await.unwrap();
    keyed.get("key").limiter().charge(40).unwrap();
    drop(keyed);
    sleep(Duration::from_millis(100)).await;
    let keyed = servers.join(100).await;
    let start = tokio::time::Instant::now();
    keyed.acquire_n("key", 30).await.unwrap();
    // 71 of which 50 were there.
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(1_800), "{waited:?}");
    assert!(waited <= Duration::from_millis(2_500), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_and_goes_has_one_share_while_the_server_is_away() {
    let quota = Quota::per_hour(10).with_burst(10);
    let mut servers = Servers::new(quota);
    servers.policy = OnOutage::LocalShare;
    let keyed = servers.join(16).await;
    servers.is_stopped.store(true, Ordering::Relaxed);
    let mut admitted = 0;
    for round in 0..300 {
        for _ in 0..3 {
            let done = keyed.acquire_within("victim", 1, Duration::from_millis(200)).await;
            admitted += u64::from(done.is_ok());
        }
        for i in 0..20 {
            let _ = keyed.try_acquire_n(&format!("key {round} {i}"), 1);
        }
        sleep(Duration::from_millis(1_500)).await;
    }
    // Ten minutes: the burst of the share, which is half for two processes, and less than one permit more.
    assert!(admitted <= 6, "{admitted}");
    assert!(keyed.len() <= 16, "{}", keyed.len());
}

#[tokio::test(start_paused = true)]
async fn a_key_stays_while_a_call_or_a_reservation_of_its_limiter_is_held() {
    let servers = Servers::new(Quota::per_minute(1).with_burst(3));
    let keyed = servers.join(100).await;
    let reservation = keyed.get("reserved").limiter().reserve(1).await.unwrap();
    keyed.acquire_n("waits", 2).await.unwrap();
    let wait = AllOf::new().and(&keyed.get("waits"), 1).acquire();
    let wait = tokio::spawn(wait);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(keyed.len(), 2);
    wait.await.unwrap().unwrap();
    drop(reservation);
    sleep(Duration::from_secs(14)).await;
    assert!(keyed.is_empty());
}
