//! The layer and its choices.

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    time::Duration,
};
use std::sync::Arc;

use http::{HeaderMap, StatusCode, request::Parts};
use tower_layer::Layer;

use super::{
    adaptive::Range,
    server::{ByKey, One, Servers},
    service::ClientService,
    state::{ClientCounts, Counters, State, Tokens},
};
use crate::{
    all_of::{AllOf, Limit},
    clock::Clock,
    keyed::Keyed,
    limiter::RateLimiter,
};

/// The longest pause, unless set.
const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Limits the requests of an HTTP client, and obeys what the server says about its limits.
///
/// A request waits for its permits when its future is first polled, and is then sent. The layer holds the state, so all clients
/// that are made by it or by its clones share the limits. With the feature `reqwest` it is a middleware for `reqwest_middleware`
/// as well.
///
/// # Pauses
/// When a response asks for a pause ([`Feedback`](super::Feedback)), the limiter of its server admits nobody until its end, and starts with an empty
/// bucket then, so that waiting requests go at the rate and not all at once. Of several pauses the latest end counts. A pause is cut
/// to 5 minutes, unless [`max_pause`](Self::max_pause) sets another bound. The limits of [`also`](Self::also) and
/// [`tokens`](Self::tokens) are not paused, since other servers may share them.
///
/// # Responses
/// They are passed on as they are, also those with 429. Their bodies are not read.
///
/// # Fairness and cancel safety
/// As [`AllOf::reserve`]. A request that is dropped while it waits leaves all queues, and costs nothing. Once it is sent, it has
/// cost its permits, also if it fails or is dropped.
///
/// # Examples
/// A limit for each host, and one for all:
/// ```
/// use std::time::Duration;
/// use tidegate::{Keyed, Quota, RateLimiter, client::ClientLayer};
///
/// let hosts: Keyed<String> = Keyed::new(Quota::at_most(10, Duration::from_secs(1)));
/// let all = RateLimiter::new(Quota::per_second(200));
/// let layer = ClientLayer::per_host(&hosts).also(&all).max_wait(Duration::from_secs(30));
/// // ServiceBuilder::new().layer(layer).service(client)
/// # drop(layer);
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it is added to a client"]
pub struct ClientLayer {
    state: Arc<State>,
}

impl ClientLayer {
    /// One limiter for all requests: for a client of one API. See the example of the [module](super).
    ///
    /// For a server that counts requests in windows use [`Quota::at_most`](crate::Quota::at_most). Requests bunch up on their way
    /// through a network. So add that jitter to the window: with 100 requests in a second, a window of 1.05 s if the time to
    /// the server varies by 50 ms.
    pub fn new<C: Clock>(limiter: &RateLimiter<C>) -> Self {
        Self::of(Box::new(One::new(limiter.clone())))
    }

    /// A limiter for each host, by the host and the port of the URI; without a host, by the header `Host`. Names are compared in
    /// lower case. See the example of [`ClientLayer`].
    pub fn per_host<S, C>(hosts: &Keyed<String, S, C>) -> Self
    where
        S: BuildHasher + Send + Sync + 'static,
        C: Clock + Clone,
    {
        Self::by(hosts, |request| {
            let host = request.uri.authority().map(|authority| {
                let host = authority.host();
                authority.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
            });
            let header = || request.headers.get(http::header::HOST)?.to_str().ok().map(str::to_owned);
            host.or_else(header).map(|host| host.to_ascii_lowercase())
        })
    }

    /// A limiter for each key, such as an account or an endpoint. A request without a key is limited only by
    /// [`also`](Self::also) and [`tokens`](Self::tokens). If `key` panics, so does the request.
    ///
    /// ```
    /// use tidegate::{Keyed, Quota, client::ClientLayer};
    /// let endpoints: Keyed<String> = Keyed::new(Quota::per_second(5));
    /// let layer = ClientLayer::by(&endpoints, |request| Some(request.uri.path().to_owned()));
    /// # drop(layer);
    /// ```
    pub fn by<K, S, C>(
        keyed: &Keyed<K, S, C>,
        key: impl Fn(&Parts) -> Option<K> + Send + Sync + 'static,
    ) -> Self
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        S: BuildHasher + Send + Sync + 'static,
        C: Clock + Clone,
    {
        Self::of(Box::new(ByKey::new(keyed.clone(), key)))
    }

    fn of(servers: Box<dyn Servers>) -> Self {
        let state = State {
            servers,
            also: AllOf::new(),
            cost: None,
            tokens: None,
            max_wait: None,
            max_pause: MAX_PAUSE,
            counters: Counters::default(),
        };
        Self { state: Arc::new(state) }
    }

    fn with(mut self, change: impl FnOnce(&mut State)) -> Self {
        match Arc::get_mut(&mut self.state) {
            Some(state) => change(state),
            None => panic!("a layer that has been cloned or used is changed: make all choices first"),
        }
        self
    }

