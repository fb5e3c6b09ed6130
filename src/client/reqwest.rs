//! The middleware for reqwest.

use http::{Extensions, Request, Uri, header::CONTENT_LENGTH};
use reqwest_middleware::{Error, Middleware, Next, Result};

use super::{layer::ClientLayer, service::ClientError};
use crate::error::Denied;

/// With the feature `reqwest`. A request that is refused its permits has an [`Error::Middleware`] with a
/// [`ClientError::Limited`](ClientError). Retries, such as those of `reqwest-retry`, are added to the client *before* this
/// middleware, so that each attempt is limited.
///
/// The functions of the layer, such as that which estimates tokens, see the method, the address, the headers, and the
/// extensions that the caller has set by `with_extension`. For a body in memory they see its `content-length`.
///
/// ```no_run
/// use std::time::Duration;
/// use reqwest_middleware::ClientBuilder;
/// use tidegate::{Quota, RateLimiter, client::ClientLayer};
///
/// # async fn get() -> reqwest_middleware::Result<()> {
/// let limiter = RateLimiter::new(Quota::at_most(100, Duration::from_secs(1)));
/// let client = ClientBuilder::new(reqwest::Client::new())
///     // .with(RetryTransientMiddleware::new_with_policy(policy))   first
///     .with(ClientLayer::new(&limiter))
///     .build();
/// client.get("https://api.example.com/").send().await?;
/// # Ok(())
/// # }
/// ```
#[async_trait::async_trait]
impl Middleware for ClientLayer {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<reqwest::Response> {
        let limited = |denied: Denied| Error::middleware(ClientError::<Denied>::Limited(denied));
        let state = self.state();
        // The head alone, for the functions of the layer.
        let uri: Uri = request.url().as_str().parse().map_err(Error::middleware)?;
        let (mut head, ()) = Request::new(()).into_parts();
        (head.method, head.uri) = (request.method().clone(), uri);
        head.headers.clone_from(request.headers());
        head.extensions.clone_from(extensions);
        if let Some(body) = request.body().and_then(reqwest::Body::as_bytes) {
            // The client adds it only later.
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| body.len().into());
        }
        let plan = state.plan(&head).map_err(limited)?;
        let reserved = state.reserve(&plan).await;
        let sent = state.send(plan, reserved).map_err(limited)?;
        let mut response = next.run(request, extensions).await?;
        let usage = sent.respond(state, response.status(), response.headers());
        if let Some(usage) = usage {
            response.extensions_mut().insert(usage);
        }
        Ok(response)
    }
}
