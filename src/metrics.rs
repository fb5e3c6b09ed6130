//! Counters of watched limiters, of tables, of layers and of fleets, through the facade `metrics` (feature `metrics`).

#[cfg(feature = "redis")]
mod fleets;

use core::fmt;
#[cfg(feature = "keyed")]
use core::hash::{BuildHasher, Hash};

use metrics::{Counter, Label, counter, gauge, histogram};

#[cfg(feature = "keyed")]
use crate::Keyed;
#[cfg(feature = "client")]
use crate::client::ClientLayer;
#[cfg(feature = "tower")]
use crate::tower::{Counts, LimitLayer};
use crate::{Clock, Quota, RateLimiter, Stats, Waits};

/// Publishes the [stats](RateLimiter::stats) of limiters through the facade [`metrics`](https://docs.rs/metrics), so that any
/// exporter shows them.
///
/// Calls cost no more for being published: [`publish`](Self::publish) reads the counters, and is called at intervals or
/// before each scrape. The handles of the facade are held, and belong to the recorder that is installed when a limiter is
/// [added](Self::add).
///
/// | metric | kind | labels besides `limiter` |
/// |---|---|---|
/// | `tidegate_calls_total` | counter | `outcome`: `admitted`, `refused`, `waited` |
/// | `tidegate_waits_total` | counter | `outcome`: `granted`, `too_late`, `cancelled` |
/// | `tidegate_given_back_total`, `tidegate_charged_total`, `tidegate_pauses_total` | counter | |
/// | `tidegate_stolen_permits_total` | counter | |
/// | `tidegate_waiting`, `tidegate_available_permits`, `tidegate_parked_permits` | gauge | |
/// | `tidegate_permits_per_second` | gauge: the rate of the quota | |
/// | `tidegate_wait_seconds` | histogram | |
///
/// `add_keyed`, `add_layer`, `add_client`, `add_fleet` and `add_keyed_fleet` publish the counters of tables, of servers, of clients
/// and of fleets (with their features).
///
/// Some exporters have to be told the buckets of a histogram: without `PrometheusBuilder::set_buckets`, metrics-exporter-prometheus
/// shows a summary of the last waits in place of it.
///
/// The label `limiter` is the name of the limiter. Give names to limiters, and not to keys or users, so that labels stay few.
/// Each wait is published with the end of its bucket in [`Waits`], up to a quarter too long.
///
/// # Examples
/// ```
/// use metrics_exporter_prometheus::PrometheusBuilder;
/// use tidegate::{MetricsPublisher, Quota, RateLimiter};
///
/// let recorder = PrometheusBuilder::new().build_recorder();
/// let limiter = RateLimiter::new(Quota::per_hour(1)).watched("api");
/// // A program installs a recorder for all its threads: `PrometheusBuilder::install_recorder`.
/// let mut publisher = MetricsPublisher::new();
/// metrics::with_local_recorder(&recorder, || publisher.add(&limiter)).unwrap();
///
/// limiter.try_acquire().unwrap();
/// limiter.try_acquire().unwrap_err();
/// publisher.publish();
/// let page = recorder.handle().render();
/// assert!(page.contains("tidegate_calls_total{limiter=\"api\",outcome=\"refused\"} 1"));
/// ```
#[derive(Default)]
pub struct MetricsPublisher {
    sources: Vec<Source>,
}

/// Why a limiter, or another source of numbers, was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsError {
    /// The limiter counts nothing.
    NotWatched,
    /// Another of the same kind and name was added before.
    NameTaken(String),
}

impl fmt::Display for MetricsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWatched => f.write_str("the limiter counts nothing: make it with `.watched(name)`"),
            Self::NameTaken(name) => {
                write!(f, "the name {name:?} is published already: give each its own name")
            }
        }
    }
}

impl core::error::Error for MetricsError {}

struct Source {
    kind: &'static str,
    name: String,
    publish: Box<dyn FnMut() + Send + Sync>,
}

type Count = fn(&Stats) -> u64;
type Level = fn(&Stats) -> f64;