    /// Another limit that each request has to pass, with the same cost. It is not paused. See the example of [`ClientLayer`].
    ///
    /// # Panics
    /// This and all other choices: if the layer has been cloned or used before.
    pub fn also(self, limit: &(impl Limit + ?Sized)) -> Self {
        self.with(|state| state.also = core::mem::take(&mut state.also).and(limit, 1))
    }

    /// How many permits a request takes of the limiter of its server and of those of [`also`](Self::also): one unless set.
    pub fn cost(self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.with(|state| state.cost = Some(Box::new(cost)))
    }

    /// A limit of tokens, as LLM APIs have it. A request reserves an estimate. When its response tells the real number, by
    /// [`tokens_used`](Self::tokens_used) or by a [`Usage`](super::Usage), the difference goes back or is charged. See the
    /// example of [`Usage`](super::Usage).
    pub fn tokens(
        self,
        limit: &(impl Limit + ?Sized),
        estimate: impl Fn(&Parts) -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.with(|state| {
            let used = state.tokens.take().and_then(|tokens| tokens.used);
            let limit = AllOf::new().and(limit, 1);
            state.tokens = Some(Tokens { limit, estimate: Box::new(estimate), used });
        })
    }

    /// Reads the tokens that a request used from the headers of its response. `None`: they do not tell it, and the response gets
    /// a [`Usage`](super::Usage).
    ///
    /// # Panics
    /// If there are no [`tokens`](Self::tokens).
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter, client::ClientLayer};
    /// let (requests, tokens) = (RateLimiter::new(Quota::per_minute(60)), RateLimiter::new(Quota::per_minute(60_000)));
    /// let layer = ClientLayer::new(&requests)
    ///     .tokens(&tokens, |_request| 900)
    ///     // A refused request used none.
    ///     .tokens_used(|status, headers| match headers.get("x-tokens-used") {
    ///         Some(used) => used.to_str().ok()?.parse().ok(),
    ///         None => status.is_client_error().then_some(0),
    ///     });
    /// # drop(layer);
    /// ```
    pub fn tokens_used(
        self,
        used: impl Fn(StatusCode, &HeaderMap) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        self.with(|state| match &mut state.tokens {
            Some(tokens) => tokens.used = Some(Box::new(used)),
            None => panic!("tokens_used without tokens: call tokens first"),
        })
    }

    /// Refuses a request with [`ClientError::Limited`](super::ClientError) if it cannot have its permits within `max_wait`, as
    /// soon as that is known. Without it requests wait as long as it takes.
    pub fn max_wait(self, max_wait: Duration) -> Self {
        self.with(|state| state.max_wait = Some(max_wait))
    }

    /// The longest pause that a response can cause: 5 minutes unless set.
    pub fn max_pause(self, max_pause: Duration) -> Self {
        self.with(|state| state.max_pause = max_pause)
    }

    /// Learns the rate, for a server that does not tell its limit: it grows while requests succeed, and falls when the server refuses
    /// one. The limiter is set to it by [`set_quota`](RateLimiter::set_quota), between `floor` and `ceiling` permits a second;
    /// it begins with the rate that it has, and keeps its burst. Use a small burst: [`with_burst(1)`](crate::Quota::with_burst)
    /// finds the limit best.
    ///
    /// The rate doubles each second until the first refusal. A refusal lowers it by a tenth; then it goes back along the curve of
    /// CUBIC, within 2 seconds and the time of 60 permits, and carefully beyond. Against simulated servers that count windows of
    /// 0.5 to 3 seconds it uses more than 95 % of the limit, with 0.1 % to 2.1 % of the requests refused after ten seconds. A
    /// server that counts longer windows is known only after several of them; use what its documentation says.
    ///
    /// # Panics
    /// If not `0.001 <= floor <= ceiling <= 1e9`.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter, client::ClientLayer};
    /// let limiter = RateLimiter::new(Quota::per_second(10).with_burst(1));
    /// let layer = ClientLayer::new(&limiter).adaptive(1.0, 1_000.0);
    /// # drop(layer);
    /// ```
    #[track_caller]
    pub fn adaptive(self, floor: f64, ceiling: f64) -> Self {
        assert!(
            0.001 <= floor && floor <= ceiling && ceiling <= 1e9,
            "a rate from {floor} to {ceiling} permits a second: write 0.001 <= floor <= ceiling <= 1e9"
        );
        self.with(|state| state.servers.learn(Range { floor, ceiling }))
    }

    /// What it has counted.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter, client::ClientLayer};
    /// let layer = ClientLayer::new(&RateLimiter::new(Quota::per_second(10)));
    /// assert_eq!(layer.counts().sent, 0);
    /// ```
    pub fn counts(&self) -> ClientCounts {
        self.state.counters.read()
    }

    #[cfg(feature = "reqwest")]
    pub(super) fn state(&self) -> &State {
        &self.state
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> ClientService<S> {
        ClientService::new(inner, Arc::clone(&self.state))
    }
}

impl fmt::Debug for ClientLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLayer").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
