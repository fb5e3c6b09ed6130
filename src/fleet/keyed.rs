//! A fleet for each key. Each key in use has a member of its own; all of them share a connection, which pipelines their
//! calls, and a task that reports the process and drops keys that nobody uses.

use core::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
    sync::atomic::Ordering,
    time::Duration,
};
use std::{
    collections::{HashMap, hash_map::RandomState},
    sync::{Arc, Weak},
};

use parking_lot::RwLock;
use tokio::{runtime::Handle as Runtime, time::sleep};

use super::{
    Fleet, Handle,
    choices::Choices,
    error::FleetError,
    member::BEAT,
    outage::OnOutage,
    report::{Counters, FleetReport},
    store::{Store, Stores},
};
use crate::{
    clock::{Clock, QuantaClock},
    error::Denied,
    permits::Amount,
    quota::Quota,
    sync::plain::AtomicU64,
};

const SHARDS: usize = 16;

/// A key that was not used for so long is dropped from the table.
const IDLE_NS: u64 = 10_000_000_000;

/// If the table is full, keys that were not used for so long go first.
const RECENT_NS: u64 = 1_000_000_000;

/// A quota for each key, such as a user or a tenant, shared by all processes that join by the same name.
///
/// Each key that is in use has a [`Fleet`] of its own in the process, with a task that leases permits for it. All keys use one
/// connection. A key that is not used for ten seconds, and of which nobody holds a handle, is dropped: its unused permits go
/// back, and its debt goes to the server. So a table needs some seven KiB for each key of the last ten seconds, whatever the number of
/// keys that were ever used.
///
/// The server keeps the state of a key under `name:{key}`, with the text of the key, until its bucket is full again. In a
/// cluster, keys are spread over all nodes.
///
/// Cloning gives another handle on the same table. When the last one is dropped, all keys are, except those of which a caller holds
/// a handle.
///
/// # What is admitted, fairness, outages
/// As by [`Fleet`], for each key. As there, the first call for a key is refused if it does not wait, so prefer
/// [`acquire_within`](Self::acquire_within).
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use tidegate::{Fleet, KeyedFleet, Quota};
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let quota = Quota::per_second(100).with_burst(50);
/// let tenants: KeyedFleet<String> =
///     Fleet::builder("tenants", quota).join_keyed("redis://localhost:6379").await?;
/// match tenants.acquire_within("acme", 1, Duration::from_millis(50)).await {
///     Ok(()) => { /* serve the request */ }
///     Err(denied) => println!("{denied}"),
/// }
/// // All that a fleet can do, for one key.
/// tenants.get("acme").pause_for(Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
pub struct KeyedFleet<K, C: Clock = QuantaClock> {
    table: Arc<Table<K, C>>,
}

/// The handles on a limiter that the table and the task have.
const LIMITERS: usize = 2;

type Keys<K, C> = HashMap<K, Entry<C>, RandomState>;

struct Table<K, C: Clock> {
    shards: Box<[RwLock<Keys<K, C>>]>,
    hasher: RandomState,
    max_keys_of_shard: usize,
    stores: Arc<dyn Stores>,
    choices: Choices,
    base: Arc<C>,
    counters: Arc<Counters>,
    runtime: Runtime,
}

struct Entry<C: Clock> {
    fleet: Fleet<C>,
    used_ns: AtomicU64,
}

impl<C: Clock> Entry<C> {
    fn get(&self, now_ns: u64) -> Fleet<C> {
        // Relaxed, here and below: a time alone.
        self.used_ns.store(now_ns, Ordering::Relaxed);
        self.fleet.clone()
    }

    /// Whether nobody has a handle or a part of the limiter, nor got one within this time. While the server is away no key is
    /// unused: what it has taken without the server would be forgotten.
    fn is_unused(&self, now_ns: u64, within_ns: u64) -> bool {
        let handle = &self.fleet.handle;
        let used_ns = self.used_ns.load(Ordering::Relaxed);
        // Under the write lock nobody can get a handle from here, nor clone one if this is the only one. The same holds for the limiter.
        let is_free =
            Arc::strong_count(handle) == 1 && Arc::strong_count(handle.limiter.driver()) == LIMITERS;
        is_free && !handle.mail.is_away() && now_ns.saturating_sub(used_ns) >= within_ns
    }
}

