//! Fleets on a real server, which the tests start, stop, kill and empty. Bounds of time are generous: a slow machine makes these
//! tests slower, not red.
#![cfg(feature = "redis")]

#[path = "support/fleets.rs"]
mod fleets;
#[path = "fleet/network.rs"]
mod network;
#[path = "fleet/proxy.rs"]
mod proxy;
#[cfg(feature = "metrics")]
#[path = "fleet/publishing.rs"]
mod publishing;
#[path = "support/redis_server.rs"]
mod redis_server;
#[path = "fleet/rights.rs"]
mod rights;

use std::time::{Duration, Instant};

use fleets::{LONG, until};
use redis_server::RedisServer;
use tidegate::{AllOf, Denied, Fleet, FleetError, Lane, OnOutage, Quota, RateLimiter, StoreError};
use tokio::time::{sleep, timeout};

async fn join(server: &RedisServer, quota: Quota, policy: OnOutage) -> Fleet {
    Fleet::builder("test", quota)
        .on_outage(policy)
        .call_timeout(Duration::from_millis(500))
        .join(&server.address())
        .await
        .unwrap()
}

/// Takes permits until none comes for a while.
async fn drain(fleet: &Fleet) -> u64 {
    let mut count = 0;
    while timeout(Duration::from_secs(2), fleet.acquire()).await.is_ok() {
        count += 1;
    }
    count
}

