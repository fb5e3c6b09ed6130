//! A real axum server and a real client, over many connections.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, routing::get};
use http::{Request, request::Parts};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tidegate::{
    Keyed, Quota, RateLimiter,
    tower::{ClientAddress, HeaderStyle, LimitLayer, Policy},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn peer(request: &Parts) -> Option<IpAddr> {
    Some(request.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip())
}

/// Serves a router on loopback until the test ends.
async fn serve(layer: LimitLayer<Body>) -> SocketAddr {
    let app = Router::new().route("/", get(|| async { "done" })).layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// A request on a connection of its own.
async fn fetch(to: SocketAddr, forwarded: &str) -> http::Response<hyper::body::Incoming> {
    let client = Client::builder(TokioExecutor::new()).build_http::<String>();
    let request = Request::get(format!("http://{to}/")).header("x-forwarded-for", forwarded);
    client.request(request.body(String::new()).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_share_one_limit() {
    let all = RateLimiter::new(Quota::per_hour(5));
    let layer = LimitLayer::new().policy(Policy::global("all", &all)).headers(HeaderStyle::Legacy);
    let to = serve(layer.clone()).await;
    let calls = (0..16).map(|_| fetch(to, "192.0.2.1"));
    let responses = futures_util::future::join_all(calls).await;
    let admitted = responses.iter().filter(|response| response.status() == 200).count();
    assert_eq!((admitted, layer.counts().admitted, layer.counts().refused), (5, 5, 11));
    for response in responses {
        let refused = response.status() == 429;
        assert_eq!(response.headers().contains_key("retry-after"), refused);
        assert_eq!(response.headers()["x-ratelimit-limit"], "5");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, if refused { "" } else { "done" });
    }
}

/// What a client may claim, in any header that a proxy writes.
fn spoofed(i: u32) -> Request<String> {
    let claimed = IpAddr::from((0xc000_0200_u32 | (i & 0xff)).to_be_bytes());
    let (name, value) = match i % 5 {
        0 => ("x-forwarded-for", format!("{claimed}")),
        1 => ("x-forwarded-for", format!("{claimed}, 10.0.0.1, 127.0.0.1")),
        2 => ("forwarded", format!("for={claimed};by=127.0.0.1")),
        3 => ("x-real-ip", format!("{claimed}")),
        _ => ("x-forwarded-for", format!("\"{claimed}, ,,[::1]:x, \t{claimed}")),
    };
    Request::get("/").header(name, value).body(String::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_passes_for_others_in_none_of_a_thousand_requests() {
    // The server trusts a proxy elsewhere, and the client connects directly.
    for client in [
        ClientAddress::behind_proxies(["10.0.0.0/8"]).unwrap(),
        ClientAddress::behind_proxies(["10.0.0.0/8"]).unwrap().with_header(http::header::FORWARDED),
        ClientAddress::of_peer(),
    ] {
        let addresses: Keyed<IpAddr> = Keyed::new(Quota::per_hour(10));
        let address = move |request: &Parts| client.find(peer(request), &request.headers);
        let to = serve(LimitLayer::new().policy(Policy::keyed("address", &addresses, address))).await;
        let client = Client::builder(TokioExecutor::new()).build_http::<String>();
        let mut admitted = 0;
        for i in 0..1_010 {
            let mut request = spoofed(i);
            *request.uri_mut() = format!("http://{to}/").parse().unwrap();
            admitted += u64::from(client.request(request).await.unwrap().status() == 200);
        }
        // Its own ten, and none for what it claims.
        assert_eq!((admitted, addresses.len()), (10, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_headers_are_ignored_and_counted() {
    let addresses: Keyed<IpAddr> = Keyed::new(Quota::per_hour(5));
    let client = ClientAddress::behind_proxies(["127.0.0.0/8"]).unwrap();
    let watched = client.clone();
    let address = move |request: &Parts| client.find(peer(request), &request.headers);
    let to = serve(LimitLayer::new().policy(Policy::keyed("address", &addresses, address))).await;
    let malformed = ["unknown", "203.0.113.9:x", "203.0.113.256", "\"", "for=203.0.113.9", "<script>"];
    let mut statuses = Vec::new();
    for value in malformed {
        statuses.push(fetch(to, &format!("203.0.113.9, {value}")).await.status().as_u16());
    }
    // All count for the proxy.
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    assert_eq!((watched.malformed(), addresses.len()), (6, 1));
    assert_eq!(fetch(to, "203.0.113.9").await.status(), 200);
    assert_eq!(watched.malformed(), 6);
}

/// Waits until something holds, a minute at most.
async fn until(holds: impl Fn() -> bool) {
    let all = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("it holds within a minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_cancelled_clients_lose_no_permits() {
    let all = RateLimiter::new(Quota::per_hour(3));
    let layer = LimitLayer::new().policy(Policy::global("all", &all)).wait_up_to(Duration::MAX);
    let to = serve(layer.clone()).await;
    // Slow: a head that does not end. Nothing is taken for it.
    let mut slow = tokio::net::TcpStream::connect(to).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    for _ in 0..3 {
        assert_eq!(fetch(to, "192.0.2.1").await.status(), 200);
    }
    assert_eq!(all.available(), 0);
    // Cancelled: while they wait, and before.
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(fetch(to, "192.0.2.1"))).collect();
    until(|| all.waiting() == 10).await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    until(|| all.waiting() == 0).await;
    // All permits are there for the next: one for the slow client, when its head has come, and two for others.
    all.set_available(3);
    slow.write_all(b"connection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    for _ in 0..2 {
        assert_eq!(fetch(to, "192.0.2.1").await.status(), 200);
    }
    assert_eq!((all.available(), layer.counts().admitted, layer.counts().refused), (0, 6, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_a_trusted_proxy_are_told_apart() {
    let addresses: Keyed<IpAddr> = Keyed::new(Quota::per_hour(1));
    let client = ClientAddress::behind_proxies(["127.0.0.0/8"]).unwrap();
    let address = move |request: &Parts| client.find(peer(request), &request.headers);
    let to = serve(LimitLayer::new().policy(Policy::keyed("address", &addresses, address))).await;
    for i in 0..10 {
        // What the client claims stands left of what the proxy has written.
        for claimed in ["198.51.100.1", "198.51.100.2"] {
            let response = fetch(to, &format!("{claimed}, 192.0.2.{i}")).await;
            assert_eq!(response.status() == 200, claimed.ends_with('1'), "{claimed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_wait_are_paced_and_those_that_go_cost_nothing() {
    let all = RateLimiter::new(Quota::per_second(50).with_burst(1));
    let layer = LimitLayer::new().policy(Policy::global("all", &all)).wait_up_to(Duration::from_secs(20));
    let to = serve(layer.clone()).await;
    let start = std::time::Instant::now();
    // Every other client hangs up after a moment.
    let calls = (0..20).map(|i| async move {
        let patience = Duration::from_millis(if i % 2 == 0 { 20_000 } else { 5 });
        tokio::time::timeout(patience, fetch(to, "192.0.2.1"))
            .await
            .is_ok_and(|response| response.status() == 200)
    });
    let served = futures_util::future::join_all(calls).await.into_iter().filter(|served| *served).count();
    assert!(served >= 10, "{served} of 20");
    // At least nine waits of 20 ms, but for the catch-up.
    assert!(start.elapsed() >= Duration::from_millis(160), "{:?}", start.elapsed());
    assert_eq!((all.waiting(), layer.counts().refused), (0, 0));
}
