//! HTTP clients that obey: a layer for clients on tower, a middleware for reqwest, and what responses say about limits.
//!
//! A [`ClientLayer`] lets each request wait for its permits, and pauses its limiter when the server asks for it: by `Retry-After`,
//! by `RateLimit` of the IETF, or by the headers of common APIs ([`Feedback`]). After a pause
//! requests start at the rate, and not all at once. For a server that does not tell its limit, the layer can
//! [learn](ClientLayer::adaptive) the rate.
//!
//! # The order of layers
//! The layer does not repeat requests. Put retries *outside* of it, so that each attempt waits for its permits and learns from its
//! response; and time limits where you want the wait to count: outside for the whole call, inside for an attempt.
//! ```
//! use std::time::Duration;
//! use http::{Request, Response};
//! use tidegate::{Quota, RateLimiter, client::ClientLayer};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # rt.block_on(async {
//! let limiter = RateLimiter::new(Quota::at_most(100, Duration::from_secs(1)));
//! let http = service_fn(|_: Request<String>| async { Ok::<_, std::io::Error>(Response::new("hello")) });
//! let mut client = ServiceBuilder::new()
//!     // .retry(policy)                   outside: each attempt is limited
//!     .layer(ClientLayer::new(&limiter))
//!     .service(http);
//! let request = Request::get("https://api.example.com/").body(String::new()).unwrap();
//! let response = client.ready().await.unwrap().call(request).await.unwrap();
//! # assert_eq!(*response.body(), "hello");
//! # });
//! ```

mod adaptive;
mod feedback;
mod layer;
mod plan;
#[cfg(feature = "reqwest")]
mod reqwest;
mod server;
mod service;
mod state;
mod times;
mod usage;

pub use self::{
    feedback::Feedback,
    layer::ClientLayer,
    service::{ClientError, ClientFuture, ClientService},
    state::ClientCounts,
    usage::Usage,
};
