//! The counters of fleets.

use core::{fmt, hash::Hash};

use metrics::gauge;

use super::{MetricsError, MetricsPublisher, counter_of};
use crate::{Clock, Fleet, FleetReport, KeyedFleet};

const KIND: &str = "fleet";

type Count = fn(&FleetReport) -> u64;

const COUNTERS: [(&str, Count); 6] = [
    ("tidegate_fleet_calls_total", FleetReport::calls),
    ("tidegate_fleet_failed_calls_total", FleetReport::failed),
    ("tidegate_fleet_outages_total", FleetReport::outages),
    ("tidegate_fleet_leased_permits_total", FleetReport::leased),
    ("tidegate_fleet_given_back_permits_total", FleetReport::given_back),
    ("tidegate_fleet_unleased_permits_total", FleetReport::unleased),
];

impl MetricsPublisher {
    /// Publishes the [report](Fleet::report) of this process of a fleet, with the label `fleet`. A publisher does not keep the
    /// process in the fleet.
    ///
    /// | metric | kind |
    /// |---|---|
    /// | `tidegate_fleet_away` | gauge: 1 while the server cannot be reached, otherwise 0 |
    /// | `tidegate_fleet_members` | gauge: the processes, as last counted by the server |
    /// | `tidegate_fleet_calls_total`, `tidegate_fleet_failed_calls_total` | counters: calls to the server |
    /// | `tidegate_fleet_outages_total` | counter |
    /// | `tidegate_fleet_leased_permits_total`, `tidegate_fleet_given_back_permits_total` | counters |
    /// | `tidegate_fleet_unleased_permits_total` | counter: permits taken without the server while it was away |
    ///
    /// What callers of this process ask for, and how long they wait, is told by its limiter:
    /// `publisher.add(&fleet.limiter().clone().watched("api"))`.
    ///
    /// # Errors
    /// [`MetricsError::NameTaken`] if a fleet of the same name was added before.
    ///
    /// ```no_run
    /// use tidegate::{Fleet, MetricsPublisher, Quota};
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let fleet = Fleet::builder("api", Quota::per_second(1000)).join("redis://localhost").await?;
    /// let mut publisher = MetricsPublisher::new();
    /// publisher.add_fleet("api", &fleet)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_fleet<C: Clock>(
        &mut self,
        name: impl Into<String>,
        fleet: &Fleet<C>,
    ) -> Result<(), MetricsError> {
        self.add_report(name.into(), fleet.reporter())
    }

    /// Publishes the [report](KeyedFleet::report) of this process of a fleet for each key: the metrics of
    /// [`add_fleet`](Self::add_fleet), of all keys together. The keys themselves are never labels.
    ///
    /// # Errors
    /// [`MetricsError::NameTaken`] if a fleet of the same name was added before.
    ///
    /// ```no_run
    /// use tidegate::{Fleet, FleetStore, KeyedFleet, MetricsPublisher, Quota};
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = FleetStore::new("redis://localhost")?;
    /// let users: KeyedFleet<u64> = Fleet::builder("users", Quota::per_second(10)).join_keyed(&store).await?;
    /// let mut publisher = MetricsPublisher::new();
    /// publisher.add_keyed_fleet("users", &users)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_keyed_fleet<K, C>(
        &mut self,
        name: impl Into<String>,
        fleet: &KeyedFleet<K, C>,
    ) -> Result<(), MetricsError>
    where
        K: Hash + Eq + fmt::Display + Send + Sync + 'static,
        C: Clock,
    {
        self.add_report(name.into(), fleet.reporter())
    }

    fn add_report(
        &mut self,
        name: String,
        report: impl Fn() -> FleetReport + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let counters = COUNTERS.map(|(metric, _)| counter_of(metric, KIND, &name, None));
        let away = gauge!("tidegate_fleet_away", KIND => name.clone());
        let members = gauge!("tidegate_fleet_members", KIND => name.clone());
        self.add_source(KIND, name, move || {
            let report = report();
            for (counter, (_, count)) in counters.iter().zip(COUNTERS) {
                counter.absolute(count(&report));
            }
            away.set(if report.is_away() { 1.0 } else { 0.0 });
            members.set(report.members() as f64);
        })
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
