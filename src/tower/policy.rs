//! The policies of a layer: a limit for all requests, or for each key.

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    time::Duration,
};
use std::borrow::Cow;

use http::{request::Parts, response};

use super::headers::Told;
use crate::{
    all_of::AllOf,
    clock::Clock,
    error::Denied,
    keyed::Keyed,
    limiter::{Level, RateLimiter},
    permits::Permits,
    quota::Quota,
};

/// What becomes of a request without a key, such as one without the header that names its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissingKey {
    /// The policy does not apply to it, such as a request of another plan. A request to which no policy applies is not
    /// limited; [`Counts::skipped`](super::Counts) counts them.
    Admit,
    /// It is refused, with 400.
    #[default]
    Refuse,
}

impl MissingKey {
    pub(super) fn found(self) -> Found {
        match self {
            Self::Admit => Found::Skipped,
            Self::Refuse => Found::Missing,
        }
    }
}

/// What a function for the cost of a request is like.
type CostFn = dyn Fn(&Parts) -> u64 + Send + Sync;

/// What a function that tells whether a response costs nothing is like.
type RefundIf = dyn Fn(&response::Parts) -> bool + Send + Sync;

/// One policy of a [`LimitLayer`](super::LimitLayer): a limit for all requests, or one for each key.
///
/// # Examples
/// ```
/// use http::request::Parts;
/// use tidegate::{Keyed, Quota, RateLimiter, tower::{MissingKey, Policy}};
///
/// let all = RateLimiter::new(Quota::per_second(1_000));
/// let users: Keyed<String> = Keyed::new(Quota::per_minute(60));
/// let user = |request: &Parts| request.headers.get("x-user")?.to_str().ok().map(str::to_owned);
/// let policies = [
///     Policy::keyed("user", &users, user).when_missing(MissingKey::Admit),
///     // An upload costs as much as ten other requests.
///     Policy::global("all", &all).with_cost(|request| if request.method == "PUT" { 10 } else { 1 }),
/// ];
/// assert_eq!(policies[0].name(), "user");
/// ```
pub struct Policy {
    name: Cow<'static, str>,
    limit: Box<dyn PolicyLimit>,
    cost: Option<Box<CostFn>>,
    refund_if: Option<Box<RefundIf>>,
    is_shadow: bool,
}

impl Policy {
    /// One limit for all requests. The name is told to clients, in headers.
    pub fn global<C: Clock>(name: impl Into<Cow<'static, str>>, limiter: &RateLimiter<C>) -> Self {
        Self::new(name.into(), Box::new(Global(limiter.clone())))
    }

    pub(super) fn new(name: Cow<'static, str>, limit: Box<dyn PolicyLimit>) -> Self {
        Self { name, limit, cost: None, refund_if: None, is_shadow: false }
    }

    /// A limit for each key. Keys of plans with different quotas are [classes](crate::KeyedBuilder::classes) of one table. `key`
    /// finds the key of a request; it must not block. If it panics, the request is refused.
    pub fn keyed<K, S, C>(
        name: impl Into<Cow<'static, str>>,
        keyed: &Keyed<K, S, C>,
        key: impl Fn(&Parts) -> Option<K> + Send + Sync + 'static,
    ) -> Self
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        S: BuildHasher + Send + Sync + 'static,
        C: Clock + Clone,
    {
        let limit = ByKey { keyed: keyed.clone(), key, missing: MissingKey::default() };
        Self::new(name.into(), Box::new(limit))
    }

    /// What becomes of a request without a key: it is refused unless set. See the example of [`Policy`].
    #[must_use]
    pub fn when_missing(mut self, missing: MissingKey) -> Self {
        self.limit.set_missing(missing);
        self
    }

    /// How many permits a request takes: one unless set. See the example of [`Policy`].
    #[must_use]
    pub fn with_cost(mut self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.cost = Some(Box::new(cost));
        self
    }

