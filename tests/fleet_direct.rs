//! Limits that a real server decides at each call. Bounds of time are generous: a slow machine makes these tests slower, not
//! red.
#![cfg(feature = "redis")]

#[path = "support/redis_server.rs"]
mod redis_server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis_server::RedisServer;
use tidegate::{Denied, FleetError, FleetStore, Quota, StoreError, StoreLimits, StoreLimitsError};
use tokio::{task::JoinSet, time::sleep};

/// Long enough for any machine.
const LONG: Duration = Duration::from_secs(60);

/// Limits over a connection of their own.
fn limits<const N: usize>(server: &RedisServer, limits: [(&str, Quota); N]) -> StoreLimits<N> {
    FleetStore::new(&server.address()).unwrap().limits(limits).unwrap().with_call_timeout(LONG)
}

/// The server's time of day may run faster or slower than the clock of a test, while it is set right.
const SLEW: Duration = Duration::from_millis(10);

/// How many keys the server has.
fn keys(server: &RedisServer) -> String {
    server.command("DBSIZE").trim().to_owned()
}

fn is_store(result: &Result<[u64; 1], StoreLimitsError>) -> bool {
    matches!(result, Err(StoreLimitsError::Store(StoreError::Failed(_) | StoreError::TimedOut(_))))
}

