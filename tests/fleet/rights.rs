//! A user of the server with only the rights that the guide names.

use std::time::Duration;

use tidegate::{Fleet, FleetStore, KeyedFleet, OnOutage, Quota, StoreLimits};
use tokio::time::timeout;

use crate::{LONG, redis_server::RedisServer, until};

/// The commands that the guide names.
fn rights() -> &'static str {
    let guide = include_str!("../../docs/guide/fleet.md");
    guide.split('`').find(|code| code.starts_with("+eval ")).expect("the guide names the rights")
}

/// The server's members of a fleet.
fn members(server: &RedisServer, key: &str) -> String {
    server.command(&format!("ZCARD {key}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_that_the_guide_names_are_enough() {
    let Some(redis) = RedisServer::start() else { return };
    let keys = "~{test} ~{test}:members ~users:{*} ~users:members ~logins:{*}";
    let reply = redis.command(&format!("ACL SETUSER guest on >secret {keys} -@all {}", rights()));
    assert!(reply.starts_with("+OK"), "{reply}");
    let server = FleetStore::new(&format!("redis://guest:secret@127.0.0.1:{}", redis.port())).unwrap();
    let builder = |name| {
        let builder = Fleet::builder(name, Quota::per_second(100));
        builder.on_outage(OnOutage::Closed).call_timeout(LONG)
    };

    let fleet = builder("test").join(&server).await.unwrap();
    let users: KeyedFleet<String> = builder("users").join_keyed(&server).await.unwrap();
    timeout(LONG, fleet.acquire_n(30)).await.unwrap().unwrap();
    timeout(LONG, users.acquire_n("ada", 30)).await.unwrap().unwrap();
    until("both fleets know their members", || {
        ["{test}:members", "users:members"].iter().all(|key| members(&redis, key).starts_with(":1"))
    })
    .await;
    fleet.pause_for(Duration::from_secs(1)).await.unwrap();

    let logins: StoreLimits = server.limits([("logins", Quota::per_minute(5))]).unwrap();
    let logins = logins.with_call_timeout(LONG);
    assert_eq!(logins.try_acquire("ada", [1]).await, Ok([4]));
    assert_eq!(logins.refund("ada", [1]).await, Ok([5]));
    // Commands of scripts. What the client tells of itself may be refused.
    let refused = redis.command("ACL LOG");
    assert!(!refused.contains("lua"), "{refused}");
}