const COUNTERS: [(&str, Option<&str>, Count); 10] = [
    ("tidegate_calls_total", Some("admitted"), |stats| stats.admitted),
    ("tidegate_calls_total", Some("refused"), |stats| stats.refused),
    ("tidegate_calls_total", Some("waited"), |stats| stats.waited),
    ("tidegate_waits_total", Some("granted"), |stats| stats.granted),
    ("tidegate_waits_total", Some("too_late"), |stats| stats.too_late),
    ("tidegate_waits_total", Some("cancelled"), |stats| stats.cancelled),
    ("tidegate_given_back_total", None, |stats| stats.given_back),
    ("tidegate_charged_total", None, |stats| stats.charged),
    ("tidegate_pauses_total", None, |stats| stats.pauses),
    ("tidegate_stolen_permits_total", None, |stats| stats.stolen.whole()),
];

const GAUGES: [(&str, Level); 3] = [
    ("tidegate_waiting", |stats| stats.waiting as f64),
    ("tidegate_available_permits", |stats| stats.available as f64),
    ("tidegate_parked_permits", |stats| stats.parked.whole() as f64),
];

fn per_second(quota: Quota) -> f64 {
    if quota.is_unlimited() {
        f64::INFINITY
    } else if quota.is_blocked() {
        0.0
    } else {
        quota.rate_a_second()
    }
}

fn counter_of(
    metric: &'static str,
    kind: &'static str,
    name: &str,
    outcome: Option<&'static str>,
) -> Counter {
    let mut labels = vec![Label::new(kind, name.to_owned())];
    labels.extend(outcome.map(|outcome| Label::new("outcome", outcome)));
    counter!(metric, labels)
}

impl MetricsPublisher {
    /// Publishes nothing yet. See the example of [`MetricsPublisher`].
    pub const fn new() -> Self {
        Self { sources: Vec::new() }
    }

    /// Publishes a limiter from the next [`publish`](Self::publish) on, to the recorder that is installed now.
    ///
    /// # Errors
    /// - [`MetricsError::NotWatched`] if the limiter is not [watched](RateLimiter::watched).
    /// - [`MetricsError::NameTaken`] if a limiter of the same name was added before.
    pub fn add<C: Clock>(&mut self, limiter: &RateLimiter<C>) -> Result<(), MetricsError> {
        const KIND: &str = "limiter";
        let name = limiter.name().ok_or(MetricsError::NotWatched)?;
        let counters = COUNTERS.map(|(metric, outcome, _)| counter_of(metric, KIND, name, outcome));
        let gauges = GAUGES.map(|(metric, _)| gauge!(metric, KIND => name.to_owned()));
        let rate = gauge!("tidegate_permits_per_second", KIND => name.to_owned());
        let wait_seconds = histogram!("tidegate_wait_seconds", KIND => name.to_owned());
        let name = name.to_owned();
        let limiter = limiter.clone();
        // What has been published of the histogram.
        let mut before: Option<Waits> = None;
        let publish = move || {
            let Some(stats) = limiter.stats() else { return };
            for (counter, (_, _, count)) in counters.iter().zip(COUNTERS) {
                counter.absolute(count(&stats));
            }
            for (gauge, (_, level)) in gauges.iter().zip(GAUGES) {
                gauge.set(level(&stats));
            }
            rate.set(per_second(limiter.quota()));
            let waits = before.as_ref().map_or(stats.waits.clone(), |before| stats.waits.since(before));
            for (wait, count) in waits.buckets() {
                let wait = wait.min(waits.longest());
                wait_seconds.record_many(wait.as_secs_f64(), usize::try_from(count).unwrap_or(usize::MAX));
            }
            before = Some(stats.waits);
        };
        self.add_source(KIND, name, publish)
    }

    /// Publishes how many keys a table has, and how many it has given up with less than a full bucket: `tidegate_keys` and
    /// `tidegate_evicted_live_total`, with the label `table`. The keys themselves are never labels.
    ///
    /// # Errors
    /// [`MetricsError::NameTaken`] if a table of the same name was added before.
    ///
    /// ```
    /// use tidegate::{Keyed, MetricsPublisher, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_second(10));
    /// MetricsPublisher::new().add_keyed("users", &users).unwrap();
    /// ```
    #[cfg(feature = "keyed")]
    pub fn add_keyed<K, S, C>(
        &mut self,
        name: impl Into<String>,
        table: &Keyed<K, S, C>,
    ) -> Result<(), MetricsError>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        S: BuildHasher + Send + Sync + 'static,
        C: Clock + Clone,
    {
        const KIND: &str = "table";
        let name = name.into();
        let keys = gauge!("tidegate_keys", KIND => name.clone());
        let evicted = counter_of("tidegate_evicted_live_total", KIND, &name, None);
        let table = table.clone();
        self.add_source(KIND, name, move || {
            keys.set(table.len() as f64);
            evicted.absolute(table.evicted_live());
        })
    }