impl<K, C: Clock> Table<K, C> {
    /// A fleet for a key, whose task runs.
    fn spawn(&self, store: Arc<dyn Store>, on_outage: OnOutage) -> Fleet<C> {
        let (base, counters) = (Arc::clone(&self.base), Arc::clone(&self.counters));
        let choices = Choices { on_outage, ..self.choices };
        let (handle, mut member) = Handle::new(&choices, base, store, counters)
            .expect("choices of which a member was made when the fleet was joined");
        // The key is here because a caller wants permits, which the first call should ask for.
        member.put_off_beat();
        self.runtime.spawn(member.run());
        Fleet { handle: Arc::new(handle) }
    }
}

impl<K: Hash + Eq, C: Clock> Table<K, C> {
    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<Keys<K, C>> {
        // The upper bits: the map uses the others, and the same hasher.
        let hash = self.hasher.hash_one(key);
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    /// Drops all keys that nobody uses.
    fn drop_idle(&self) {
        for shard in &self.shards {
            let now_ns = self.base.now();
            let dropped = take_unused(&mut shard.write(), now_ns, IDLE_NS);
            // Without the lock: it closes limiters.
            drop(dropped);
        }
    }
}

#[allow(clippy::incompatible_msrv, reason = "the feature `redis` needs Rust 1.88")]
fn take_unused<K: Hash + Eq, C: Clock>(
    keys: &mut Keys<K, C>,
    now_ns: u64,
    within_ns: u64,
) -> Vec<(K, Entry<C>)> {
    keys.extract_if(|_, entry| entry.is_unused(now_ns, within_ns)).collect()
}

impl<K: Hash + Eq + fmt::Display + Send + Sync + 'static, C: Clock> KeyedFleet<K, C> {
    pub(super) fn new(
        stores: Arc<dyn Stores>,
        choices: Choices,
        base: Arc<C>,
        max_keys: usize,
    ) -> Result<Self, FleetError> {
        let hasher = RandomState::new();
        let shards = (0..SHARDS).map(|_| RwLock::new(HashMap::with_hasher(hasher.clone()))).collect();
        let counters = Arc::new(Counters::default());
        counters.members.set(1);
        let max_keys_of_shard = max_keys.div_ceil(SHARDS);
        let runtime = Runtime::current();
        // If one member can be made, all can.
        Handle::new(&choices, Arc::clone(&base), stores.of_key(&""), Arc::clone(&counters))?;
        let table = Table { shards, hasher, max_keys_of_shard, stores, choices, base, counters, runtime };
        Ok(Self { table: Arc::new(table) })
    }

    /// Reports the process, and spawns the task that does so from now on.
    pub(super) async fn start(&self) {
        let table = &self.table;
        let (stores, counters) = (Arc::clone(&table.stores), Arc::clone(&table.counters));
        let mut report = Report { stores, counters, is_away: false };
        report.send().await;
        tokio::spawn(keep(Arc::downgrade(table), report));
    }

