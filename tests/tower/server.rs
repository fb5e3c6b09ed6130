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
use tokio::net::TcpListener;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cannot_pass_for_others() {
    let addresses: Keyed<IpAddr> = Keyed::new(Quota::per_hour(10));
    // The server trusts a proxy elsewhere, and the client connects directly.
    let client = ClientAddress::behind_proxies(["10.0.0.0/8"]).unwrap();
    let address = move |request: &Parts| client.find(peer(request), &request.headers);
    let to = serve(LimitLayer::new().policy(Policy::keyed("address", &addresses, address))).await;
    let mut admitted = 0;
    for i in 0..100 {
        let response = fetch(to, &format!("192.0.2.{i}, 10.0.0.1")).await;
        admitted += u64::from(response.status() == 200);
    }
    assert_eq!((admitted, addresses.len()), (10, 1));
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
