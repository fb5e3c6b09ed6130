//! The layer and its choices.

use core::{fmt, time::Duration};
use std::sync::Arc;

use http::{Response, request};
use tower_layer::Layer;

use super::{
    headers::HeaderStyle,
    policy::Policy,
    refusal::Refusal,
    service::LimitService,
    state::{Counts, State},
};

/// Limits the requests of a service by one or several [`Policy`]s, of which each has to admit a request.
///
/// The layer holds the state, so it limits over all connections, also where a server makes the service anew for each of them.
/// It never holds back readiness: the decision is made when the response future is first polled. A request that is refused does
/// not reach the inner service, and costs nothing of any policy. A clone of the layer shares its state.
///
/// # Responses
/// A refused request gets 429 with `Retry-After`, in whole seconds, rounded up, and an empty body. For gRPC (a content type
/// of `application/grpc`) it is status 8, `RESOURCE_EXHAUSTED`, in the headers of a response with 200. 503 (gRPC: 14) says that
/// the limiter is closed or has no room for a new key, 400 (3) that a key is missing that the policy demands, and 500 (13) that a
/// function of the policy panicked. A full queue is 429, too. [`on_refusal`](Self::on_refusal) replaces all of that.
///
/// # Fairness and cancel safety
/// As [`RateLimiter::try_acquire`](crate::RateLimiter::try_acquire), or with [`wait_up_to`](Self::wait_up_to) as
/// [`AllOf::acquire_within`](crate::AllOf::acquire_within). A request that is dropped while it waits leaves all queues, and costs
/// nothing. Once it has reached the inner service it has cost its permits.
///
/// # Examples
/// For axum:
/// ```
/// use tidegate::{Quota, RateLimiter, tower::{LimitLayer, Policy}};
///
/// let all = RateLimiter::new(Quota::per_second(1_000));
/// let layer = LimitLayer::new().policy(Policy::global("all", &all));
/// # fn router<B: Default>(layer: LimitLayer<B>) -> LimitLayer<B> { layer }
/// # let layer: LimitLayer<String> = router(layer);
/// // Router::new().route("/", get(handler)).layer(layer)
/// # drop(layer);
/// ```
#[must_use = "a layer does nothing until it is added to a service"]
pub struct LimitLayer<B> {
    state: Arc<State<B>>,
}

impl<B> LimitLayer<B> {
    /// A layer without policies, which admits all requests. See the example of [`LimitLayer`].
    pub fn new() -> Self {
        Self { state: Arc::new(State::default()) }
    }

    fn with(mut self, change: impl FnOnce(&mut State<B>)) -> Self {
        match Arc::get_mut(&mut self.state) {
            Some(state) => change(state),
            None => panic!("a layer that has been cloned or used is changed: make all choices first"),
        }
        self
    }

    /// Adds a policy. All policies have to admit a request. They are asked in turn, and if one refuses, what the others took
    /// goes back. For that moment the permits are missing to other requests: so name policies for single keys before those
    /// for all requests.
    ///
    /// # Panics
    /// This and all other choices: if the layer has been cloned or used before.
    pub fn policy(self, policy: Policy) -> Self {
        self.with(|state| state.policies.push(policy))
    }

    /// Lets a request wait for its permits, in order of arrival, if all policies can admit it within `max_wait`; otherwise it
    /// is refused at once. [`RateLimiter::set_max_waiters`](crate::RateLimiter::set_max_waiters) and
    /// [`KeyedBuilder::max_waiters`](crate::KeyedBuilder::max_waiters) bound how many wait, for each limiter and each key, and
    /// [`max_waiting`](Self::max_waiting) in all.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Quota, RateLimiter, tower::{LimitLayer, Policy}};
    /// let all = RateLimiter::new(Quota::per_second(100));
    /// all.set_max_waiters(50);
    /// let layer = LimitLayer::<String>::new().policy(Policy::global("all", &all)).wait_up_to(Duration::from_millis(200));
    /// # drop(layer);
    /// ```
    pub fn wait_up_to(self, max_wait: Duration) -> Self {
        self.with(|state| state.max_wait = Some(max_wait))
    }

    /// Which headers tell clients about the limits, also in responses of admitted requests.
    pub fn headers(self, style: HeaderStyle) -> Self {
        self.with(|state| state.style = style)
    }

    /// How many requests may wait at a time, over all policies and keys; no bound unless set. A request that would have to
    /// wait beyond is refused at once, as by [`Denied::QueueFull`](crate::Denied::QueueFull). A request that waits holds its
    /// connection and its body, so this bounds the memory that waiting takes.
    ///
    /// ```
    /// use std::{net::IpAddr, time::Duration};
    /// use tidegate::{Keyed, Quota, tower::{LimitLayer, Policy}};
    /// let addresses: Keyed<IpAddr> = Keyed::builder(Quota::per_second(10)).max_waiters(5).build().unwrap();
    /// let layer = LimitLayer::<String>::new()
    ///     .policy(Policy::keyed("address", &addresses, |request| request.extensions.get::<IpAddr>().copied()))
    ///     .wait_up_to(Duration::from_millis(500))
    ///     .max_waiting(1_000); // however many addresses there are
    /// # drop(layer);
    /// ```
    pub fn max_waiting(self, most: usize) -> Self {
        self.with(|state| state.max_waiting = most)
    }

    /// Requests to which no policy applies, such as health checks.
    pub fn skip(self, skip: impl Fn(&request::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|state| state.skip = Some(Box::new(skip)))
    }

    /// Another response to refused requests. The headers about limits are added to it.
    ///
    /// ```
    /// use http::{Response, StatusCode};
    /// use tidegate::tower::LimitLayer;
    /// let layer = LimitLayer::new().on_refusal(|refusal, _request| {
    ///     let mut response = Response::new(format!("slow down: {refusal}"));
    ///     *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    ///     response
    /// });
    /// # drop::<LimitLayer<String>>(layer);
    /// ```
    pub fn on_refusal(
        self,
        respond: impl Fn(&Refusal<'_>, &request::Parts) -> Response<B> + Send + Sync + 'static,
    ) -> Self {
        self.with(|state| state.on_refusal = Some(Box::new(respond)))
    }

    /// How many requests were admitted, refused, and so on, since the layer was made.
    ///
    /// ```
    /// use tidegate::tower::LimitLayer;
    /// let layer = LimitLayer::<String>::new();
    /// assert_eq!(layer.counts().admitted, 0);
    /// ```
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }
}

impl<B> Default for LimitLayer<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> Clone for LimitLayer<B> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state) }
    }
}

impl<B> fmt::Debug for LimitLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitLayer").field("policies", &self.state.policies).finish_non_exhaustive()
    }
}

impl<S, B> Layer<S> for LimitLayer<B> {
    type Service = LimitService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService::new(inner, Arc::clone(&self.state))
    }
}