    /// Publishes the [counts](crate::tower::LimitLayer::counts) of a layer of a server: `tidegate_http_requests_total` with the
    /// labels `layer` and `outcome`, one of `admitted`, `refused`, `shadowed`, `skipped`, `refunded`.
    ///
    /// # Errors
    /// [`MetricsError::NameTaken`] if a layer of the same name was added before.
    ///
    /// ```
    /// use tidegate::{MetricsPublisher, Quota, RateLimiter, tower::{LimitLayer, Policy}};
    /// let limiter = RateLimiter::new(Quota::per_second(100));
    /// let layer = LimitLayer::<String>::new().policy(Policy::global("all", &limiter));
    /// MetricsPublisher::new().add_layer("public", &layer).unwrap();
    /// ```
    #[cfg(feature = "tower")]
    pub fn add_layer<B: 'static>(
        &mut self,
        name: impl Into<String>,
        layer: &LimitLayer<B>,
    ) -> Result<(), MetricsError> {
        const KIND: &str = "layer";
        const OUTCOMES: [&str; 5] = ["admitted", "refused", "shadowed", "skipped", "refunded"];
        let name = name.into();
        let counters =
            OUTCOMES.map(|outcome| counter_of("tidegate_http_requests_total", KIND, &name, Some(outcome)));
        let layer = layer.clone();
        self.add_source(KIND, name, move || {
            let Counts { admitted, refused, shadowed, skipped, refunded } = layer.counts();
            for (counter, count) in counters.iter().zip([admitted, refused, shadowed, skipped, refunded]) {
                counter.absolute(count);
            }
        })
    }

    /// Publishes the [counts](crate::client::ClientLayer::counts) of a layer of a client: `tidegate_client_requests_total` with the
    /// labels `client` and `outcome`, one of `sent`, `limited`, `refused`, and `tidegate_client_pauses_total` and
    /// `tidegate_client_malformed_total`.
    ///
    /// # Errors
    /// [`MetricsError::NameTaken`] if a client of the same name was added before.
    ///
    /// ```
    /// use tidegate::{MetricsPublisher, Quota, RateLimiter, client::ClientLayer};
    /// let layer = ClientLayer::new(&RateLimiter::new(Quota::per_second(100)));
    /// MetricsPublisher::new().add_client("partner", &layer).unwrap();
    /// ```
    #[cfg(feature = "client")]
    pub fn add_client(&mut self, name: impl Into<String>, layer: &ClientLayer) -> Result<(), MetricsError> {
        const KIND: &str = "client";
        let name = name.into();
        let requests = ["sent", "limited", "refused"]
            .map(|outcome| counter_of("tidegate_client_requests_total", KIND, &name, Some(outcome)));
        let pauses = counter_of("tidegate_client_pauses_total", KIND, &name, None);
        let malformed = counter_of("tidegate_client_malformed_total", KIND, &name, None);
        let layer = layer.clone();
        self.add_source(KIND, name, move || {
            let counts = layer.counts();
            for (counter, count) in requests.iter().zip([counts.sent, counts.limited, counts.refused]) {
                counter.absolute(count);
            }
            pauses.absolute(counts.pauses);
            malformed.absolute(counts.malformed);
        })
    }

    fn add_source(
        &mut self,
        kind: &'static str,
        name: String,
        publish: impl FnMut() + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        if self.sources.iter().any(|known| known.kind == kind && known.name == name) {
            return Err(MetricsError::NameTaken(name));
        }
        self.sources.push(Source { kind, name, publish: Box::new(publish) });
        Ok(())
    }

    /// Publishes what has changed since the last time.
    pub fn publish(&mut self) {
        for source in &mut self.sources {
            (source.publish)();
        }
    }
}

impl fmt::Debug for MetricsPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.sources.iter().map(|source| (source.kind, &source.name));
        f.debug_map().entries(names).finish()
    }
}