    /// The fleet of this key. The key stays in the table while a caller holds it, or its limiter, or a call or
    /// [reservation](crate::Reservation) of that.
    ///
    /// [`Fleet::report`] of it is about all keys of the process.
    pub fn get<Q>(&self, key: &Q) -> Fleet<C>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let table = &*self.table;
        let shard = table.shard(key);
        let now_ns = table.base.now();
        if let Some(entry) = shard.read().get(key) {
            return entry.get(now_ns);
        }
        let key: K = key.to_owned();
        // Without the lock, as it calls the key's `Display`.
        let store = table.stores.of_key(&key);
        let mut keys = shard.write();
        // Another caller may have been here meanwhile.
        if let Some(entry) = keys.get(key.borrow()) {
            return entry.get(now_ns);
        }
        let mut dropped = Vec::new();
        if keys.len() >= table.max_keys_of_shard {
            dropped = take_unused(&mut keys, now_ns, RECENT_NS);
            if dropped.is_empty() {
                dropped = take_unused(&mut keys, now_ns, 0);
            }
            let is_away = || keys.values().any(|entry| entry.fleet.handle.mail.is_away());
            if dropped.is_empty() && is_away() {
                drop(keys);
                // For this caller alone. It takes nothing without the server, which would be forgotten.
                return table.spawn(store, OnOutage::Closed);
            }
        }
        let fleet = table.spawn(store, table.choices.on_outage);
        keys.insert(key, Entry { fleet: fleet.clone(), used_ns: AtomicU64::new(now_ns) });
        drop(keys);
        // Without the lock, as above.
        drop(dropped);
        fleet
    }

    /// Takes `n` permits of this key if this process has leased them and no caller waits, as [`Fleet::try_acquire_n`].
    ///
    /// # Errors
    /// As [`Fleet::try_acquire_n`].
    pub fn try_acquire_n<Q>(&self, key: &Q, n: impl Amount) -> Result<(), Denied>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.get(key).try_acquire_n(n)
    }

    /// Waits for `n` permits of this key, as [`Fleet::acquire_n`].
    ///
    /// # Errors
    /// As [`Fleet::acquire_n`].
    ///
    /// # Cancel safety
    /// As [`Fleet::acquire_n`].
    pub async fn acquire_n<Q>(&self, key: &Q, n: impl Amount) -> Result<(), Denied>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let fleet = self.get(key);
        fleet.acquire_n(n).await.map_err(Denied::from)
    }

    /// Waits for `n` permits of this key for at most `max_wait`, as [`Fleet::acquire_within`].
    ///
    /// # Errors
    /// As [`Fleet::acquire_within`].
    ///
    /// # Cancel safety
    /// As [`Fleet::acquire_within`].
    pub async fn acquire_within<Q>(&self, key: &Q, n: impl Amount, max_wait: Duration) -> Result<(), Denied>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let fleet = self.get(key);
        fleet.acquire_within(n, max_wait).await
    }

    /// The quota of each key, for all processes together.
    pub fn quota(&self) -> Quota {
        self.table.choices.quota
    }

    /// The keys in the table of this process.
    pub fn len(&self) -> usize {
        self.table.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether the table of this process has no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What this process has done for all keys since it joined, and whether it reaches the server.
    pub fn report(&self) -> FleetReport {
        self.table.counters.report()
    }

    /// As [`Fleet::reporter`].
    #[cfg(feature = "metrics")]
    pub(crate) fn reporter(&self) -> impl Fn() -> FleetReport + use<K, C> {
        Counters::reporter(&self.table.counters)
    }
}

/// The report that the process is there.
struct Report {
    stores: Arc<dyn Stores>,
    counters: Arc<Counters>,
    is_away: bool,
}

impl Report {
    /// If the call fails, the last count of processes stays. Members notice by themselves that the server is away.
    async fn send(&mut self) {
        self.counters.calls.add(1);
        if let Ok(members) = self.stores.beat().await {
            self.counters.members.set(members.max(1));
            if core::mem::take(&mut self.is_away) {
                self.counters.came_back();
            }
        } else {
            self.counters.failed.add(1);
            if !core::mem::replace(&mut self.is_away, true) && self.counters.went_away() {
                self.counters.outages.add(1);
            }
        }
    }
}

/// Reports the process, and drops keys that nobody uses, until the table is gone.
async fn keep<K: Hash + Eq, C: Clock>(table: Weak<Table<K, C>>, mut report: Report) {
    loop {
        sleep(BEAT).await;
        match table.upgrade() {
            Some(table) => table.drop_idle(),
            None => return,
        }
        report.send().await;
    }
}

impl<K, C: Clock> Clone for KeyedFleet<K, C> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

impl<K, C: Clock> fmt::Debug for KeyedFleet<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedFleet")
            .field("quota", &format_args!("{}", self.table.choices.quota))
            .field("report", &self.table.counters.report())
            .finish_non_exhaustive()
    }
}
