//! HTTP clients that obey: against servers in this process and in virtual time, and against a real server on loopback.
#![cfg(all(feature = "client", feature = "tokio"))]

#[path = "client/real.rs"]
mod real;
#[path = "client/windows.rs"]
mod windows;

use std::{
    cell::RefCell,
    convert::Infallible,
    future::{Ready, ready},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{join_all, select};
use http::{Request, Response, StatusCode};
use tidegate::{
    Clock, Keyed, Lane, ManualClock, Quota, RateLimiter, TokioClock,
    client::{ClientError, ClientLayer, Usage},
};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

use windows::Windows;

const SECOND: Duration = Duration::from_secs(1);

fn get(uri: &str) -> Request<String> {
    Request::get(uri).body("body".to_owned()).unwrap()
}

/// One permit a second, on paused time.
fn one_a_second(burst: u64) -> RateLimiter<TokioClock> {
    RateLimiter::with_clock(Quota::per_second(1).with_burst(burst), TokioClock::new())
}

fn response(status: u16, headers: &[(&str, &str)]) -> Response<String> {
    let builder = Response::builder().status(status);
    headers
        .iter()
        .fold(builder, |builder, (name, value)| builder.header(*name, *value))
        .body("hello".to_owned())
        .unwrap()
}

/// Answers each request with the next of its responses, and with 200 after them. Notes when each came, in milliseconds.
#[derive(Clone)]
struct Script {
    responses: Rc<RefCell<std::vec::IntoIter<Response<String>>>>,
    start: Instant,
    came: Rc<RefCell<Vec<u64>>>,
}

impl Service<Request<String>> for Script {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        assert_eq!(request.body(), "body");
        self.came.borrow_mut().push(self.start.elapsed().as_millis() as u64);
        ready(Ok(self.responses.borrow_mut().next().unwrap_or_else(|| response(200, &[]))))
    }
}

fn script(responses: Vec<Response<String>>) -> (Script, Rc<RefCell<Vec<u64>>>) {
    let came = Rc::default();
    let responses = Rc::new(RefCell::new(responses.into_iter()));
    (Script { responses, start: Instant::now(), came: Rc::clone(&came) }, came)
}

