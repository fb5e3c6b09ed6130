//! The layer for HTTP servers: its decisions in virtual time, and a real server.

#![cfg(feature = "tower")]

#[path = "tower/outcomes.rs"]
mod outcomes;
#[path = "tower/server.rs"]
mod server;
#[path = "tower/shadows.rs"]
mod shadows;
#[path = "tower/waits.rs"]
mod waits;

use std::{
    convert::Infallible,
    future::Future,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Request, Response, StatusCode, request::Parts};
use tidegate::{
    Denied, Keyed, ManualClock, Quota, RateLimiter,
    tower::{HeaderStyle, LimitLayer, MissingKey, Policy, Reason},
};
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

type Users = Keyed<String, std::hash::RandomState, ManualClock>;

fn limiter(quota: &str) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (RateLimiter::with_clock(quota.parse().unwrap(), clock.clone()), clock)
}

fn users(quota: &str, clock: &ManualClock) -> Users {
    Keyed::builder(quota.parse().unwrap()).clock(clock.clone()).build().unwrap()
}

fn user(request: &Parts) -> Option<String> {
    let name = request.headers.get("x-user")?.to_str().ok()?;
    assert_ne!(name, "mallory", "a key function that panics");
    Some(name.to_owned())
}

fn get(path: &str, user: Option<&str>) -> Request<String> {
    let request = Request::get(path);
    let request = if let Some(user) = user { request.header("x-user", user) } else { request };
    request.body(String::new()).unwrap()
}

/// A service that counts its calls, and answers with the status that the path names.
fn inner(
    calls: &Arc<AtomicU64>,
) -> impl Service<Request<String>, Response = Response<String>, Error = Infallible, Future: Send> + Clone + use<>
{
    let calls = Arc::clone(calls);
    service_fn(move |request: Request<String>| {
        calls.fetch_add(1, Ordering::Relaxed);
        async move {
            let status = request.uri().path().trim_start_matches('/').parse().unwrap_or(200);
            let mut response = Response::new("done".to_owned());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, Infallible>(response)
        }
    })
}

/// Answers of a layer to requests, which do not have to wait.
struct Rig<S> {
    service: S,
    calls: Arc<AtomicU64>,
}

fn rig(
    layer: &LimitLayer<String>,
) -> Rig<impl Service<Request<String>, Response = Response<String>, Error = Infallible> + Clone + use<>> {
    let calls = Arc::default();
    Rig { service: layer.layer(inner(&calls)), calls }
}

impl<S: Service<Request<String>, Response = Response<String>, Error = Infallible> + Clone> Rig<S> {
    fn send(&self, request: Request<String>) -> Response<String> {
        let mut future = pin!(self.service.clone().oneshot(request));
        let Poll::Ready(response) = poll(&mut future) else { panic!("it waits") };
        response.unwrap()
    }

