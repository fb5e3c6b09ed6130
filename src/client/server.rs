//! The limiter of the server that a request goes to: one for all requests, or one for each key.

use core::{
    hash::{BuildHasher, Hash},
    time::Duration,
};
use std::{collections::HashMap, sync::Arc};

use http::request::Parts;

use super::adaptive::{Adaptive, Epoch, Range};
use crate::{
    all_of::Limit, clock::Clock, error::Denied, keyed::Keyed, limiter::RateLimiter, quota::Quota, sync::Mutex,
};

/// The period of a rate that was learned: long, so that the rate is precise.
const PERIOD: Duration = Duration::from_secs(1_000);

/// The most keys whose rates are being learned.
const MOST_LEARNED: usize = 1_024;

/// Finds the limiter of a request. `None`: the request is not limited.
pub(super) trait Servers: Send + Sync {
    fn find(&self, request: &Parts) -> Result<Option<Server>, Denied>;
    /// Learns rates from now on.
    fn learn(&mut self, range: Range);
}

/// The limiter of a server, and what is being learned about its rate.
pub(super) struct Server {
    pub(super) limiter: Box<dyn Adjustable>,
    pub(super) learning: Option<Arc<Learning>>,
}

/// A limiter that is paused, and set to another rate.
pub(super) trait Adjustable: Limit {
    fn as_limit(&self) -> &dyn Limit;
    /// Admits nobody for a while, and starts from an empty bucket, so that waiters go at the rate.
    fn pause_gently(&self, pause: Duration);
    fn set_rate(&self, rate: f64);
    /// The reading of its clock.
    fn now(&self) -> Duration;
}

impl<C: Clock> Adjustable for RateLimiter<C> {
    fn as_limit(&self) -> &dyn Limit {
        self
    }

    fn pause_gently(&self, pause: Duration) {
        self.pause_for(pause);
        // A debt stays.
        if self.available() > 0 {
            self.set_available(0);
        }
    }

    fn set_rate(&self, rate: f64) {
        let quota = self.quota();
        let permits = (rate * PERIOD.as_secs_f64()).round().max(1.0) as u64;
        let learned = Quota::try_new(permits, PERIOD)
            .and_then(|learned| learned.try_with_burst(quota.burst()))
            .and_then(|learned| learned.try_with_catch_up(quota.catch_up()));
        if let Ok(learned) = learned {
            // A debt that is too deep for the rate: the next response sets it.
            let _ = self.set_quota(learned);
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.clock().now())
    }
}

/// What is being learned about the rate of a limiter.
pub(super) struct Learning(Mutex<Rule>);

struct Rule {
    adaptive: Adaptive,
    /// The rate that the limiter was last set to.
    set: f64,
}

impl Learning {
    fn new(range: Range, quota: &Quota) -> Self {
        let adaptive = Adaptive::new(range, quota.rate_a_second());
        Self(Mutex::new(Rule { adaptive, set: 0.0 }))
    }

    /// The epoch of a request that is being sent.
    pub(super) fn epoch(&self) -> Epoch {
        self.0.lock().adaptive.epoch()
    }

    /// Learns from a response that came at a reading of the limiter's clock. Returns the new rate if it is worth setting.
    pub(super) fn respond(&self, sent: Epoch, is_refusal: bool, now: Duration) -> Option<f64> {
        let mut rule = self.0.lock();
        rule.adaptive.respond(sent, is_refusal, now);
        let rate = rule.adaptive.rate();
        let differs = (rate - rule.set).abs() > 0.01 * rule.set;
        differs.then(|| {
            rule.set = rate;
            rate
        })
    }
}

/// One limiter for all requests.
pub(super) struct One<C: Clock> {
    limiter: RateLimiter<C>,
    learning: Option<Arc<Learning>>,
}

impl<C: Clock> One<C> {
    pub(super) const fn new(limiter: RateLimiter<C>) -> Self {
        Self { limiter, learning: None }
    }
}

impl<C: Clock> Servers for One<C> {
    fn find(&self, _: &Parts) -> Result<Option<Server>, Denied> {
        Ok(Some(Server { limiter: Box::new(self.limiter.clone()), learning: self.learning.clone() }))
    }

    fn learn(&mut self, range: Range) {
        self.learning = Some(Arc::new(Learning::new(range, &self.limiter.quota())));
    }
}

/// A limiter for each key.
pub(super) struct ByKey<K, S, C: Clock, F> {
    keyed: Keyed<K, S, C>,
    key: F,
    range: Option<Range>,
    learning: Mutex<HashMap<K, Arc<Learning>>>,
}

impl<K, S, C: Clock, F> ByKey<K, S, C, F> {
    pub(super) fn new(keyed: Keyed<K, S, C>, key: F) -> Self {
        Self { keyed, key, range: None, learning: Mutex::new(HashMap::new()) }
    }
}

impl<K, S, C, F> Servers for ByKey<K, S, C, F>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
    C: Clock + Clone,
    F: Fn(&Parts) -> Option<K> + Send + Sync + 'static,
{
    fn find(&self, request: &Parts) -> Result<Option<Server>, Denied> {
        let Some(key) = (self.key)(request) else { return Ok(None) };
        let limiter = self.keyed.limiter(&key)?;
        let learning = self.range.map(|range| {
            let mut all = self.learning.lock();
            if all.len() >= MOST_LEARNED && !all.contains_key(&key) {
                // The others begin again with the rates that their limiters have.
                all.retain(|_, learning| Arc::strong_count(learning) > 1);
            }
            Arc::clone(all.entry(key).or_insert_with(|| Arc::new(Learning::new(range, &limiter.quota()))))
        });
        Ok(Some(Server { limiter: Box::new(limiter), learning }))
    }

    fn learn(&mut self, range: Range) {
        self.range = Some(range);
    }
}
