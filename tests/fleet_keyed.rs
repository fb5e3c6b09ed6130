//! A fleet for each key on a real server. Bounds of time are generous, as in `fleet.rs`.
#![cfg(feature = "redis")]

#[path = "support/fleets.rs"]
mod fleets;
#[cfg(feature = "tower")]
#[path = "fleet_keyed/layer.rs"]
mod layer;
#[path = "support/redis_server.rs"]
mod redis_server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fleets::{LONG, join_users, until};
use redis_server::RedisServer;
use tidegate::{Fleet, FleetError, FleetStore, Quota};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// The clients of the server but the one that asks.
fn clients(server: &RedisServer) -> usize {
    server.command("CLIENT LIST").lines().filter(|line| line.starts_with("id=")).count() - 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_share_a_connection_and_each_keeps_its_quota() {
    let Some(redis) = RedisServer::start() else { return };
    let quota = Quota::per_second(40).with_burst(20);
    let processes = [
        join_users(&FleetStore::new(&redis.address()).unwrap(), quota).await,
        join_users(&FleetStore::new(&redis.address()).unwrap(), quota).await,
    ];
    let admitted: Arc<Vec<AtomicU64>> = Arc::new((0..60).map(|_| AtomicU64::new(0)).collect());
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for process in &processes {
        for key in 0..60 {
            let (process, admitted) = (process.clone(), Arc::clone(&admitted));
            tasks.spawn(async move {
                let name = format!("user {key}");
                let _ = timeout(Duration::from_secs(3), async {
                    loop {
                        process.acquire_n(name.as_str(), 1).await.unwrap();
                        admitted[key].fetch_add(1, Ordering::Relaxed);
                    }
                })
                .await;
            });
        }
    }
    sleep(Duration::from_secs(1)).await;
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap();
    }
    // A connection that was given up on a slow machine may still be there for a moment.
    until("a connection for each process", || clients(&redis) == 2).await;
    let most = 20.0 + 40.0 * start.elapsed().as_secs_f64();
    let counts: Vec<u64> = admitted.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    assert!(counts.iter().all(|&count| count as f64 <= most), "{counts:?} of at most {most}");
    // Well below the rate, for slow machines.
    let failed: u64 = processes.iter().map(|process| process.report().failed()).sum();
    assert!(counts.iter().all(|&count| count >= 30) || failed > 0, "{counts:?}, {failed} calls failed");
    assert_eq!(processes[0].len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_come_back_with_the_server_and_connect_once() {
    let Some(mut redis) = RedisServer::start() else { return };
    let users = join_users(&FleetStore::new(&redis.address()).unwrap(), Quota::per_second(100)).await;
    let held: Vec<Fleet> = (0..50).map(|i| users.get(&format!("user {i}"))).collect();
    for fleet in &held {
        timeout(LONG, fleet.acquire()).await.unwrap();
    }
    redis.kill();
    // Waiters in all queues, so all keys call.
    let mut tasks: JoinSet<()> = JoinSet::new();
    for fleet in held {
        tasks.spawn(async move {
            for _ in 0..150 {
                fleet.acquire().await;
            }
        });
    }
    until("the server is missed", || users.report().is_away()).await;
    redis.restart();
    timeout(LONG, async { while tasks.join_next().await.is_some() {} }).await.unwrap();
    until("all keys are back", || !users.report().is_away()).await;
    let report = users.report();
    assert!(report.failed() > 0 && report.unleased() == 0, "{report:?}");
    assert_eq!(clients(&redis), 1);
    // Another call may still fail while the first ones succeed, but not for each key.
    assert!((1..10).contains(&report.outages()), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_is_made_anew() {
    let Some(redis) = RedisServer::start() else { return };
    let server = FleetStore::new(&redis.address()).unwrap();
    let users = join_users(&server, Quota::per_second(100)).await;
    let other = Fleet::builder("other", Quota::per_second(100)).join(&server).await.unwrap();
    timeout(LONG, users.acquire_n("ada", 1)).await.unwrap().unwrap();
    assert_eq!(clients(&redis), 1);
    redis.command("CLIENT KILL TYPE normal SKIPME yes");
    for _ in 0..150 {
        timeout(LONG, users.acquire_n("ada", 1)).await.unwrap().unwrap();
    }
    timeout(LONG, other.acquire_n(20)).await.unwrap().unwrap();
    assert_eq!(clients(&redis), 1);
}

#[tokio::test]
async fn any_text_is_a_key_of_its_own_and_a_name_has_no_braces() {
    let Some(redis) = RedisServer::start() else { return };
    let users =
        join_users(&FleetStore::new(&redis.address()).unwrap(), Quota::per_hour(1).with_burst(2)).await;
    // Each has one permit beside the one that is set aside.
    for key in ["", " ", "{", "}", "{}", "a", "A", "a b", "a:b", "é\u{0}\n", "members"] {
        timeout(LONG, users.acquire_n(key, 1)).await.unwrap().unwrap();
        assert_eq!(timeout(LONG, users.get(key).peek()).await.unwrap().unwrap(), 0, "{key:?}");
    }
    for name in ["", "{", "a}", "{a}"] {
        let joined =
            Fleet::builder(name, Quota::per_second(10)).join_keyed::<String, _>(&redis.address()).await;
        let error = joined.unwrap_err();
        assert!(matches!(&error, FleetError::Name(refused) if refused == name), "{error}");
    }
}
