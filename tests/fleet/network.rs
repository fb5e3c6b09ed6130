//! A network that delays and cuts, and a server that fails over to its replica.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tidegate::{Fleet, OnOutage, Quota};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    fleets::{LONG, until},
    proxy::Proxy,
    redis_server::RedisServer,
};

/// Members that are always hungry, and what they have admitted together.
struct Hungry {
    quota: Quota,
    members: Vec<Fleet>,
    admitted: Arc<AtomicU64>,
    start: Instant,
    _tasks: JoinSet<()>,
}

impl Hungry {
    async fn start(proxy: &Proxy, quota: Quota) -> Self {
        let start = Instant::now();
        let (mut members, mut tasks, admitted) = (Vec::new(), JoinSet::new(), Arc::new(AtomicU64::new(0)));
        for _ in 0..3 {
            let builder = Fleet::builder("test", quota).on_outage(OnOutage::Closed);
            let fleet = builder.join(&proxy.address()).await.unwrap();
            for n in [1, 1, 3, 10] {
                let (fleet, admitted) = (fleet.clone(), Arc::clone(&admitted));
                tasks.spawn(async move {
                    while fleet.acquire_n(n).await.is_ok() {
                        admitted.fetch_add(n, Ordering::Relaxed);
                    }
                });
            }
            members.push(fleet);
        }
        Self { quota, members, admitted, start, _tasks: tasks }
    }

    fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// However the calls fared: no more than a burst and what has come since the start.
    fn check(&self, more: u64) {
        let admitted = self.admitted();
        let came = self.quota.permits() as f64 * self.start.elapsed().as_secs_f64();
        let most = (self.quota.burst() + more) as f64 + came;
        assert!(admitted as f64 <= most, "{admitted} of at most {most}");
    }

    async fn until_more(&self, permits: u64) {
        let goal = self.admitted() + permits;
        until("permits come", || self.admitted() >= goal).await;
    }

    fn failed(&self) -> u64 {
        self.members.iter().map(|fleet| fleet.report().failed()).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_delays_and_cuts_costs_permits_and_admits_none() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Proxy::start(server.port()).await;
    let hungry = Hungry::start(&proxy, Quota::per_second(500)).await;
    hungry.until_more(50).await;
    // Within the timeout of a call.
    proxy.delay(Duration::from_millis(8));
    hungry.until_more(300).await;
    hungry.check(0);
    // Cut amid a call, again and again: what the call took is lost.
    for _ in 0..15 {
        sleep(Duration::from_millis(40)).await;
        proxy.cut();
    }
    hungry.check(0);
    // Beyond the timeout: nothing comes.
    proxy.delay(Duration::from_millis(400));
    let failed = hungry.failed();
    until("calls fail", || hungry.failed() >= failed + 3).await;
    assert!(hungry.members.iter().any(|fleet| fleet.report().is_away()));
    proxy.delay(Duration::ZERO);
    proxy.cut();
    until("all are back", || hungry.members.iter().all(|fleet| !fleet.report().is_away())).await;
    hungry.until_more(300).await;
    hungry.check(0);
    assert!(hungry.members.iter().all(|fleet| fleet.report().unleased() == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_admits_one_burst_more_at_most() {
    let Some(mut primary) = RedisServer::start() else { return };
    let Some(replica) = RedisServer::start() else { return };
    let linked = replica.command(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    assert!(linked.starts_with("+OK"), "{linked}");
    until("the replica follows", || replica.command("INFO replication").contains("master_link_status:up"))
        .await;
    let proxy = Proxy::start(primary.port()).await;
    let hungry = Hungry::start(&proxy, Quota::per_second(500).with_burst(200)).await;
    hungry.until_more(300).await;
    until("the key is there", || replica.command("EXISTS {test}").starts_with(":1")).await;
    // The replica misses what comes now.
    replica.signal("STOP");
    hungry.until_more(100).await;
    hungry.check(0);
    primary.kill();
    replica.signal("CONT");
    assert!(replica.command("REPLICAOF NO ONE").starts_with("+OK"));
    proxy.switch(replica.port());
    hungry.until_more(300).await;
    until("all are back", || hungry.members.iter().all(|fleet| !fleet.report().is_away())).await;
    // The burst of the server, and what was booked ahead.
    hungry.check(200 + 100);
    let pause = hungry.members[0].pause_for(Duration::from_secs(3600));
    timeout(LONG, pause).await.unwrap().unwrap();
}
