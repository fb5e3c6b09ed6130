//! Layers for HTTP servers on tower, such as axum, hyper-util and tonic.
//!
//! A [`LimitLayer`] limits requests by one or several [`Policy`]s: for all requests, by address, by a header, or by any function
//! of the request. It refuses at once, or lets requests wait.
//!
//! # Examples
//! By the address of the client. In axum, the address of the peer is in `ConnectInfo<SocketAddr>`, if the server is made by
//! `router.into_make_service_with_connect_info::<SocketAddr>()`; the example `axum_server` is a whole program.
//! ```
//! use std::net::{IpAddr, SocketAddr};
//! use http::request::Parts;
//! use tidegate::{Keyed, Quota, RateLimiter, tower::{ClientAddress, HeaderStyle, LimitLayer, Policy}};
//!
//! let addresses: Keyed<IpAddr> = Keyed::new(Quota::per_minute(60).with_burst(20));
//! let all = RateLimiter::new(Quota::per_second(1_000));
//! // Behind a proxy that appends to X-Forwarded-For. Headers from elsewhere are not believed.
//! let client = ClientAddress::behind_proxies(["10.0.0.1"]).unwrap();
//! let address = move |request: &Parts| {
//!     // For axum: get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
//!     let peer = request.extensions.get::<SocketAddr>().map(SocketAddr::ip);
//!     client.find(peer, &request.headers)
//! };
//! let layer = LimitLayer::new()
//!     .policy(Policy::keyed("address", &addresses, address))
//!     .policy(Policy::global("all", &all))
//!     .headers(HeaderStyle::Legacy)
//!     .skip(|request| request.uri.path() == "/health");
//! # drop::<LimitLayer<String>>(layer);
//! // Router::new().route("/", get(handler)).layer(layer)
//! ```

mod address;
#[cfg(feature = "redis")]
mod fleet;
mod headers;
mod layer;
mod policy;
mod refusal;
mod service;
mod state;

pub use self::{
    address::{ClientAddress, InvalidNetwork},
    headers::HeaderStyle,
    layer::LimitLayer,
    policy::{MissingKey, Policy},
    refusal::{Reason, Refusal},
    service::{LimitFuture, LimitService},
    state::Counts,
};