    fn status(&self, path: &str, user: Option<&str>) -> u16 {
        self.send(get(path, user)).status().as_u16()
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

fn poll<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn it_refuses_with_retry_after_and_spares_the_inner_service() {
    let (limiter, clock) = limiter("1 per 1500ms burst 2");
    let layer = LimitLayer::new().policy(Policy::global("all", &limiter));
    let rig = rig(&layer);
    assert_eq!([rig.status("/", None), rig.status("/", None)], [200, 200]);
    let response = rig.send(get("/", None));
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    // Rounded up.
    assert_eq!((response.headers()["retry-after"].to_str().unwrap(), response.body().as_str()), ("2", ""));
    assert_eq!(rig.calls(), 2);
    clock.advance(Duration::from_millis(1500));
    assert_eq!(rig.status("/", None), 200);
    assert_eq!((layer.counts().admitted, layer.counts().refused), (3, 1));
}

#[test]
fn each_key_has_its_own_limit() {
    let clock = ManualClock::new();
    let layer = LimitLayer::new().policy(Policy::keyed("user", &users("1/s burst 2", &clock), user));
    let rig = rig(&layer);
    for name in ["ada", "grace"] {
        assert_eq!([(); 3].map(|()| rig.status("/", Some(name))), [200, 200, 429]);
    }
}

#[test]
fn a_missing_key_is_a_policy() {
    let clock = ManualClock::new();
    for (missing, status) in [(MissingKey::Admit, 200), (MissingKey::Refuse, 400)] {
        let policy = Policy::keyed("user", &users("1/s burst 1", &clock), user).when_missing(missing);
        let layer = LimitLayer::new().policy(policy);
        let rig = rig(&layer);
        assert_eq!([rig.status("/", None), rig.status("/", None)], [status; 2]);
        assert_eq!([rig.status("/", Some("ada")), rig.status("/", Some("ada"))], [200, 429]);
        assert_eq!(layer.counts().skipped, if status == 200 { 2 } else { 0 });
    }
}

#[test]
fn a_key_function_that_panics_denies_that_request_alone() {
    let (limiter, clock) = limiter("10/s");
    let layer = LimitLayer::new().policy(Policy::global("all", &limiter)).policy(Policy::keyed(
        "user",
        &users("5/s", &clock),
        user,
    ));
    let rig = rig(&layer);
    assert_eq!(rig.status("/", Some("mallory")), 500);
    assert_eq!(rig.status("/", Some("ada")), 200);
    assert_eq!(limiter.available(), 9, "nothing was taken for the other");
}

/// A key that panics when it is hashed.
#[derive(Clone, PartialEq, Eq)]
struct Fragile;

impl std::hash::Hash for Fragile {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {
        panic!("a key that cannot be hashed");
    }
}

#[test]
fn other_functions_that_panic_lose_no_permits_and_no_response() {
    let (limiter, clock) = limiter("10/s");
    let keys = Keyed::builder(Quota::per_second(5)).clock(clock).build().unwrap();
    let layer = LimitLayer::new().policy(Policy::global("all", &limiter)).policy(Policy::keyed(
        "key",
        &keys,
        |_: &Parts| Some(Fragile),
    ));
    assert_eq!((rig(&layer).status("/", None), limiter.available(), layer.counts().refused), (500, 10, 1));
    let layer = LimitLayer::new().policy(Policy::global("all", &limiter).refund_if(|_| panic!("no refund")));
    assert_eq!((rig(&layer).status("/", None), limiter.available()), (200, 9));
}

#[test]
fn what_other_policies_took_goes_back_and_the_refusing_one_is_named() {
    let (all, clock) = limiter("3/s");
    let users = users("2/s", &clock);
    let layer = LimitLayer::new()
        .policy(Policy::keyed("user", &users, user))
        .policy(Policy::global("all", &all))
        .on_refusal(|refusal, request| {
            assert!(matches!(refusal.reason(), Reason::Denied(Denied::NotYet(_))));
            Response::new(format!("{} refuses {}", refusal.policy(), request.uri))
        });
    let rig = rig(&layer);
    let body = |name| rig.send(get("/", Some(name))).into_body();
    assert_eq!([body("ada"), body("ada")], ["done", "done"]);
    assert_eq!(body("ada"), "user refuses /");
    assert_eq!(body("grace"), "done");
    assert_eq!(body("grace"), "all refuses /");
    assert_eq!(users.level("grace").available(), 1);
    assert_eq!(all.available(), 0);
}

#[test]
fn a_key_with_a_quota_of_its_own_is_told_that() {
    let clock = ManualClock::new();
    let users = users("5/min", &clock);
    for (name, quota) in [("vip", "600/min burst 50"), ("banned", "0/s"), ("free", "unlimited")] {
        users.limiter(name).unwrap().set_quota(quota.parse().unwrap()).unwrap();
    }
    let layer = LimitLayer::new().policy(Policy::keyed("user", &users, user)).headers(HeaderStyle::Legacy);
    let rig = rig(&layer);
    let told = |name| {
        let response = rig.send(get("/", Some(name)));
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), header("x-ratelimit-limit"), header("retry-after"))
    };
    assert_eq!(told("ada"), (200, Some("5".to_owned()), None));
    assert_eq!(told("vip"), (200, Some("50".to_owned()), None));
    // Nothing to tell, and no time in centuries.
    assert_eq!(told("banned"), (429, None, None));
    assert_eq!(told("free"), (200, None, None));
}

