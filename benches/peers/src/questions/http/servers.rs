//! The servers: the same handler behind different layers.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
};

use axum::{Router, body::Body, extract::ConnectInfo, routing::get};
use http::request::Parts;
use tidegate::{
    Keyed, Quota, RateLimiter,
    tower::{ClientAddress, LimitLayer, Policy},
};
use tokio::net::TcpListener;
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};

/// A quota that always admits: no client makes so many requests in so little time.
const BURST: u32 = 1_000_000;
const QUOTA: Quota = Quota::per_second(1_000_000_000).with_burst(BURST as u64);

/// A server.
pub(super) struct Party {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    layer: Option<LimitLayer<Body>>,
}

impl Party {
    /// Whether the layer was there, and admitted all. The client checks that all answers are good.
    pub(super) fn check(&self) -> Result<(), Box<dyn Error>> {
        let Some(counts) = self.layer.as_ref().map(LimitLayer::counts) else { return Ok(()) };
        let good = counts.admitted > 0 && counts.refused == 0 && counts.skipped == 0;
        if good { Ok(()) } else { Err(format!("{}: {counts:?}", self.name).into()) }
    }
}

fn app() -> Router {
    Router::new().route("/", get(|| async { "hello\n" }))
}

/// Serves until the runtime ends.
async fn serve(app: Router) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok(address)
}

async fn tidegate(name: &'static str, layer: LimitLayer<Body>) -> std::io::Result<Party> {
    let address = serve(app().layer(layer.clone())).await?;
    Ok(Party { name, address, layer: Some(layer) })
}

/// A policy by the address of the peer, with a table of its own.
fn by_address() -> Policy {
    let (addresses, client) = (Keyed::<IpAddr>::new(QUOTA), ClientAddress::of_peer());
    Policy::keyed("address", &addresses, move |request: &Parts| {
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        client.find(peer, &request.headers)
    })
}

/// All servers, the one without a layer first.
pub(super) async fn all() -> Result<Vec<Party>, Box<dyn Error>> {
    let global = Policy::global("all", &RateLimiter::new(QUOTA));
    let config = GovernorConfigBuilder::default()
        .per_nanosecond(1)
        .burst_size(BURST)
        .finish()
        .ok_or("a period or a burst of zero")?;
    let governor = app().layer(GovernorLayer::new(config));
    Ok(vec![
        Party { name: "none", address: serve(app()).await?, layer: None },
        tidegate("tidegate, by address and in all", LimitLayer::new().policy(by_address()).policy(global))
            .await?,
        tidegate("tidegate, by address", LimitLayer::new().policy(by_address())).await?,
        Party { name: "tower_governor, by address", address: serve(governor).await?, layer: None },
    ])
}