    /// Gives the permits of a request back if its response is of a kind, to limit by outcome: only failed logins, say. The other
    /// policies of the layer keep theirs. If the inner service fails without a response, nothing goes back, nor if `refund_if`
    /// panics. A request holds its permits until its response: with a burst of 3, only three may be under way.
    ///
    /// ```
    /// use http::request::Parts;
    /// use tidegate::{Keyed, Quota, RateLimiter, tower::{LimitLayer, Policy}};
    /// let logins: Keyed<String> = Keyed::new(Quota::per_hour(10));
    /// let name = |request: &Parts| request.headers.get("x-name")?.to_str().ok().map(str::to_owned);
    /// let all = RateLimiter::new(Quota::per_second(100));
    /// let layer = LimitLayer::<String>::new()
    ///     .policy(Policy::keyed("failed logins", &logins, name).refund_if(|response| response.status.is_success()))
    ///     .policy(Policy::global("all", &all));
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn refund_if(mut self, refund_if: impl Fn(&response::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.refund_if = Some(Box::new(refund_if));
        self
    }

    /// Tries the policy on real traffic: it refuses nothing, and [`Counts::shadowed`](super::Counts) counts what it would have
    /// refused. It sees the requests that the policies which are in force admit, and takes permits as they do. Nothing is
    /// told to clients. It waits for nothing: what [`wait_up_to`](super::LimitLayer::wait_up_to) would have let wait
    /// counts as refused.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter, tower::{LimitLayer, Policy}};
    /// let (all, fewer) = (RateLimiter::new(Quota::per_second(100)), RateLimiter::new(Quota::per_second(50)));
    /// let layer = LimitLayer::<String>::new()
    ///     .policy(Policy::global("all", &all))
    ///     .policy(Policy::global("fewer", &fewer).shadow());
    /// assert_eq!(layer.counts().shadowed, 0);
    /// ```
    #[must_use]
    pub fn shadow(mut self) -> Self {
        self.is_shadow = true;
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn cost_of(&self, request: &Parts) -> Permits {
        self.cost.as_ref().map_or(1, |cost| cost(request)).into()
    }

    pub(super) const fn is_shadow(&self) -> bool {
        self.is_shadow
    }

    pub(super) fn refunds(&self, response: &response::Parts) -> bool {
        self.refund_if.as_ref().is_some_and(|refund_if| refund_if(response))
    }

    pub(super) fn subject(&self, request: &Parts) -> Found {
        self.limit.find(request)
    }

    /// What clients are told of this policy at that level.
    pub(super) fn told(&self, quota: &Quota, level: Level) -> Told<'_> {
        let window = quota.interval().checked_mul(u32::try_from(quota.burst()).unwrap_or(u32::MAX));
        Told {
            name: &self.name,
            burst: quota.burst(),
            window: window.unwrap_or(Duration::MAX),
            remaining: level.available().max(0).unsigned_abs(),
            // After this time there is more, so what is left may be used until then.
            reset: level.time_until_next(),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a policy finds in a request.
pub(super) enum Found {
    /// The limit of the request, or of its key.
    Subject(Box<dyn Subject>),
    Skipped,
    /// There is no key, and the policy demands one.
    Missing,
}

/// The limit of one request.
pub(super) trait Subject: Send {
    /// With `waits`, for a request that waits if it is refused.
    fn take(&self, n: Permits, waits: bool) -> Result<Level, Denied>;
    fn give_back(&self, n: Permits);
    fn level(&self) -> Level;
    fn quota(&self) -> Quota;
    /// Adds the limit to others that are waited for.
    fn join(&self, all: AllOf, n: Permits) -> Result<AllOf, Denied>;
}

/// What a policy limits.
pub(super) trait PolicyLimit: Send + Sync {
    fn find(&self, request: &Parts) -> Found;
    fn set_missing(&mut self, missing: MissingKey);
}

struct Global<C: Clock>(RateLimiter<C>);

impl<C: Clock> PolicyLimit for Global<C> {
    fn find(&self, _: &Parts) -> Found {
        Found::Subject(Box::new(self.0.clone()))
    }

    fn set_missing(&mut self, _: MissingKey) {}
}

impl<C: Clock> Subject for RateLimiter<C> {
    fn take(&self, n: Permits, waits: bool) -> Result<Level, Denied> {
        if waits { self.take_to_wait(n) } else { self.try_acquire_reporting(n) }
    }

    fn give_back(&self, n: Permits) {
        let given = self.refund(n);
        debug_assert!(given.is_ok(), "an amount that was taken");
    }

    fn level(&self) -> Level {
        Self::level(self)
    }

    fn quota(&self) -> Quota {
        Self::quota(self)
    }

    fn join(&self, all: AllOf, n: Permits) -> Result<AllOf, Denied> {
        Ok(all.and(self, n))
    }
}

struct ByKey<K, S, C: Clock, F> {
    keyed: Keyed<K, S, C>,
    key: F,
    missing: MissingKey,
}

impl<K, S, C, F> PolicyLimit for ByKey<K, S, C, F>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
    C: Clock + Clone,
    F: Fn(&Parts) -> Option<K> + Send + Sync,
{
    fn find(&self, request: &Parts) -> Found {
        match (self.key)(request) {
            Some(key) => Found::Subject(Box::new(OfKey { keyed: self.keyed.clone(), key })),
            None => self.missing.found(),
        }
    }

    fn set_missing(&mut self, missing: MissingKey) {
        self.missing = missing;
    }
}

struct OfKey<K, S, C: Clock> {
    keyed: Keyed<K, S, C>,
    key: K,
}

impl<K, S, C> Subject for OfKey<K, S, C>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
    C: Clock + Clone,
{
    fn take(&self, n: Permits, waits: bool) -> Result<Level, Denied> {
        if waits {
            self.keyed.take_to_wait(&self.key, n)
        } else {
            self.keyed.try_acquire_reporting(&self.key, n)
        }
    }

    fn give_back(&self, n: Permits) {
        let given = self.keyed.refund(&self.key, n);
        debug_assert!(given.is_ok(), "an amount that was taken");
    }

    fn level(&self) -> Level {
        self.keyed.level(&self.key)
    }

    fn quota(&self) -> Quota {
        self.keyed.quota_of(&self.key)
    }

    fn join(&self, all: AllOf, n: Permits) -> Result<AllOf, Denied> {
        Ok(all.and(&self.keyed.limiter(&self.key)?, n))
    }
}
