//! What an exporter of the facade `metrics` shows of a fleet.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tidegate::{MetricsError, MetricsPublisher};

use super::*;
use crate::fleets::join_users;

/// The value of a metric of the fleet of that name.
fn value(recorder: &PrometheusRecorder, metric: &str, name: &str) -> u64 {
    let page = recorder.handle().render();
    let line = format!("tidegate_fleet_{metric}{{fleet=\"{name}\"}} ");
    let found = page.lines().find_map(|known| known.strip_prefix(&line));
    found.unwrap_or_else(|| panic!("no {line} in {page}")).parse().unwrap()
}

#[tokio::test]
async fn an_exporter_shows_leases_and_outages() {
    let Some(mut server) = RedisServer::start() else { return };
    let quota = Quota::per_second(1000);
    let fleet = join(&server, quota, OnOutage::LocalShare).await;
    let users = join_users(&tidegate::FleetStore::new(&server.address()).unwrap(), quota).await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let mut publisher = MetricsPublisher::new();
    metrics::with_local_recorder(&recorder, || {
        publisher.add(&fleet.limiter().clone().watched("api"))?;
        publisher.add_fleet("api", &fleet)?;
        publisher.add_keyed_fleet("users", &users)
    })
    .unwrap();
    let taken = publisher.add_fleet("users", &fleet).unwrap_err();
    assert_eq!(taken, MetricsError::NameTaken("users".to_owned()));

    let leases = async {
        // A server that is slow may leave the first calls to the share of this process.
        while fleet.report().leased() == 0 {
            fleet.acquire().await;
        }
        users.acquire_n("someone", 10).await.unwrap();
    };
    timeout(LONG, leases).await.unwrap();
    publisher.publish();
    for name in ["api", "users"] {
        assert!(value(&recorder, "leased_permits_total", name) > 0);
        assert!(value(&recorder, "calls_total", name) > 0);
        assert_eq!(value(&recorder, "members", name), 1);
    }

    server.kill();
    until("away", || fleet.report().is_away()).await;
    timeout(LONG, async {
        while fleet.report().unleased() == 0 {
            fleet.acquire_n(20).await.unwrap();
        }
    })
    .await
    .unwrap();
    publisher.publish();
    assert_eq!(value(&recorder, "away", "api"), 1);
    for metric in ["outages_total", "failed_calls_total", "unleased_permits_total"] {
        assert!(value(&recorder, metric, "api") > 0, "{metric}");
    }
}

#[tokio::test]
async fn a_publisher_does_not_keep_a_process_in_its_fleet() {
    // Nothing listens there: port 1 is reserved.
    let fleet = Fleet::builder("test", Quota::per_second(100)).join("redis://127.0.0.1:1").await.unwrap();
    let mut publisher = MetricsPublisher::new();
    publisher.add_fleet("api", &fleet).unwrap();
    let limiter = fleet.limiter().clone();
    drop(fleet);
    until("closed", || limiter.is_closed()).await;
    publisher.publish();
}
