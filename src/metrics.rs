//! Counters of watched limiters through the facade `metrics` (feature `metrics`).

use core::fmt;

use metrics::{Counter, Gauge, Histogram, Label, counter, gauge, histogram};

use crate::{Clock, RateLimiter, Stats, Waits};

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
/// | `tidegate_wait_seconds` | histogram | |
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
    limiters: Vec<Published>,
}

/// Why a limiter was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsError {
    /// The limiter counts nothing.
    NotWatched,
    /// A limiter of this name was added before.
    NameTaken(String),
}

impl fmt::Display for MetricsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWatched => f.write_str("the limiter counts nothing: make it with `.watched(name)`"),
            Self::NameTaken(name) => {
                write!(f, "a limiter named {name:?} is published: give each its own name")
            }
        }
    }
}

impl core::error::Error for MetricsError {}

struct Published {
    name: String,
    stats: Box<dyn Fn() -> Option<Stats> + Send + Sync>,
    counters: [Counter; COUNTERS.len()],
    gauges: [Gauge; GAUGES.len()],
    wait_seconds: Histogram,
    /// What has been published of the histogram.
    waits: Option<Waits>,
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

impl MetricsPublisher {
    /// Publishes nothing yet. See the example of [`MetricsPublisher`].
    pub const fn new() -> Self {
        Self { limiters: Vec::new() }
    }

    /// Publishes a limiter from the next [`publish`](Self::publish) on, to the recorder that is installed now.
    ///
    /// # Errors
    /// - [`MetricsError::NotWatched`] if the limiter is not [watched](RateLimiter::watched).
    /// - [`MetricsError::NameTaken`] if a limiter of the same name was added before.
    pub fn add<C: Clock>(&mut self, limiter: &RateLimiter<C>) -> Result<(), MetricsError> {
        let name = limiter.name().ok_or(MetricsError::NotWatched)?.to_owned();
        if self.limiters.iter().any(|known| known.name == name) {
            return Err(MetricsError::NameTaken(name));
        }
        let limiter = limiter.clone();
        self.limiters.push(Published {
            stats: Box::new(move || limiter.stats()),
            counters: COUNTERS.map(|(metric, outcome, _)| {
                let mut labels = vec![Label::new("limiter", name.clone())];
                labels.extend(outcome.map(|outcome| Label::new("outcome", outcome)));
                counter!(metric, labels)
            }),
            gauges: GAUGES.map(|(metric, _)| gauge!(metric, "limiter" => name.clone())),
            wait_seconds: histogram!("tidegate_wait_seconds", "limiter" => name.clone()),
            waits: None,
            name,
        });
        Ok(())
    }

    /// Publishes what has changed since the last time.
    pub fn publish(&mut self) {
        for published in &mut self.limiters {
            let Some(stats) = (published.stats)() else { continue };
            for (counter, (_, _, count)) in published.counters.iter().zip(COUNTERS) {
                counter.absolute(count(&stats));
            }
            for (gauge, (_, level)) in published.gauges.iter().zip(GAUGES) {
                gauge.set(level(&stats));
            }
            let waits =
                published.waits.as_ref().map_or(stats.waits.clone(), |before| stats.waits.since(before));
            for (wait, count) in waits.buckets() {
                let wait = wait.min(waits.longest());
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                published.wait_seconds.record_many(wait.as_secs_f64(), count);
            }
            published.waits = Some(stats.waits);
        }
    }
}

impl fmt::Debug for MetricsPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.limiters.iter().map(|published| &published.name);
        f.debug_list().entries(names).finish()
    }
}