/// The header `estimate` of a request.
fn estimate(request: &http::request::Parts) -> u64 {
    request.headers.get("estimate").map_or(100, |estimate| estimate.to_str().unwrap().parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_their_permits_and_responses_pass() {
    let limiter = one_a_second(2);
    let (http, came) = script(vec![response(418, &[("x-tea", "pot")])]);
    let layer = ClientLayer::new(&limiter);
    let client = layer.layer(http);
    let answers = join_all((0..4).map(|_| client.clone().oneshot(get("http://a/")))).await;
    let first = answers[0].as_ref().unwrap();
    assert_eq!(
        (first.status().as_u16(), &first.headers()["x-tea"], first.body().as_str()),
        (418, &"pot".parse().unwrap(), "hello")
    );
    assert_eq!(*came.borrow(), [0, 0, 1_000, 2_000]);
    assert_eq!(layer.counts().sent, 4);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_kept_and_ends_gently() {
    for (headers, pause) in [
        (&[("retry-after", "30")][..], 30_000),
        (&[("ratelimit", r#""default";r=0;t=20"#)], 20_000),
        (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1m2.5s")], 62_500),
        // Too long to be believed.
        (&[("retry-after", "864000")], 300_000),
    ] {
        let limiter = one_a_second(5);
        let (http, came) = script(vec![response(429, headers)]);
        let layer = ClientLayer::new(&limiter);
        let client = layer.layer(http);
        assert_eq!(
            client.clone().oneshot(get("http://a/")).await.unwrap().status(),
            StatusCode::TOO_MANY_REQUESTS
        );
        join_all((0..4).map(|_| client.clone().oneshot(get("http://a/")))).await;
        // At the rate, although the bucket was nearly full before the pause.
        assert_eq!(
            *came.borrow(),
            [0, pause + 1_000, pause + 2_000, pause + 3_000, pause + 4_000],
            "{headers:?}"
        );
        assert_eq!((layer.counts().refused, layer.counts().pauses), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_cannot_be_read_is_no_pause_and_counted() {
    let (http, came) = script(vec![response(429, &[("retry-after", "tomorrow")])]);
    let layer = ClientLayer::new(&one_a_second(2)).max_pause(SECOND);
    let client = layer.layer(http);
    for _ in 0..2 {
        client.clone().oneshot(get("http://a/")).await.unwrap();
    }
    assert_eq!(*came.borrow(), [0, 0]);
    let counts = layer.counts();
    assert_eq!((counts.refused, counts.pauses, counts.malformed), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn each_host_has_a_limiter_and_only_its_own_is_paused() {
    let hosts = Keyed::<String>::builder(Quota::per_second(1).with_burst(1))
        .clock(TokioClock::new())
        .build()
        .unwrap();
    let all = RateLimiter::with_clock(Quota::per_second(1_000), TokioClock::new());
    let (http, came) = script(vec![response(503, &[("retry-after", "10")])]);
    let layer = ClientLayer::per_host(&hosts).also(&all);
    let client = layer.layer(http);
    let send = |uri: &'static str| client.clone().oneshot(get(uri));
    send("http://A.example/one").await.unwrap();
    send("http://b.example/").await.unwrap();
    send("http://a.example:81/").await.unwrap();
    assert_eq!(*came.borrow(), [0, 0, 0]);
    send("http://b.example/two").await.unwrap();
    send("http://a.example/two").await.unwrap();
    assert_eq!(*came.borrow(), [0, 0, 0, 1_000, 11_000]);
    // By the header, without a host in the URI.
    let request = Request::get("/").header("host", "b.example").body("body".to_owned()).unwrap();
    client.clone().oneshot(request).await.unwrap();
    assert!(all.available() >= 998, "it is not paused");
    assert_eq!(hosts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_can_be_any_function_and_a_request_without_one_is_free() {
    let paths = Keyed::<String>::builder(Quota::per_second(1).with_burst(2))
        .clock(TokioClock::new())
        .build()
        .unwrap();
    let (http, came) = script(vec![]);
    let layer = ClientLayer::by(&paths, |request| request.uri.path().strip_prefix("/v1/").map(str::to_owned))
        .cost(|request| if request.method == "POST" { 2 } else { 1 });
    let client = layer.layer(http);
    for uri in ["/free", "/v1/a", "/free", "/v1/a", "/v1/b"] {
        client.clone().oneshot(get(uri)).await.unwrap();
    }
    assert_eq!(*came.borrow(), [0; 5]);
    let post = Request::post("/v1/a").body("body".to_owned()).unwrap();
    client.clone().oneshot(post).await.unwrap();
    assert_eq!(came.borrow()[5], 2_000);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_is_refused_and_not_sent() {
    let limiter = one_a_second(1);
    let (http, came) = script(vec![]);
    let layer = ClientLayer::new(&limiter).max_wait(2 * SECOND);
    let client = layer.layer(http);
    let answers = join_all((0..5).map(|_| client.clone().oneshot(get("http://a/")))).await;
    let refused: Vec<_> = answers.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, false, false, true, true]);
    let Err(ClientError::Limited(denied)) = &answers[3] else { panic!("{:?}", answers[3]) };
    assert_eq!(denied.retry_after(), Some(SECOND));
    assert_eq!((came.borrow().len(), layer.counts().limited), (3, 2));
    // More than the burst.
    let layer = ClientLayer::new(&limiter).cost(|_| 2);
    let refused = layer.layer(script(vec![]).0).oneshot(get("http://a/")).await.unwrap_err();
    assert!(matches!(refused, ClientError::Limited(denied) if denied.is_never()));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_costs_nothing_unless_it_was_sent() {
    let limiter = one_a_second(1);
    let tokens = RateLimiter::with_clock(Quota::per_hour(3_600).with_burst(100), TokioClock::new());
    let never =
        service_fn(|_: Request<String>| std::future::pending::<Result<Response<String>, Infallible>>());
    let layer = ClientLayer::new(&limiter).tokens(&tokens, |_| 10);
    let client = layer.layer(never);
    // It was sent: the estimate stays used.
    assert!(timeout(SECOND / 2, client.clone().oneshot(get("http://a/"))).await.is_err());
    assert_eq!((limiter.available(), tokens.available(), layer.counts().sent), (0, 90, 1));
    // It waits, and is dropped.
    assert!(timeout(SECOND / 4, client.clone().oneshot(get("http://a/"))).await.is_err());
    assert_eq!((limiter.waiting(), tokens.available(), layer.counts().sent), (0, 90, 1));
    sleep(SECOND).await;
    assert_eq!((limiter.available(), tokens.available()), (1, 91));
    // It was never polled.
    drop(client.clone().oneshot(get("http://a/")));
    assert_eq!((limiter.available(), tokens.available()), (1, 91));
}

#[tokio::test(start_paused = true)]
async fn a_function_that_panics_costs_nothing() {
    let limiter = one_a_second(1);
    let layer = ClientLayer::new(&limiter).cost(|request| 3 / u64::from(request.uri.path() != "/"));
    let client = layer.layer(script(vec![]).0);
    let task = tokio::task::LocalSet::new();
    let panicked = task.run_until(async { tokio::task::spawn_local(client.clone().oneshot(get("/"))).await });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!((limiter.available(), limiter.waiting()), (1, 0));
    client.clone().oneshot(get("/a/")).await.unwrap_err();
}

#[tokio::test]
async fn tokens_are_settled_by_headers_or_by_hand() {
    let clock = ManualClock::new();
    let requests = RateLimiter::with_clock(Quota::per_minute(60), clock.clone());
    let tokens = RateLimiter::with_clock(Quota::per_minute(1_000), clock.clone());
    let layer = || ClientLayer::new(&requests).tokens(&tokens, estimate);
    // By a header, and by the status.
    let by_header = layer().tokens_used(|status, headers| match headers.get("used") {
        Some(used) => used.to_str().ok()?.parse().ok(),
        None => status.is_client_error().then_some(0),
    });
    let (http, _) = script(vec![response(200, &[("used", "70")]), response(429, &[]), response(200, &[])]);
    let client = by_header.layer(http);
    let first = client.clone().oneshot(get("/")).await.unwrap();
    assert!(first.extensions().get::<Usage>().is_none());
    assert_eq!((requests.available(), tokens.available()), (59, 930));
    client.clone().oneshot(get("/")).await.unwrap();
    assert_eq!((requests.available(), tokens.available()), (58, 930));
    // The response does not tell it: by hand, more than estimated, and once.
    let third = client.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(tokens.available(), 830);
    let usage = third.extensions().get::<Usage>().unwrap().clone();
    usage.settle(150).unwrap();
    usage.settle(1).unwrap();
    assert_eq!((requests.available(), tokens.available()), (57, 780));
    drop(third);
    assert_eq!(tokens.available(), 780);
    // Nobody tells it.
    let request = Request::get("/").header("estimate", "80").body("body".to_owned()).unwrap();
    drop(layer().layer(script(vec![]).0).oneshot(request).await.unwrap());
    assert_eq!((requests.available(), tokens.available()), (56, 700));
    assert_eq!(clock.now(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_in_the_background_lane_goes_after_others() {
    let limiter = one_a_second(1);
    let (http, came) = script(vec![]);
    let batch = ClientLayer::new(&limiter.lane(Lane::Background)).layer(http.clone());
    let people = ClientLayer::new(&limiter).layer(http);
    limiter.try_acquire().unwrap();
    let mut low = Box::pin(batch.oneshot(get("/")));
    let mut high = Box::pin(async {
        sleep(SECOND / 2).await;
        people.oneshot(get("/")).await
    });
    assert!(matches!(select(&mut low, &mut high).await, futures_util::future::Either::Right(_)));
    assert_eq!(*came.borrow(), [1_000]);
    low.await.unwrap();
}

/// Told the limits of the server, none of the requests is refused.
#[tokio::test(start_paused = true)]
async fn told_the_limits_no_request_is_refused() {
    let server = Windows::new(&[(50, SECOND), (120, 3 * SECOND)]);
    let quotas = [Quota::at_most(50, SECOND + SECOND / 50), Quota::at_most(120, 3 * SECOND + SECOND / 50)];
    let [one, three] = quotas.map(|quota| RateLimiter::with_clock(quota, TokioClock::new()));
    let layer = ClientLayer::new(&one).also(&three);
    let client = layer.layer(server.clone());
    let start = Instant::now();
    let requests = tidegate::throttle(
        (0..500).map(|_| client.clone().oneshot(get("/"))),
        &RateLimiter::new(Quota::UNLIMITED),
    );
    let statuses = futures_util::StreamExt::collect::<Vec<_>>(requests.concurrency(10)).await;
    assert!(statuses.into_iter().all(|answer| answer.unwrap().status() == 200));
    // 500 at 40 a second.
    assert!(start.elapsed() < Duration::from_secs(14), "{:?}", start.elapsed());
}

/// Not told, it finds out.
#[tokio::test(start_paused = true)]
async fn an_unknown_limit_is_learned() {
    for (limit, window, start) in
        [(100, SECOND, 5), (100, SECOND, 500), (50, SECOND / 2, 20), (20, SECOND, 2)]
    {
        for retry_after in [false, true] {
            let server = Windows::new(&[(limit, window)]).with_retry_after(retry_after);
            let quota = Quota::per_second(start).with_burst(1);
            let limiter = RateLimiter::with_clock(quota, TokioClock::new());
            let layer = ClientLayer::new(&limiter).adaptive(1.0, 1_000.0);
            let client = layer.layer(server.clone());
            let worker = || async {
                loop {
                    client.clone().oneshot(get("/")).await.unwrap();
                }
            };
            let workers = join_all((0..10).map(|_| worker()));
            assert!(timeout(10 * SECOND, workers).await.is_err());
            let before = (server.admitted(), server.refused());
            let workers = join_all((0..10).map(|_| worker()));
            assert!(timeout(60 * SECOND, workers).await.is_err());
            let (admitted, refused) = (server.admitted() - before.0, server.refused() - before.1);
            let most = limit as f64 * 60.0 / window.as_secs_f64();
            let (used, share) = (admitted as f64 / most, refused as f64 / (admitted + refused) as f64);
            println!(
                "{limit} in {window:?} from {start}, Retry-After {retry_after}: {used:.3} used, {share:.4} refused"
            );
            // A server that tells to the millisecond when its next slot is free keeps the bursts of the beginning alive.
            let most_refused = if retry_after { 0.025 } else { 0.02 };
            assert!(share < most_refused, "{limit} in {window:?} from {start}: {share} refused");
            assert!(used >= 0.9, "{limit} in {window:?} from {start}: {used} used");
        }
    }
}

#[test]
#[should_panic(expected = "write 0.001 <= floor")]
fn a_range_that_is_none_is_refused() {
    let _ = ClientLayer::new(&RateLimiter::new(Quota::per_second(1))).adaptive(2.0, 1.0);
}