#[test]
fn a_fleet_whose_runtime_ends_is_closed_and_nobody_waits_for_it() {
    let Some(server) = RedisServer::start() else { return };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let quota = Quota::per_hour(1).with_burst(10);
    let fleet = first.block_on(join(&server, quota, OnOutage::Closed));
    let waits = {
        let fleet = fleet.clone();
        std::thread::spawn(move || {
            // The first request empties the bucket, and the second waits.
            let largest = fleet.limiter().largest_request();
            (0..2).try_for_each(|_| fleet.blocking_acquire_n(largest))
        })
    };
    first.block_on(until("it waits", || fleet.limiter().waiting() == 1));
    drop(first);
    assert!(waits.join().unwrap().is_err());
    assert_eq!(fleet.try_acquire(), Err(Denied::Closed));
    let paused = runtime().block_on(async { timeout(LONG, fleet.pause_for(Duration::from_secs(1))).await });
    assert!(matches!(paused, Ok(Err(FleetError::Store(_)))), "{paused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_together_keep_the_quota() {
    let Some(server) = RedisServer::start() else { return };
    let quota = Quota::per_second(200).with_burst(100);
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..8 {
        let fleet = join(&server, quota, OnOutage::Closed).await;
        tasks.spawn(async move {
            let mut count = 0;
            let _ = timeout(Duration::from_secs(3), async {
                loop {
                    // One hot member, and seven with little to do.
                    if i > 0 {
                        sleep(Duration::from_millis(100)).await;
                    }
                    fleet.acquire().await;
                    count += 1;
                }
            })
            .await;
            let report = fleet.report();
            assert!(report.unleased() == 0 && report.leased() >= count, "{report:?}, {count} used");
            (count, report.failed())
        });
    }
    let (mut total, mut failed) = (0, 0);
    while let Some(joined) = tasks.join_next().await {
        let (count, failures) = joined.unwrap();
        total += count;
        failed += failures;
    }
    let most = 100.0 + 200.0 * start.elapsed().as_secs_f64();
    assert!(total as f64 <= most, "{total} of at most {most}");
    // Well below the rate, for slow machines.
    assert!(total >= 200 || failed > 0, "{total}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_fleet_admits_nothing_while_the_server_is_killed_and_recovers_when_it_starts_again() {
    let Some(mut server) = RedisServer::start() else { return };
    let fleet = join(&server, Quota::per_second(100), OnOutage::Closed).await;
    fleet.acquire().await;
    server.kill();
    drain(&fleet).await;
    let report = fleet.report();
    assert!(report.is_away() && report.failed() > 0 && report.unleased() == 0);
    assert_eq!(report.outages(), 1);
    let denied = timeout(LONG, fleet.acquire_within(1, Duration::from_millis(300))).await.unwrap();
    assert!(matches!(denied, Err(Denied::NotYet(_))));
    server.restart();
    timeout(LONG, fleet.acquire_n(5)).await.unwrap().unwrap();
    assert!(!fleet.report().is_away());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_answering_leaves_the_local_share() {
    let Some(server) = RedisServer::start() else { return };
    let fleet = join(&server, Quota::per_second(100), OnOutage::LocalShare).await;
    server.signal("STOP");
    timeout(LONG, async {
        for _ in 0..150 {
            fleet.acquire().await;
        }
    })
    .await
    .unwrap();
    let report = fleet.report();
    assert!(report.is_away() && report.unleased() > 0, "{report:?}");
    server.signal("CONT");
    until("back", || !fleet.report().is_away()).await;
    let leased = fleet.report().leased();
    timeout(LONG, fleet.acquire_n(40)).await.unwrap().unwrap();
    assert!(fleet.report().leased() > leased);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flushed_script_a_cut_connection_and_a_lost_key_go_unnoticed_by_callers() {
    let Some(server) = RedisServer::start() else { return };
    let fleet = join(&server, Quota::per_second(100), OnOutage::Closed).await;
    for command in ["SCRIPT FLUSH", "FLUSHALL", "CLIENT KILL TYPE normal"] {
        server.command(command);
        timeout(LONG, fleet.acquire_n(30)).await.unwrap().unwrap();
        until("connected", || !fleet.report().is_away()).await;
    }
    // An answer of another form is a failure, not a panic.
    server.command("SET {test} nonsense");
    until("a failure", || {
        let _ = fleet.try_acquire_n(30);
        fleet.report().failed() > 1
    })
    .await;
    assert!(fleet.report().is_away());
    server.command("DEL {test}");
    timeout(LONG, fleet.acquire_n(30)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_reaches_the_other_members_and_keys_expire() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = [
        join(&server, Quota::per_second(100), OnOutage::Closed).await,
        join(&server, Quota::per_second(100), OnOutage::Closed).await,
    ];
    let longest = Duration::from_secs(100 * 365 * 86_400);
    assert_eq!(a.pause_for(longest).await, Err(FleetError::Duration(longest)));
    a.pause_for(Duration::from_secs(3600)).await.unwrap();
    assert!(a.try_acquire().is_err());
    until("paused", || {
        let _ = b.try_acquire();
        b.limiter().paused_until().is_some()
    })
    .await;
    let denied = b.acquire_within(1, Duration::from_secs(60)).await.unwrap_err();
    assert!(denied.retry_after() > Some(Duration::from_secs(3000)), "{denied}");
    let ttl = server.command("PTTL {test}");
    let ms: u64 = ttl.trim().trim_start_matches(':').parse().unwrap();
    assert!((3_400_000..=3_602_000).contains(&ms), "{ttl}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_limiter_can_do_a_fleet_can() {
    let Some(server) = RedisServer::start() else { return };
    let fleet = join(&server, Quota::per_second(1000), OnOutage::Closed).await;
    let local = RateLimiter::new(Quota::per_hour(10));
    let both = AllOf::new().and(&fleet, 1).and(&local, 1);
    timeout(LONG, both.acquire()).await.unwrap().unwrap();
    timeout(LONG, fleet.limiter().lane(Lane::Urgent).acquire_n(20)).await.unwrap().unwrap();
    let threads = fleet.clone();
    let blocked = tokio::task::spawn_blocking(move || threads.blocking_acquire_n(20));
    timeout(LONG, blocked).await.unwrap().unwrap().unwrap();
    assert!(fleet.try_acquire_n(501).unwrap_err().is_never());
    // Waiters of a fleet whose last handle is gone are told.
    let waiter = tokio::spawn(fleet.limiter().acquire_n_owned(500));
    let limiter = fleet.limiter().clone();
    drop((fleet, both));
    until("closed", || limiter.is_closed()).await;
    let _ = timeout(LONG, waiter).await.unwrap();
}

#[tokio::test]
async fn a_fleet_begins_without_a_server() {
    // Nothing listens there: port 1 is reserved.
    let builder = Fleet::builder("test", Quota::per_second(100)).call_timeout(Duration::from_millis(500));
    let fleet = builder.join("redis://127.0.0.1:1").await.unwrap();
    timeout(LONG, fleet.acquire_n(10)).await.unwrap().unwrap();
    let report = fleet.report();
    assert!(report.is_away() && report.unleased() >= 10 && report.leased() == 0, "{report:?}");
    let paused = fleet.pause_for(Duration::from_secs(1)).await;
    assert!(
        matches!(paused, Err(FleetError::Store(StoreError::Failed(_) | StoreError::TimedOut(_)))),
        "{paused:?}"
    );
}

#[tokio::test]
async fn choices_that_cannot_work_are_refused_with_a_reason() {
    let refused = |name: &str, quota| {
        let builder = Fleet::builder(name, quota);
        async move { builder.join("redis://127.0.0.1:1").await.unwrap_err() }
    };
    let hundred = Quota::per_second(100);
    assert_eq!(refused("a", Quota::UNLIMITED).await, FleetError::Fixed);
    assert_eq!(refused("", hundred).await, FleetError::Name(String::new()));
    assert_eq!(refused("a{b", hundred).await, FleetError::Name("a{b".to_owned()));
    let error = refused("a", hundred.with_burst(2)).await;
    assert_eq!(
        error.to_string(),
        "a fleet with a burst of 2, of which 2 are set aside for leases, can admit nothing: raise the burst to at least 3, or set less aside"
    );
    let error = Fleet::builder("a", hundred).set_aside(1).join("redis://localhost").await.unwrap_err();
    assert_eq!(error, FleetError::LeaseTooShort { set_aside: 1, least: 2 });
    let error = Fleet::builder("a", hundred).join("nonsense").await.unwrap_err();
    assert!(matches!(error, FleetError::Address(_)));
    let error = Fleet::builder("a", hundred)
        .call_timeout(Duration::ZERO)
        .join("redis://localhost")
        .await
        .unwrap_err();
    assert_eq!(error, FleetError::Duration(Duration::ZERO));
}

#[tokio::test]
async fn the_level_at_the_server_can_be_asked() {
    let Some(mut server) = RedisServer::start() else { return };
    // One permit is set aside.
    let fleet = join(&server, Quota::per_hour(1).with_burst(100), OnOutage::Closed).await;
    fleet.acquire_within(60, LONG).await.unwrap();
    // The process may hold some more, and lease more meanwhile.
    let left = timeout(LONG, fleet.peek()).await.unwrap().unwrap();
    let leased = fleet.report().leased();
    assert!(left <= 39 && (99..=99 + 39).contains(&(left + leased)), "{left} left, {leased} leased");
    server.kill();
    let failed = timeout(LONG, fleet.peek()).await.unwrap();
    assert!(matches!(failed, Err(FleetError::Store(_))), "{failed:?}");
}
