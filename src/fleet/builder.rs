//! The choices of a fleet.

use core::{fmt, hash::Hash, time::Duration};
use std::sync::Arc;

use super::{
    Fleet, FleetStore, KeyedFleet,
    authority::Terms,
    books::Pace,
    choices::{CALL_TIMEOUT, Choices},
    error::FleetError,
    outage::OnOutage,
    redis::{RedisStore, RedisStores},
};
use crate::{
    clock::{Clock, QuantaClock},
    quota::Quota,
};

/// The validity of a lease, if the burst leaves room for it.
const USUAL_TTL_NS: u128 = 1_000_000_000;

/// The shortest validity: a few ticks of a timer for each part of it.
const LEAST_TTL_NS: u128 = 20_000_000;

/// Some seventy MiB.
const MAX_KEYS: usize = 10_000;

/// Builds a [`Fleet`].
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use tidegate::{Fleet, OnOutage, Quota};
///
/// # async fn f() -> Result<(), tidegate::FleetError> {
/// let fleet = Fleet::builder("api", Quota::per_second(1000).with_burst(500))
///     .set_aside(100)
///     .on_outage(OnOutage::Closed)
///     .call_timeout(Duration::from_millis(20))
///     .join("redis://:password@10.0.0.7:6379/2")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing before `join`"]
pub struct FleetBuilder<C = QuantaClock> {
    name: String,
    quota: Quota,
    set_aside: Option<u64>,
    on_outage: OnOutage,
    call_timeout: Duration,
    max_keys: usize,
    clock: C,
}

impl Fleet {
    /// A process of the fleet of this name, with this quota. All processes have to give the same quota; if they differ, as
    /// during a deployment, each call counts by the quota of its process, and the level is kept.
    ///
    /// The name is the key on the server, in braces unless it has a part in braces: `{api}`, and `{api}:members` for the
    /// set of processes. Both are in one slot of a cluster.
    ///
    /// See the example of [`Fleet`].
    pub fn builder(name: impl Into<String>, quota: Quota) -> FleetBuilder {
        FleetBuilder {
            name: name.into(),
            quota,
            set_aside: None,
            on_outage: OnOutage::default(),
            call_timeout: CALL_TIMEOUT,
            max_keys: MAX_KEYS,
            clock: QuantaClock::new(),
        }
    }
}

impl<C: Clock> FleetBuilder<C> {
    /// The permits of the burst that are set aside for leases. A lease is valid for the time in which so many come at the
    /// full rate. Default: the permits of one second, but at most half of the burst.
    ///
    /// More permits make longer leases, so fewer permits of idle processes go back unused. With zero, nothing is set aside,
    /// leases are valid for a second, and a window may see up to one second's permits more than `burst + rate * w`.
    ///
    /// All processes have to choose the same.
    pub fn set_aside(mut self, permits: u64) -> Self {
        self.set_aside = Some(permits);
        self
    }

    /// What this process admits while it does not reach the server. Default: [`OnOutage::LocalShare`].
    pub fn on_outage(mut self, policy: OnOutage) -> Self {
        self.on_outage = policy;
        self
    }

    /// How long a call to the server may take, with the time to connect. Default: 50 ms.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// The clock of this process, such as a [`TokioClock`](crate::TokioClock) in tests. The server has its own.
    pub fn clock<D: Clock>(self, clock: D) -> FleetBuilder<D> {
        let Self { name, quota, set_aside, on_outage, call_timeout, max_keys, clock: _ } = self;
        FleetBuilder { name, quota, set_aside, on_outage, call_timeout, max_keys, clock }
    }

