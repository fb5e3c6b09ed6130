//! Policies whose limits several processes share.

use core::{fmt, hash::Hash};
use std::borrow::Cow;

use http::request::Parts;

use super::policy::{Found, MissingKey, Policy, PolicyLimit, Subject};
use crate::{
    all_of::AllOf,
    clock::Clock,
    error::Denied,
    fleet::{Fleet, KeyedFleet},
    limiter::Level,
    permits::Permits,
    quota::Quota,
};

impl Policy {
    /// One limit for all requests, which the processes of a fleet share. Let requests wait for some milliseconds by
    /// [`wait_up_to`](super::LimitLayer::wait_up_to): a process that was idle has to lease permits first.
    ///
    /// What clients are told is about this process: what it has leased of the fleet's quota. At once, it can admit the burst less
    /// what is [set aside](crate::FleetBuilder::set_aside), which is half of a burst of one second.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use tidegate::{Fleet, Quota, tower::{LimitLayer, Policy}};
    ///
    /// # async fn f() -> Result<LimitLayer<String>, tidegate::FleetError> {
    /// let fleet = Fleet::builder("api", Quota::per_second(1000)).join("redis://localhost:6379").await?;
    /// let layer =
    ///     LimitLayer::<String>::new().policy(Policy::fleet("all", &fleet)).wait_up_to(Duration::from_millis(50));
    /// # Ok(layer)
    /// # }
    /// ```
    pub fn fleet<C: Clock>(name: impl Into<Cow<'static, str>>, fleet: &Fleet<C>) -> Self {
        Self::new(name.into(), Box::new(Shared(fleet.clone())))
    }

    /// A limit for each key, which the processes of a fleet share. `key` is as for [`keyed`](Self::keyed). For the rest
    /// see [`fleet`](Self::fleet).
    ///
    /// ```no_run
    /// use http::request::Parts;
    /// use std::time::Duration;
    /// use tidegate::{Fleet, KeyedFleet, Quota, tower::{LimitLayer, Policy}};
    ///
    /// # async fn f() -> Result<LimitLayer<String>, tidegate::FleetError> {
    /// let builder = Fleet::builder("users", Quota::per_second(10));
    /// let users: KeyedFleet<String> = builder.join_keyed("redis://localhost:6379").await?;
    /// let user = |request: &Parts| request.headers.get("x-user")?.to_str().ok().map(str::to_owned);
    /// let layer = LimitLayer::<String>::new()
    ///     .policy(Policy::keyed_fleet("user", &users, user))
    ///     .wait_up_to(Duration::from_millis(50));
    /// # Ok(layer)
    /// # }
    /// ```
    pub fn keyed_fleet<K, C>(
        name: impl Into<Cow<'static, str>>,
        keyed: &KeyedFleet<K, C>,
        key: impl Fn(&Parts) -> Option<K> + Send + Sync + 'static,
    ) -> Self
    where
        K: Hash + Eq + Clone + fmt::Display + Send + Sync + 'static,
        C: Clock,
    {
        let limit = SharedByKey { keyed: keyed.clone(), key, missing: MissingKey::default() };
        Self::new(name.into(), Box::new(limit))
    }
}

struct Shared<C: Clock>(Fleet<C>);

impl<C: Clock> PolicyLimit for Shared<C> {
    fn find(&self, _: &Parts) -> Found {
        Found::Subject(Box::new(self.0.clone()))
    }

    fn set_missing(&mut self, _: MissingKey) {}
}

struct SharedByKey<K, C: Clock, F> {
    keyed: KeyedFleet<K, C>,
    key: F,
    missing: MissingKey,
}

impl<K, C, F> PolicyLimit for SharedByKey<K, C, F>
where
    K: Hash + Eq + Clone + fmt::Display + Send + Sync + 'static,
    C: Clock,
    F: Fn(&Parts) -> Option<K> + Send + Sync,
{
    fn find(&self, request: &Parts) -> Found {
        match (self.key)(request) {
            Some(key) => Found::Subject(Box::new(self.keyed.get(&key))),
            None => self.missing.found(),
        }
    }

    fn set_missing(&mut self, missing: MissingKey) {
        self.missing = missing;
    }
}

/// It holds the fleet, since the limiter of a fleet without handles is closed.
impl<C: Clock> Subject for Fleet<C> {
    fn take(&self, n: Permits, waits: bool) -> Result<Level, Denied> {
        self.limiter().take(n, waits)
    }

    fn give_back(&self, n: Permits) {
        self.limiter().give_back(n);
    }

    fn level(&self) -> Level {
        self.limiter().level()
    }

    fn quota(&self) -> Quota {
        self.limiter().quota()
    }

    fn join(&self, all: AllOf, n: Permits) -> Result<AllOf, Denied> {
        Ok(all.and(self, n))
    }
}
