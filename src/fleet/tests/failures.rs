//! The server is away, slow, or forgets; and pauses.

use core::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::server::{Admitted, Server};
use crate::{Fleet, OnOutage, Quota, TokioClock};

async fn member(server: &Server, id: u64, quota: Quota, policy: OnOutage) -> Fleet<TokioClock> {
    server.join(id, Fleet::builder("test", quota).on_outage(policy)).await
}

/// How many permits one hungry caller gets in a time.
async fn permits_in(fleet: &Fleet<TokioClock>, time: Duration) -> u64 {
    let mut count = 0;
    let _ = timeout(time, async {
        loop {
            fleet.acquire().await;
            count += 1;
        }
    })
    .await;
    count
}

#[tokio::test(start_paused = true)]
async fn while_the_server_is_away_each_process_has_its_share() {
    let clock = TokioClock::new();
    let server = Server::new(1, &clock);
    let quota = Quota::per_second(100);
    let mut members = Vec::new();
    for id in 0..4 {
        members.push(member(&server, id, quota, OnOutage::LocalShare).await);
    }
    // All four have been counted.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(members[0].report().members(), 4);
    server.with(|state| state.is_stopped = true);
    // The first seconds use the lease and the burst of the share.
    permits_in(&members[0], Duration::from_secs(4)).await;
    let count = permits_in(&members[0], Duration::from_secs(20)).await;
    assert!((480..=510).contains(&count), "{count} of 500");
    let report = members[0].report();
    assert!(report.is_away() && report.failed() > 0 && report.unleased() >= 480);
    assert_eq!(report.outages(), 1);

    server.with(|state| state.is_stopped = false);
    sleep(Duration::from_secs(2)).await;
    let count = permits_in(&members[0], Duration::from_secs(20)).await;
    assert!(count >= 1_950, "{count} of 2,000");
    assert!(!members[0].report().is_away());
    assert_eq!(members[0].report().outages(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_closed_member_admits_nothing_and_ends_waits_in_time() {
    let clock = TokioClock::new();
    let server = Server::new(2, &clock);
    let fleet = member(&server, 0, Quota::per_second(100), OnOutage::Closed).await;
    server.with(|state| state.is_stopped = true);
    permits_in(&fleet, Duration::from_secs(1)).await;
    let (start, before) = (Instant::now(), fleet.report().unleased());
    assert!(fleet.acquire_within(1, Duration::from_secs(3)).await.is_err());
    let waited = start.elapsed();
    assert!(waited <= Duration::from_millis(3_003), "{waited:?}");
    assert!(timeout(Duration::from_secs(5), fleet.acquire()).await.is_err());
    assert_eq!((fleet.report().unleased(), before), (0, 0));
    server.with(|state| state.is_stopped = false);
    assert!(timeout(Duration::from_secs(5), fleet.acquire()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_open_member_admits_what_is_asked_for() {
    let clock = TokioClock::new();
    let server = Server::new(3, &clock);
    let fleet = member(&server, 0, Quota::per_second(100), OnOutage::Open).await;
    server.with(|state| state.is_stopped = true);
    permits_in(&fleet, Duration::from_secs(1)).await;
    let start = Instant::now();
    for _ in 0..500 {
        fleet.acquire_n(10).await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(45), "{:?}", start.elapsed());
    assert!(fleet.report().unleased() >= 4_500);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_on_a_slow_quota_is_refused_when_its_wait_is_over() {
    let clock = TokioClock::new();
    let server = Server::new(4, &clock);
    let fleets = [
        member(&server, 0, Quota::per_minute(6).with_burst(4), OnOutage::Closed).await,
        member(&server, 1, Quota::per_minute(6).with_burst(4), OnOutage::Closed).await,
    ];
    // The burst less what is set aside.
    for fleet in [&fleets[0], &fleets[1], &fleets[0]] {
        let _ = fleet.acquire_within(1, Duration::from_secs(8)).await;
    }
    let start = Instant::now();
    // Whether it is refused at once or later, it does not wait longer.
    let _ = fleets[0].acquire_within(2, Duration::from_secs(4)).await;
    assert!(start.elapsed() <= Duration::from_millis(4_003), "{:?}", start.elapsed());
    assert!(timeout(Duration::from_secs(60), fleets[1].acquire()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_the_pause_of_all() {
    let clock = TokioClock::new();
    let server = Server::new(5, &clock);
    let quota = Quota::per_second(100);
    let admitted = Admitted::new(quota, &clock);
    let members = server.join_many(quota, 3).await;
    let mut tasks = tokio::task::JoinSet::new();
    for fleet in members.clone() {
        let admitted = admitted.clone();
        tasks.spawn(async move {
            loop {
                fleet.acquire().await;
                admitted.note(1);
            }
        });
    }
    sleep(Duration::from_secs(2)).await;
    let start = Instant::now();
    members[0].pause_for(Duration::from_secs(10)).await.unwrap();
    // The later end counts, and pauses do not add up.
    members[1].pause_for(Duration::from_secs(10)).await.unwrap();
    // The others hear of it at their next calls.
    sleep(Duration::from_millis(1_200)).await;
    let before = admitted.count();
    sleep(Duration::from_millis(8_500)).await;
    assert_eq!(admitted.count(), before);
    sleep(Duration::from_secs(3)).await;
    assert!(start.elapsed() < Duration::from_secs(13));
    let since = admitted.count() - before;
    assert!((250..=300).contains(&since), "{since}");
    assert!(admitted.burst_needed() <= quota.burst());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_used_goes_back() {
    let clock = TokioClock::new();
    let server = Server::new(6, &clock);
    let quota = Quota::per_minute(6).with_burst(6);
    let busy = member(&server, 0, quota, OnOutage::Closed).await;
    busy.acquire_n(3).await.unwrap();
    let idle = member(&server, 1, quota, OnOutage::Closed).await;
    assert_eq!(idle.report().leased(), 1);
    // Given up before the lease ends, with looks that are late by up to a beat.
    let ttl = Duration::from_secs(10);
    sleep(ttl).await;
    assert_eq!((idle.report().given_back(), idle.limiter().available()), (1, 0));
    let before = server.with(|state| state.came_back);
    assert!(before >= 1);
    // The last handle returns what is left, at once.
    let leaving = member(&server, 2, quota, OnOutage::Closed).await;
    assert_eq!(leaving.limiter().available(), 1);
    let limiter = leaving.limiter().clone();
    drop(leaving);
    sleep(Duration::from_millis(100)).await;
    assert!(limiter.is_closed());
    assert_eq!(server.with(|state| state.came_back), before + 1);
    // A waiter of a fleet that ends is told.
    let waiter = tokio::spawn(idle.limiter().acquire_n_owned(5));
    drop(idle);
    assert!(timeout(Duration::from_secs(10), waiter).await.is_ok());
}
