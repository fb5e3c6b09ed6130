//! What tests of fleets on a real server share. Bounds of time are generous: a slow machine makes these tests slower, not red.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::{Duration, Instant};

use tidegate::{Fleet, FleetStore, KeyedFleet, OnOutage, Quota};
use tokio::time::sleep;

/// Long enough for any machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Waits until `is` holds.
pub(crate) async fn until(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < LONG, "not within {LONG:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A fleet for each user, which admits nothing while the server is away.
pub(crate) async fn join_users(store: &FleetStore, quota: Quota) -> KeyedFleet<String> {
    Fleet::builder("users", quota)
        .on_outage(OnOutage::Closed)
        .call_timeout(Duration::from_millis(500))
        .join_keyed(store)
        .await
        .unwrap()
}
