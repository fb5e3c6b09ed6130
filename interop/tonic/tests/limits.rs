//! The layer in a tonic server, over several connections.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use futures_util::future::join_all;
use http::request::Parts;
use tidegate::{
    Keyed, ManualClock, Quota, RateLimiter,
    tower::{LimitLayer, MissingKey, Policy},
};
use tidegate_tonic::{hello, serve};
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint, server::TcpConnectInfo},
};

/// Fails a test that would hang.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("an end within a minute")
}

/// Connections of their own to a server.
async fn connect<const N: usize>(to: SocketAddr) -> [Channel; N] {
    let endpoint = Endpoint::from_shared(format!("http://{to}")).unwrap();
    join_all((0..N).map(|_| endpoint.connect()))
        .await
        .into_iter()
        .map(|channel| channel.expect("a connection"))
        .collect::<Vec<_>>()
        .try_into()
        .expect("as many as asked for")
}

/// Runs calls against a server with a layer, and ends the server.
async fn with_server<const N: usize>(layer: &LimitLayer<Body>, calls: impl AsyncFnOnce([Channel; N])) {
    soon(async {
        let (address, (stop, server)) = serve(layer.clone()).expect("a port");
        calls(connect(address).await).await;
        drop(stop);
        server.await.expect("no panic in the server").expect("no error in the server");
    })
    .await;
}

fn user(request: &Parts) -> Option<String> {
    Some(request.headers.get("user")?.to_str().ok()?.to_owned())
}

fn code(answer: &Result<String, Status>) -> Code {
    answer.as_ref().map_or_else(Status::code, |_| Code::Ok)
}

/// How many answers are good. All others have to be refusals.
fn admitted(answers: &[Result<String, Status>]) -> usize {
    let good = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().filter(|answer| code(answer) == Code::ResourceExhausted).count();
    assert_eq!(good + refused, answers.len(), "{answers:?}");
    good
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_share_the_limit() {
    let all = RateLimiter::new(Quota::per_hour(5));
    let layer = LimitLayer::new().policy(Policy::global("all", &all));
    with_server(&layer, async |channels: [Channel; 4]| {
        let answers = join_all((0..16).map(|i| hello(&channels[i % 4], "ada"))).await;
        assert_eq!(admitted(&answers), 5);
        let refused = answers.iter().find_map(|answer| answer.as_ref().err()).expect("a refusal");
        assert_eq!(refused.message(), "refused by a rate limit");
        let seconds = refused.metadata().get("retry-after").expect("when to come again");
        let seconds: u32 = seconds.to_str().unwrap().parse().unwrap();
        // Five an hour: the next in twelve minutes.
        assert!((1..=720).contains(&seconds), "{seconds}");
        assert!(answers.iter().flatten().all(|text| text == "hello ada"));
    })
    .await;
    assert_eq!((layer.counts().admitted, layer.counts().refused), (5, 11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_told_apart_by_metadata_and_not_by_connection() {
    let users: Keyed<String> = Keyed::new(Quota::per_hour(5));
    let layer = LimitLayer::new().policy(Policy::keyed("user", &users, user));
    with_server(&layer, async |channels: [Channel; 3]| {
        let calls = |user| join_all((0..9).map(|i| hello(&channels[i % 3], user)).collect::<Vec<_>>());
        let (of_ada, of_grace) = tokio::join!(calls("ada"), calls("grace"));
        assert_eq!((admitted(&of_ada), admitted(&of_grace)), (5, 5));
        assert!(of_grace.iter().flatten().all(|text| text == "hello grace"));
    })
    .await;
    assert_eq!(users.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_of_the_peer_is_a_key() {
    let addresses: Keyed<IpAddr> = Keyed::new(Quota::per_hour(5));
    let address = |request: &Parts| Some(request.extensions.get::<TcpConnectInfo>()?.remote_addr()?.ip());
    // Without an address a call would be refused.
    let policy = Policy::keyed("address", &addresses, address).when_missing(MissingKey::Refuse);
    with_server(&LimitLayer::new().policy(policy), async |channels: [Channel; 3]| {
        let answers = join_all((0..9).map(|i| hello(&channels[i % 3], "ada"))).await;
        assert_eq!(admitted(&answers), 5);
    })
    .await;
    assert_eq!(addresses.len(), 1);
}

/// A limiter with a permit a minute, of which none is left, and a layer that lets calls wait 90 seconds.
fn waiting_layer() -> (ManualClock, RateLimiter<ManualClock>, LimitLayer<Body>) {
    let clock = ManualClock::new();
    let all = RateLimiter::with_clock(Quota::per_hour(60).with_burst(1).with_initial(0), clock.clone());
    let layer = LimitLayer::new().policy(Policy::global("all", &all)).wait_up_to(Duration::from_secs(90));
    (clock, all, layer)
}

/// Gives way until so many calls wait.
async fn until_waiting(all: &RateLimiter<ManualClock>, calls: usize) {
    while all.waiting() != calls {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_its_permit_unless_it_would_wait_too_long() {
    let (clock, all, layer) = waiting_layer();
    with_server(&layer, async |[first, second]: [Channel; 2]| {
        let mut waits = pin!(hello(&first, "ada"));
        tokio::select! {
            biased;
            answer = &mut waits => panic!("{answer:?} without a permit"),
            () = until_waiting(&all, 1) => {}
        }
        // The second permit is two minutes away, which is too long. The clock stands, so the call did not wait.
        assert_eq!(code(&hello(&second, "grace").await), Code::ResourceExhausted);
        clock.advance(Duration::from_secs(60));
        assert_eq!(waits.await.expect("a permit"), "hello ada");
    })
    .await;
    assert_eq!((layer.counts().admitted, layer.counts().refused), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_cancelled_while_it_waits_costs_nothing() {
    let (clock, all, layer) = waiting_layer();
    with_server(&layer, async |[first, second]: [Channel; 2]| {
        tokio::select! {
            biased;
            answer = hello(&first, "ada") => panic!("{answer:?} without a permit"),
            () = until_waiting(&all, 1) => {}
        }
        // The client has dropped the call, and the server hears of it.
        until_waiting(&all, 0).await;
        clock.advance(Duration::from_secs(60));
        assert_eq!(hello(&second, "grace").await.expect("the permit is there"), "hello grace");
    })
    .await;
    assert_eq!((layer.counts().admitted, layer.counts().refused), (1, 0));
}