    /// How many unused keys a process keeps, for [`join_keyed`](Self::join_keyed). Default: 10,000.
    ///
    /// A new key in a full table drops the keys that no caller has used for a second, or, if there are none, all that no caller
    /// uses now. Their state stays at the server. While the server is away no key is dropped. Then a new key in a full table is
    /// granted nothing, whatever [`OnOutage`] says.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Joins the fleet on a [`FleetStore`], or on the server at an address, such as `redis://localhost:6379`, and spawns its task
    /// on the present tokio runtime. That runtime has to stay and to be driven: callers wait for its answers. Give it more than one
    /// thread, or tasks that do not block.
    ///
    /// A server that is away is no error: the process then begins with [`OnOutage`].
    ///
    /// # Errors
    /// If the quota, the name or the address does not suit; see [`FleetError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without time or network.
    pub async fn join<S>(self, server: S) -> Result<Fleet<C>, FleetError>
    where
        S: TryInto<FleetStore>,
        FleetError: From<S::Error>,
    {
        let choices = self.choices()?;
        let server = server.try_into()?;
        let store = RedisStore::new(server.link(), &self.name, &choices)?;
        Fleet::join_at(&choices, Arc::new(self.clock), Arc::new(store)).await
    }

    /// Joins a fleet for each key, as [`join`](Self::join). The name must not have braces; the server keeps the set of processes
    /// under `name:members`.
    ///
    /// See the example of [`KeyedFleet`].
    ///
    /// # Errors
    /// As [`join`](Self::join).
    ///
    /// # Panics
    /// As [`join`](Self::join).
    pub async fn join_keyed<K, S>(self, server: S) -> Result<KeyedFleet<K, C>, FleetError>
    where
        K: Hash + Eq + fmt::Display + Send + Sync + 'static,
        S: TryInto<FleetStore>,
        FleetError: From<S::Error>,
    {
        let choices = self.choices()?;
        let server = server.try_into()?;
        let Self { name, clock, max_keys, .. } = self;
        let stores = RedisStores::new(server.link(), name, &choices)?;
        let keyed = KeyedFleet::new(Arc::new(stores), choices, Arc::new(clock), max_keys)?;
        keyed.start().await;
        Ok(keyed)
    }

    /// Checks the choices.
    pub(super) fn choices(&self) -> Result<Choices, FleetError> {
        let Self { quota, set_aside, on_outage, call_timeout, .. } = *self;
        if quota.is_fixed() {
            return Err(FleetError::Fixed);
        }
        if call_timeout.is_zero() {
            return Err(FleetError::Duration(call_timeout));
        }
        let (set_aside, ttl) = leases(&quota, set_aside)?;
        let burst = quota.burst().saturating_sub(set_aside);
        if burst == 0 {
            return Err(FleetError::BurstTooSmall { burst: quota.burst(), set_aside });
        }
        let terms = Terms::new(&quota, burst)?;
        Ok(Choices { quota, burst, terms, pace: Pace::of_ttl(ttl), on_outage, call_timeout })
    }
}

/// The permits to set aside, and how long a lease is valid.
fn leases(quota: &Quota, chosen: Option<u64>) -> Result<(u64, Duration), FleetError> {
    let (permits, period_ns) = quota.rate();
    // No overflow: `permits` is below 2^64, and a second is below 2^30 ns.
    let permits_in = |ns: u128| (u128::from(permits) * ns).div_ceil(period_ns) as u64;
    let least = permits_in(LEAST_TTL_NS);
    let set_aside = chosen.unwrap_or_else(|| permits_in(USUAL_TTL_NS).min(quota.burst() / 2).max(least));
    if set_aside == 0 {
        return Ok((0, Duration::from_nanos(USUAL_TTL_NS as u64)));
    }
    if set_aside < least {
        return Err(FleetError::LeaseTooShort { set_aside, least });
    }
    let ttl_ns = u128::from(set_aside) * period_ns / u128::from(permits);
    Ok((set_aside, Duration::from_nanos(u64::try_from(ttl_ns).unwrap_or(u64::MAX))))
}

impl<C: fmt::Debug> fmt::Debug for FleetBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetBuilder")
            .field("name", &self.name)
            .field("quota", &self.quota)
            .finish_non_exhaustive()
    }
}