/// Calls until the server decides again. A connection that has ended may fail some calls.
async fn until_decided(logins: &StoreLimits, key: &str) -> Result<[u64; 1], StoreLimitsError> {
    let start = Instant::now();
    loop {
        let result = logins.try_acquire(key, [1]).await;
        if !matches!(result, Err(StoreLimitsError::Store(_))) {
            return result;
        }
        assert!(start.elapsed() < LONG, "{result:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clients_together_are_granted_exactly_the_burst_all_or_nothing() {
    let Some(server) = RedisServer::start() else { return };
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let quotas =
            [("calls", Quota::per_day(1).with_burst(300)), ("tokens", Quota::per_day(1).with_burst(500))];
        let client = limits(&server, quotas);
        // Many calls of each connection are under way at a time.
        for _ in 0..8 {
            let client = client.clone();
            tasks.spawn(async move {
                let mut count = 0;
                loop {
                    match client.try_acquire("acme", [1, 2]).await {
                        Ok(_) => count += 1,
                        Err(StoreLimitsError::Denied { limit, name, denied: Denied::NotYet(_) }) => {
                            assert_eq!((limit, &*name), (1, "tokens"));
                            return count;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    }
    let counts: Vec<u64> = tasks.join_all().await;
    assert_eq!(counts.iter().sum::<u64>(), 250);
    let client = limits(&server, [("calls", Quota::per_day(1).with_burst(300))]);
    assert_eq!(client.peek("acme").await, Ok([50]));
    // Another key has its own.
    assert_eq!(client.peek("other").await, Ok([300]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_sees_more_than_the_burst_and_the_rate() {
    let Some(server) = RedisServer::start() else { return };
    let quota = Quota::per_second(400).with_burst(50);
    let granted = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..3 {
        let (client, granted) = (limits(&server, [("api", quota)]), Arc::clone(&granted));
        tasks.spawn(async move {
            // Until far more than the burst has been granted.
            while granted.load(Ordering::Relaxed) < 400 {
                if client.try_acquire("key", [5]).await.is_ok() {
                    granted.fetch_add(5, Ordering::Relaxed);
                }
                assert!(start.elapsed() < LONG);
            }
        });
    }
    tasks.join_all().await;
    let granted = granted.load(Ordering::Relaxed);
    let most = 50.0 + 400.0 * (start.elapsed() + SLEW).as_secs_f64();
    assert!(granted >= 400 && granted as f64 <= most, "{granted} of {most}");
}

#[tokio::test]
async fn a_call_after_the_time_told_is_admitted_and_one_before_it_is_not() {
    let Some(server) = RedisServer::start() else { return };
    let interval = Duration::from_millis(1500);
    let client = limits(&server, [("calls", Quota::per_hour(60)), ("slow", Quota::every(interval))]);
    let begin = Instant::now();
    let mut round = 0;
    loop {
        // A slow machine may not call early enough. Then the test begins anew with another key.
        assert!(begin.elapsed() < LONG);
        round += 1;
        let key = round.to_string();
        let start = Instant::now();
        client.try_acquire(&key, [1, 1]).await.unwrap();
        let granted = start.elapsed();
        sleep(interval / 4).await;
        let refused = client.try_acquire(&key, [1, 1]).await;
        let told = Instant::now();
        if start.elapsed() + SLEW >= interval {
            continue;
        }
        let error = refused.unwrap_err();
        let wait = error.retry_after().unwrap();
        assert!(matches!(&error, StoreLimitsError::Denied { limit: 1, .. }), "{error}");
        assert_eq!(error.to_string(), format!("slow: rate limited: retry after {wait:?}"));
        let least = interval.saturating_sub(start.elapsed() + SLEW);
        let most = interval * 3 / 4 + granted + SLEW;
        assert!(least <= wait && wait <= most, "{wait:?}");
        sleep(wait / 4).await;
        let early = client.try_acquire(&key, [1, 1]).await;
        if start.elapsed() + SLEW >= interval {
            continue;
        }
        let later = early.unwrap_err().retry_after().unwrap();
        assert!(later < wait, "{later:?}");
        sleep(wait.saturating_sub(told.elapsed()) + SLEW).await;
        client.try_acquire(&key, [1, 1]).await.unwrap();
        return;
    }
}

#[tokio::test]
async fn a_flushed_script_and_a_cut_connection_are_mended() {
    let Some(server) = RedisServer::start() else { return };
    let logins = limits(&server, [("logins", Quota::per_hour(100))]);
    assert_eq!(logins.try_acquire("ada", [1]).await, Ok([99]));
    server.command("SCRIPT FLUSH");
    assert_eq!(logins.try_acquire("ada", [1]).await, Ok([98]));
    server.command("CLIENT KILL TYPE normal");
    assert_eq!(until_decided(&logins, "ada").await, Ok([97]));
    // Another program has written the key.
    server.command("SET logins:{ada} nonsense");
    let result = logins.try_acquire("ada", [1]).await;
    assert!(matches!(result, Err(StoreLimitsError::Store(_))), "{result:?}");
    assert_eq!(until_decided(&logins, "ben").await, Ok([99]));
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_in_time_and_is_found_again() {
    let Some(mut server) = RedisServer::start() else { return };
    let patient = limits(&server, [("logins", Quota::per_hour(5))]);
    let logins = patient.clone().with_call_timeout(Duration::from_millis(100));
    assert_eq!(until_decided(&logins, "ada").await, Ok([4]));
    server.signal("STOP");
    let start = Instant::now();
    let timed_out = StoreError::TimedOut(Duration::from_millis(100));
    assert_eq!(logins.try_acquire("ada", [1]).await, Err(timed_out.clone().into()));
    assert_eq!(logins.peek("ada").await, Err(timed_out.clone()));
    assert_eq!(logins.refund("ada", [1]).await, Err(timed_out.clone()));
    assert_eq!(logins.pause_for("ben", LONG).await, Err(FleetError::Store(timed_out)));
    assert!(start.elapsed() < LONG);
    server.signal("CONT");
    // What was sent before may be carried out or not.
    let left = until_decided(&patient, "ada").await.unwrap();
    assert!((1..=4).contains(&left[0]), "{left:?}");

    server.kill();
    let result = logins.try_acquire("ada", [1]).await;
    assert!(is_store(&result), "{result:?}");
    let error = result.unwrap_err();
    assert_eq!((error.retry_after(), error.is_never()), (None, false));
    server.restart();
    // It is empty, so the bucket is full again.
    assert_eq!(until_decided(&patient, "ada").await, Ok([4]));
}

#[tokio::test]
async fn levels_are_told_without_a_trace_and_full_keys_expire() {
    let Some(server) = RedisServer::start() else { return };
    let both = limits(&server, [("fast", Quota::per_second(10)), ("slow", Quota::per_hour(3600))]);
    assert_eq!(both.peek("ada").await, Ok([10, 3600]));
    assert_eq!(both.refund("ada", [10, 10]).await, Ok([10, 3600]));
    assert_eq!(both.try_acquire("ada", [0, 0]).await, Ok([10, 3600]));
    assert_eq!(keys(&server), ":0");
    assert_eq!(both.try_acquire("ada", [0, 1800]).await, Ok([10, 1800]));
    assert_eq!(keys(&server), ":1");
    let ttl = server.command("PTTL slow:{ada}");
    let ms: u64 = ttl.trim().trim_start_matches(':').parse().unwrap();
    assert!((1_700_000..=1_800_002).contains(&ms), "{ttl}");
    both.try_acquire("ben", [10, 0]).await.unwrap();
    let start = Instant::now();
    while keys(&server) != ":1" {
        assert!(start.elapsed() < LONG);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(both.peek("ben").await, Ok([10, 3600]));
}

#[tokio::test]
async fn permits_are_given_back_at_most_until_full() {
    let Some(server) = RedisServer::start() else { return };
    let both = limits(&server, [("logins", Quota::per_day(5)), ("mails", Quota::per_day(100))]);
    assert_eq!(both.try_acquire("ada", [5, 60]).await, Ok([0, 40]));
    assert_eq!(both.refund("ada", [1, 20]).await, Ok([1, 60]));
    assert_eq!(both.try_acquire("ada", [1, 0]).await, Ok([0, 60]));
    assert_eq!(both.refund("ada", [u64::MAX, 0]).await, Ok([5, 60]));
    assert_eq!(both.refund("ada", [3, u64::MAX]).await, Ok([5, 100]));
    // A part of a permit that has come meanwhile leaves room for less than one.
    let quick = limits(&server, [("quick", Quota::per_second(100).with_burst(1000))]);
    quick.try_acquire("ada", [1]).await.unwrap();
    assert_eq!(quick.refund("ada", [1]).await, Ok([1000]));
}

#[tokio::test]
async fn a_pause_holds_for_all_clients_and_one_key() {
    let Some(server) = RedisServer::start() else { return };
    let quotas = [("calls", Quota::per_hour(5)), ("logins", Quota::per_hour(5))];
    let [first, second] = [limits(&server, quotas), limits(&server, quotas)];
    let longest = Duration::from_secs(100 * 365 * 86_400);
    assert_eq!(first.pause_for("ada", longest).await, Err(FleetError::Duration(longest)));
    assert_eq!(first.pause_for("ada", Duration::ZERO).await, Ok(()));
    assert_eq!(keys(&server), ":0");
    assert_eq!(first.pause_for("ada", Duration::from_secs(3600)).await, Ok(()));
    let denied = second.try_acquire("ada", [0, 1]).await.unwrap_err();
    assert!(denied.retry_after() > Some(Duration::from_secs(3000)), "{denied}");
    assert!(denied.retry_after_secs() <= Some(3600), "{denied}");
    assert_eq!(second.peek("ada").await, Ok([5, 5]));
    assert_eq!(second.try_acquire("ben", [1, 1]).await, Ok([4, 4]));
}

#[tokio::test]
async fn another_quota_of_the_same_name_keeps_the_missing_permits() {
    let Some(server) = RedisServer::start() else { return };
    let free = limits(&server, [("calls", Quota::per_day(5))]);
    let paid = limits(&server, [("calls", Quota::per_day(1000))]);
    assert_eq!(free.try_acquire("ada", [5]).await, Ok([0]));
    assert_eq!(paid.try_acquire("ada", [1]).await, Ok([994]));
    assert!(free.try_acquire("ada", [1]).await.is_err());
}

#[tokio::test]
async fn any_text_is_a_key_of_its_own() {
    let Some(server) = RedisServer::start() else { return };
    let both = limits(&server, [("a", Quota::per_day(1)), ("b", Quota::per_day(1))]);
    for key in ["", "}", "{", "{}", "}{", ":", ":}", "a b", "a\r\nb", "a\0b", "é"] {
        assert_eq!(both.try_acquire(key, [1, 1]).await, Ok([0, 0]), "{key:?}");
        assert!(both.try_acquire(key, [1, 1]).await.is_err(), "{key:?}");
    }
    assert_eq!(both.try_acquire(&7, [1, 1]).await, Ok([0, 0]));
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_a_reason_and_without_a_server() {
    // Nothing listens there: port 1 is reserved.
    let server = FleetStore::new("redis://127.0.0.1:1").unwrap();
    let hundred = Quota::per_second(100);
    for name in ["", "{a}", "a{", "}"] {
        let error = server.limits([("good", hundred), (name, hundred)]).unwrap_err();
        assert_eq!(error, FleetError::Name(name.to_owned()));
    }
    let error = server.limits([("a", hundred), ("b", hundred), ("a", hundred)]).unwrap_err();
    assert_eq!(error, FleetError::SameName("a".to_owned()));
    assert!(error.to_string().starts_with("two limits named \"a\""), "{error}");
    for quota in [Quota::UNLIMITED, Quota::BLOCKED] {
        assert_eq!(server.limits([("a", quota)]).unwrap_err(), FleetError::Fixed);
    }
    let huge = Quota::new(9_007_199_254_740_881, Duration::from_nanos(1_000_000_007));
    let error = server.limits([("a", huge)]).unwrap_err();
    assert!(matches!(error, FleetError::NotExact { max_burst: 0, .. }), "{error}");

    let limits = server.limits([("calls", hundred), ("tokens", Quota::per_minute(500))]).unwrap();
    let error = limits.try_acquire("ada", [1, 501]).await.unwrap_err();
    assert!(error.is_never() && error.retry_after().is_none(), "{error}");
    assert!(matches!(&error, StoreLimitsError::Denied { limit: 1, name, .. } if &**name == "tokens"));
    assert_eq!(
        error.to_string(),
        "tokens: rate limited: a request for 501 permits is more than the burst of 500: ask for at most 500 or raise the burst"
    );
    let error = limits.try_acquire("ada", [1, 500]).await.unwrap_err();
    assert!(matches!(error, StoreLimitsError::Store(_)), "{error}");
}

/// No server is there, so each call has a connection made.
#[test]
fn a_runtime_can_end_while_connections_are_made() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..40 {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let store = FleetStore::new("redis://127.0.0.1:1").unwrap();
            for _ in 0..50 {
                let limits = store.limits([("calls", Quota::per_second(1))]).unwrap();
                runtime.spawn(async move {
                    loop {
                        let _ = limits.try_acquire("key", [1]).await;
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(3));
            drop(runtime);
        }
        done.send(()).unwrap();
    });
    is_done.recv_timeout(LONG).expect("a runtime that does not end");
}
