//! Fleets on a cluster of two nodes, with keys that move, and a node that goes away. Bounds of time are generous, as in
//! `fleet.rs`.
#![cfg(feature = "redis-cluster")]

#[path = "support/fleets.rs"]
mod fleets;
#[path = "support/redis_server.rs"]
mod redis_server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fleets::{LONG, join_users, until};
use redis_server::RedisServer;
use tidegate::{Fleet, FleetError, FleetStore, KeyedFleet, OnOutage, Quota};
use tokio::{task::JoinSet, time::sleep};

/// Two nodes, of which each has half of the slots.
struct Cluster {
    nodes: [RedisServer; 2],
    ids: [String; 2],
}

/// The text of a bulk reply.
fn text(reply: &str) -> String {
    reply.lines().nth(1).unwrap_or_else(|| panic!("{reply}")).to_owned()
}

fn command(node: &RedisServer, line: &str) {
    let reply = node.command(line);
    assert!(reply.starts_with("+OK"), "{line}: {reply}");
}

impl Cluster {
    fn start() -> Option<Self> {
        let nodes = [RedisServer::start_node()?, RedisServer::start_node()?];
        command(&nodes[0], "CLUSTER ADDSLOTSRANGE 0 8191");
        command(&nodes[1], "CLUSTER ADDSLOTSRANGE 8192 16383");
        let bus_port = nodes[1].bus_port().unwrap();
        command(&nodes[0], &format!("CLUSTER MEET 127.0.0.1 {} {bus_port}", nodes[1].port()));
        let start = Instant::now();
        let knows_all = |node: &RedisServer| {
            let info = node.command("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
        };
        while !nodes.iter().all(knows_all) {
            assert!(start.elapsed() < LONG, "{}", nodes[0].command("CLUSTER INFO"));
            thread::sleep(Duration::from_millis(20));
        }
        let ids = [0, 1].map(|i: usize| text(&nodes[i].command("CLUSTER MYID")));
        Some(Self { nodes, ids })
    }

    fn server(&self) -> FleetStore {
        FleetStore::cluster(self.nodes.iter().map(RedisServer::address)).unwrap()
    }

    /// The slot of a key of the fleet `users`, and the node that has it at first.
    fn place(&self, key: &str) -> (u32, usize) {
        let reply = self.nodes[0].command(&format!("CLUSTER KEYSLOT users:{{{key}}}"));
        let slot = reply.trim().trim_start_matches(':').parse().unwrap();
        (slot, usize::from(slot > 8191))
    }

    /// Moves a key, and its slot, to the other node.
    fn move_key(&self, key: &str) {
        let (slot, from) = self.place(key);
        let to = 1 - from;
        command(&self.nodes[to], &format!("CLUSTER SETSLOT {slot} IMPORTING {}", self.ids[from]));
        command(&self.nodes[from], &format!("CLUSTER SETSLOT {slot} MIGRATING {}", self.ids[to]));
        let port = self.nodes[to].port();
        let moved = self.nodes[from].command(&format!("MIGRATE 127.0.0.1 {port} users:{{{key}}} 0 5000"));
        // It may have expired.
        assert!(moved.starts_with("+OK") || moved.starts_with("+NOKEY"), "{moved}");
        for node in [to, from] {
            command(&self.nodes[node], &format!("CLUSTER SETSLOT {slot} NODE {}", self.ids[to]));
        }
    }
}

/// Two keys of each node.
fn keys_of_both(cluster: &Cluster) -> Vec<String> {
    let all: Vec<String> = (0..200).map(|i| format!("user {i}").replace(' ', "-")).collect();
    let of = |node: usize| all.iter().filter(move |key| cluster.place(key).1 == node).take(2).cloned();
    of(0).chain(of(1)).collect()
}

/// Hungry callers of each key, and what they got.
struct Hungry {
    admitted: Arc<Vec<AtomicU64>>,
    start: Instant,
    _tasks: JoinSet<()>,
}

impl Hungry {
    fn start(users: &KeyedFleet<String>, keys: &[String]) -> Self {
        let admitted: Arc<Vec<AtomicU64>> = Arc::new(keys.iter().map(|_| AtomicU64::new(0)).collect());
        let mut tasks = JoinSet::new();
        for (i, key) in keys.iter().enumerate() {
            let (fleet, admitted) = (users.get(key), Arc::clone(&admitted));
            tasks.spawn(async move {
                loop {
                    fleet.acquire().await;
                    admitted[i].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { admitted, start: Instant::now(), _tasks: tasks }
    }

    fn count(&self, key: usize) -> u64 {
        self.admitted[key].load(Ordering::Relaxed)
    }

    async fn until_more(&self, keys: &[usize], permits: u64) {
        let goals: Vec<u64> = keys.iter().map(|&key| self.count(key) + permits).collect();
        let start = Instant::now();
        while keys.iter().zip(&goals).any(|(&key, &goal)| self.count(key) < goal) {
            assert!(start.elapsed() < LONG, "{:?}, keys {keys:?} should come to {goals:?}", self.admitted);
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// No key has more than its quota.
    fn check(&self, quota: &Quota, per_second: f64) {
        let counts: Vec<u64> = (0..self.admitted.len()).map(|key| self.count(key)).collect();
        let most = quota.burst() as f64 + per_second * self.start.elapsed().as_secs_f64();
        assert!(counts.iter().all(|&count| count as f64 <= most), "{counts:?} of at most {most}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_all_nodes_are_served_also_when_they_move() {
    let Some(cluster) = Cluster::start() else { return };
    let quota = Quota::per_second(100).with_burst(40);
    let users = join_users(&cluster.server(), quota).await;
    let keys = keys_of_both(&cluster);
    let hungry = Hungry::start(&users, &keys);
    hungry.until_more(&[0, 1, 2, 3], 50).await;
    hungry.check(&quota, 100.0);
    cluster.move_key(&keys[0]);
    cluster.move_key(&keys[3]);
    hungry.until_more(&[0, 1, 2, 3], 100).await;
    hungry.check(&quota, 100.0);
    assert_eq!(users.report().unleased(), 0);
    let single = Fleet::builder("one", quota).on_outage(OnOutage::Closed);
    let single = single.join(&cluster.server()).await.unwrap();
    single.acquire_within(20, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_takes_only_its_keys_with_it() {
    let Some(mut cluster) = Cluster::start() else { return };
    let quota = Quota::per_second(100).with_burst(40);
    let users = join_users(&cluster.server(), quota).await;
    let keys = keys_of_both(&cluster);
    let hungry = Hungry::start(&users, &keys);
    hungry.until_more(&[0, 1, 2, 3], 20).await;
    cluster.nodes[1].kill();
    until("the node is missed", || users.report().is_away()).await;
    hungry.until_more(&[0, 1], 200).await;
    assert!(users.report().is_away() && users.report().failed() > 0);
    hungry.check(&quota, 100.0);
}

#[test]
fn the_addresses_of_a_cluster_are_checked() {
    for nodes in [vec![], vec!["redis://localhost", "gopher://localhost"]] {
        let error = FleetStore::cluster(nodes).unwrap_err();
        assert!(matches!(error, FleetError::Address(_)), "{error}");
    }
}
