//! An axum server that limits requests by the address of the client and in all, with headers that tell clients what is left,
//! and a page that shows both limits.
//!
//! `cargo run --features tower --example axum_server` sends some requests to itself, and ends. With `-- 3000` it listens on
//! that port of 127.0.0.1.

use std::net::{IpAddr, SocketAddr};

use axum::{Router, extract::ConnectInfo, routing::get};
use http::{Request, request::Parts};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tidegate::{
    Keyed, Quota, RateLimiter,
    tower::{ClientAddress, HeaderStyle, LimitLayer, Policy},
};
use tokio::net::TcpListener;

fn app(addresses: &Keyed<IpAddr>, all: &RateLimiter) -> Router {
    // Behind a proxy: ClientAddress::behind_proxies(["10.0.0.1"])
    let client = ClientAddress::of_peer();
    let address = move |request: &Parts| {
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        client.find(peer, &request.headers)
    };
    let layer = LimitLayer::new()
        .policy(Policy::keyed("address", addresses, address))
        .policy(Policy::global("all", all))
        .headers(HeaderStyle::Draft10)
        .skip(|request| request.uri.path() == "/limits");
    let (counted, addresses, all) = (layer.clone(), addresses.clone(), all.clone());
    let page = move |info: ConnectInfo<SocketAddr>| async move {
        let own = addresses.level(&info.ip()).available();
        let counts = counted.counts();
        format!(
            "{own} left for your address, {} for all; {} admitted, {} refused\n",
            all.available(),
            counts.admitted,
            counts.refused
        )
    };
    Router::new().route("/", get(|| async { "hello\n" })).route("/limits", get(page)).layer(layer)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let addresses = Keyed::new(Quota::per_minute(60).with_burst(5));
    let all = RateLimiter::new(Quota::per_second(1_000));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let here = listener.local_addr()?;
    let service = app(&addresses, &all).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    if port != 0 {
        println!("http://{here}/ and http://{here}/limits");
        return Ok(server.await??);
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<String>();
    let mut refused = 0;
    for path in ["", "", "", "", "", "", "limits"] {
        let request = Request::get(format!("http://{here}/{path}")).body(String::new())?;
        let response = client.request(request).await?;
        refused += u32::from(response.status() == 429);
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
        println!(
            "/{path:6} {} RateLimit: {} Retry-After: {}",
            response.status(),
            header("ratelimit"),
            header("retry-after")
        );
    }
    assert_eq!(refused, 1, "five at once, and the sixth is refused");
    Ok(())
}
