//! Against a real server on loopback that counts requests in two sliding windows.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use futures_util::StreamExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tidegate::{Quota, RateLimiter, client::ClientLayer, throttle};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

const LIMITS: [(usize, Duration); 2] = [(100, Duration::from_secs(1)), (300, Duration::from_secs(4))];

#[derive(Default)]
struct Seen {
    admitted: VecDeque<Instant>,
    refused: usize,
    /// While the server asks for a pause: its end, and how many requests came before that.
    pause: Option<Instant>,
    early: usize,
}

type Shared = Arc<Mutex<Seen>>;

async fn windows(State(seen): State<Shared>) -> StatusCode {
    let (mut seen, now) = (seen.lock().unwrap(), Instant::now());
    let refused = LIMITS.iter().any(|&(most, window)| {
        seen.admitted.iter().rev().nth(most - 1).is_some_and(|oldest| now.duration_since(*oldest) < window)
    });
    if refused {
        seen.refused += 1;
        return StatusCode::TOO_MANY_REQUESTS;
    }
    seen.admitted.push_back(now);
    StatusCode::OK
}

/// Refuses the first request, and asks for a pause of a second.
async fn pauses(State(seen): State<Shared>) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let (mut seen, now) = (seen.lock().unwrap(), Instant::now());
    match seen.pause {
        None => {
            seen.pause = Some(now + Duration::from_secs(1));
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")])
        }
        Some(end) => {
            seen.early += usize::from(now < end);
            (StatusCode::OK, [("x-fine", "yes")])
        }
    }
}

async fn serve() -> (SocketAddr, Shared, tokio::task::JoinHandle<()>) {
    let seen = Shared::default();
    let router =
        Router::new().route("/windows", get(windows)).route("/pauses", get(pauses)).with_state(seen.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, seen, server)
}

fn request(address: SocketAddr, path: &str) -> http::Request<String> {
    http::Request::get(format!("http://{address}{path}")).body(String::new()).unwrap()
}

/// Two limits at once, 500 requests, ten at a time. The windows of the client are longer by what the time to the server may
/// vary: generously, for a machine that is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_the_limits_no_request_is_refused() {
    let (address, seen, server) = serve().await;
    let margin = Duration::from_millis(250);
    let [second, four] =
        LIMITS.map(|(most, window)| RateLimiter::new(Quota::at_most(most as u64, window + margin)));
    let http = Client::builder(TokioExecutor::new()).build_http::<String>();
    let client = ClientLayer::new(&second).also(&four).layer(http);
    let requests = (0..500).map(|_| client.clone().oneshot(request(address, "/windows")));
    let answers: Vec<_> =
        throttle(requests, &RateLimiter::new(Quota::UNLIMITED)).concurrency(10).collect().await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().status() == StatusCode::OK));
    server.abort();
    let seen = seen.lock().unwrap();
    assert_eq!((seen.admitted.len(), seen.refused), (500, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_arrives_before_the_end_of_a_pause() {
    let (address, seen, server) = serve().await;
    let limiter = RateLimiter::new(Quota::per_second(1_000).with_burst(10));
    let http = Client::builder(TokioExecutor::new()).build_http::<String>();
    let layer = ClientLayer::new(&limiter);
    let client = layer.layer(http);
    let refused = client.clone().oneshot(request(address, "/pauses")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let requests = (0..50).map(|_| client.clone().oneshot(request(address, "/pauses")));
    let answers: Vec<_> =
        throttle(requests, &RateLimiter::new(Quota::UNLIMITED)).concurrency(10).collect().await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().status() == StatusCode::OK));
    assert_eq!((seen.lock().unwrap().early, layer.counts().pauses, layer.counts().sent), (0, 1, 51));
    server.abort();
}

/// The same layer as a middleware for reqwest.
#[cfg(feature = "reqwest")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reqwest_obeys_as_well() {
    use tidegate::client::{ClientError, Usage};

    let (address, seen, server) = serve().await;
    let limiter = RateLimiter::new(Quota::per_second(1_000).with_burst(10));
    let tokens = RateLimiter::new(Quota::per_hour(1_000));
    // What the caller says, and the length of the body.
    let estimate = |head: &http::request::Parts| {
        let length =
            head.headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap());
        head.extensions.get::<u64>().copied().unwrap_or(10) + length
    };
    let layer = ClientLayer::new(&limiter).tokens(&tokens, estimate).max_wait(Duration::from_secs(5));
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(layer.clone()).build();
    let get = || client.get(format!("http://{address}/pauses")).send();
    assert_eq!(get().await.unwrap().status(), 429);
    let mut response = get().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-fine"]), (200, &"yes".parse().unwrap()));
    assert_eq!((seen.lock().unwrap().early, layer.counts().sent), (0, 2));
    let usage = response.extensions_mut().remove::<Usage>().unwrap();
    usage.settle(3).unwrap();
    assert!((987..=988).contains(&tokens.available()), "{}", tokens.available());
    let (before, url) = (tokens.available(), format!("http://{address}/pauses"));
    let mut response = client.get(url).body("prompt").with_extension(100_u64).send().await.unwrap();
    let reserved = before - tokens.available();
    assert!((105..=106).contains(&reserved), "{reserved}");
    response.extensions_mut().remove::<Usage>().unwrap().settle(0).unwrap();
    tokens.charge(990).unwrap();
    let refused = get().await.unwrap_err();
    let reqwest_middleware::Error::Middleware(refused) = refused else { panic!("{refused:?}") };
    let limited = refused.downcast_ref::<ClientError<tidegate::Denied>>();
    assert!(matches!(limited, Some(ClientError::Limited(tidegate::Denied::NotYet(_)))), "{refused:?}");
    server.abort();
}