#[test]
fn a_request_costs_what_its_function_says() {
    let (limiter, _) = limiter("10/s");
    let policy = Policy::global("all", &limiter).with_cost(|request| request.uri.path().len() as u64);
    let rig = rig(&LimitLayer::new().policy(policy));
    assert_eq!(rig.status("/abcde", None), 200);
    assert_eq!(limiter.available(), 4);
    // It can never be admitted, so there is nothing to retry after.
    let response = rig.send(get("/abcdefghijkl", None));
    assert_eq!((response.status().as_u16(), response.headers().get("retry-after")), (429, None));
}

#[test]
fn some_requests_are_skipped() {
    let (limiter, _) = limiter("1/h");
    let layer = LimitLayer::new()
        .policy(Policy::global("all", &limiter))
        .skip(|request| request.uri.path() == "/health");
    let rig = rig(&layer);
    assert!((0..10).all(|_| rig.status("/health", None) == 200));
    assert_eq!([rig.status("/", None), rig.status("/", None)], [200, 429]);
    assert_eq!(layer.counts().skipped, 10);
}

#[test]
fn grpc_is_told_in_its_own_way() {
    let (limiter, _) = limiter("1/h");
    let rig = rig(&LimitLayer::new().policy(Policy::global("all", &limiter)));
    let call = || {
        let request = Request::post("/pkg.Service/Method").header("content-type", "application/grpc+proto");
        rig.send(request.body(String::new()).unwrap())
    };
    assert!(call().headers().get("grpc-status").is_none());
    let response = call();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "8");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert_eq!(response.headers()["retry-after"], "3600");
    // gRPC-Web has another form, and is answered as other requests are.
    let upper = Request::post("/").header("content-type", "Application/GRPC").body(String::new()).unwrap();
    assert_eq!(rig.send(upper).headers()["grpc-status"], "8");
    let web = Request::post("/").header("content-type", "application/grpc-web").body(String::new()).unwrap();
    assert_eq!(rig.send(web).status(), 429);
    limiter.close();
    assert_eq!(call().headers()["grpc-status"], "14");
}

#[test]
fn a_closed_limiter_and_a_full_table_are_503() {
    let (limiter, clock) = limiter("1/h");
    limiter.close();
    assert_eq!(rig(&LimitLayer::new().policy(Policy::global("all", &limiter))).status("/", None), 503);
    let users: Users = Keyed::builder(Quota::per_hour(1))
        .max_keys(1)
        .when_full(tidegate::WhenFull::RefuseNew)
        .clock(clock)
        .build()
        .unwrap();
    let rig = rig(&LimitLayer::new().policy(Policy::keyed("user", &users, user)));
    assert_eq!([rig.status("/", Some("ada")), rig.status("/", Some("grace"))], [200, 503]);
}

#[test]
fn a_million_addresses_keep_to_the_size_of_the_table() {
    let addresses: Keyed<IpAddr> = Keyed::builder(Quota::per_hour(10)).max_keys(5_000).build().unwrap();
    let address = |request: &Parts| request.extensions.get::<IpAddr>().copied();
    let rig = rig(&LimitLayer::new().policy(Policy::keyed("address", &addresses, address)));
    let request = |i: u32| {
        let mut request = get("/", None);
        request.extensions_mut().insert(IpAddr::from(i.to_be_bytes()));
        request
    };
    for i in 0..100_000 {
        assert_eq!(rig.send(request(i)).status(), 200);
    }
    assert!(addresses.len() <= 5_000, "{}", addresses.len());
    assert_eq!([(); 11].map(|()| rig.send(request(7)).status().as_u16())[9..], [200, 429]);
}

#[test]
#[should_panic(expected = "make all choices first")]
fn choices_come_before_use() {
    let layer = LimitLayer::<String>::new();
    let _used = layer.clone();
    drop(layer.max_waiting(1));
}
