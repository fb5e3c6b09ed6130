//! A limiter for each key, at the cost of a word and the key.

mod builder;
mod calls;
mod shard;

use core::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
};
use std::{hash::RandomState, sync::Arc};

use crossbeam_utils::CachePadded;

use self::shard::{At, NoRoom, Seen, Shard};
pub use self::{builder::KeyedBuilder, shard::WhenFull};
use crate::{
    clock::{Clock, QuantaClock},
    error::{Denied, QuotaError},
    gcra::Scale,
    limiter::{Level, RateLimiter},
    permits::Permits,
    queue::LevelAt,
    quota::{Inherit, Quota},
    sync::plain::{Mutex, RwLock},
};

/// A limiter for each key, such as a user or an address, each with the same quota.
///
/// A key costs its own size and a word: some 40 bytes with a key of 8 bytes, 80 with an `IpAddr`. A clone is another handle
/// on the same table. Keys can be looked up by a borrowed form, such as `&str` for `String`.
///
/// # Keys come and go
/// A key whose bucket is full again is the same as an unknown key. Each new key removes a few of those, so the table
/// shrinks while it is used. There are never more keys than [`max_keys`](KeyedBuilder::max_keys), a million unless set.
/// [`WhenFull`] says what becomes of a new key then. By default it evicts the key with the fullest bucket of a few.
///
/// # One key in full
/// [`limiter`](Self::limiter) gives a [`RateLimiter`] of one key, with all that it can do: pause, reserve, settle, charge, join
/// other limits in an [`AllOf`](crate::AllOf), a quota of its own. The methods here that wait use it, too. While a key has such
/// a handle, a waiter, a pause, a debt or a quota of its own, it costs about one kilobyte more, and is not evicted. After that
/// it is a word again from the next call for it or for a few new keys on, and other settings of its limiter are lost. To end a
/// quota of its own, set that of the table: `users.limiter(&key)?.set_quota(users.quota())`.
///
/// # Fairness and cancel safety
/// By key, as [`RateLimiter::acquire`].
///
/// # Security
/// The hasher is [`RandomState`] unless set: keys that an attacker chooses do not collide on purpose. Do not set a faster one
/// for such keys. Watch [`evicted_live`](Self::evicted_live): it grows when somebody sends more keys than there is room for.
///
/// # Panics
/// A panic of the key's `Hash`, `Eq` or `Clone`, or of the clock, reaches the caller. The table can be used afterwards. None of
/// them, nor the key's `Drop`, may call the table: it holds a lock meanwhile.
///
/// # Examples
/// ```
/// use tidegate::{Keyed, Quota};
///
/// let users: Keyed<String> = Keyed::new(Quota::per_minute(60).with_burst(2));
/// assert!(users.try_acquire("ada").is_ok());
/// assert!(users.try_acquire("ada").is_ok());
/// assert_eq!(users.try_acquire("ada").unwrap_err().retry_after_secs(), Some(1));
/// assert!(users.try_acquire("grace").is_ok());
/// assert_eq!(users.len(), 2);
/// ```
pub struct Keyed<K, S = RandomState, C: Clock = QuantaClock> {
    table: Arc<Table<K, S, C>>,
}

type Locked<K, C> = CachePadded<RwLock<Shard<K, C>>>;

struct Table<K, S, C: Clock> {
    shards: Box<[Locked<K, C>]>,
    hasher: S,
    clock: C,
    max_keys_of_shard: usize,
    when_full: WhenFull,
    max_waiters: usize,
    /// For new keys when the table is full, with [`WhenFull::ShareOverflow`].
    overflow: RateLimiter<C>,
    /// Held while the quota is replaced.
    change: Mutex<()>,
}

/// What a table is made from.
struct Setup<S, C> {
    quota: Quota,
    max_keys: usize,
    when_full: WhenFull,
    max_waiters: usize,
    hasher: S,
    clock: C,
}

/// What became of a call for a key.
enum Looked<C: Clock, R> {
    Taken(R),
    /// The key has a limiter of its own, or shares that of all new keys. Nothing was taken.
    Limiter(RateLimiter<C>),
}

/// A key, or what a key can be borrowed as, such as `str` for `String`. It is implemented for all of them.
pub trait Lookup<K>: Hash {
    /// Whether it is the same as `key`.
    fn is(&self, key: &K) -> bool;

    /// The key, for the table.
    fn to_key(&self) -> K;
}

impl<K, Q> Lookup<K> for Q
where
    K: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    fn is(&self, key: &K) -> bool {
        self == key.borrow()
    }

    fn to_key(&self) -> K {
        self.to_owned()
    }
}

impl<K, S, C> Keyed<K, S, C>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
    C: Clock + Clone,
{
    fn build(setup: Setup<S, C>) -> Result<Self, QuotaError> {
        let Setup { quota, max_keys, when_full, max_waiters, hasher, clock } = setup;
        let scale = scale_of(&quota)?;
        let overflow = RateLimiter::try_with_clock(quota, clock.clone())?;
        let shards = shards_for(max_keys);
        let now_ns = clock.now();
        let shard = |_| CachePadded::new(RwLock::new(Shard::new(quota, scale, now_ns)));
        let table = Table {
            shards: (0..shards).map(shard).collect(),
            hasher,
            clock,
            max_keys_of_shard: max_keys / shards,
            when_full,
            max_waiters,
            overflow,
            change: Mutex::new(()),
        };
        Ok(Self { table: Arc::new(table) })
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard<K, C>> {
        // hashbrown uses the lowest bits and the highest seven.
        &self.table.shards[(hash >> 32) as usize & (self.table.shards.len() - 1)]
    }

    /// As [`take`](Self::take), for a caller that waits if it is refused: it may use the credit of a late timer.
    #[cfg(feature = "tower")]
    pub(crate) fn take_to_wait<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        permits: Permits,
    ) -> Result<Level, Denied> {
        match self.look(key, permits, Level::new)? {
            Looked::Taken(level) => Ok(level),
            Looked::Limiter(limiter) => limiter.take_to_wait(permits),
        }
    }

    /// Takes permits of a key, unless it has a limiter of its own. `report` makes the answer of the level.
    fn look<Q: Lookup<K> + ?Sized, R>(
        &self,
        key: &Q,
        permits: Permits,
        report: impl Fn(LevelAt) -> R,
    ) -> Result<Looked<C, R>, Denied> {
        let table = &*self.table;
        let hash = table.hasher.hash_one(key);
        let now_ns = table.clock.now();
        let is_key = |known: &K| key.is(known);
        let seen = self.shard(hash).read().take(hash, is_key, permits, now_ns, &report);
        let seen = match seen {
            Seen::Unknown => self.take_or_add(hash, key, permits, report),
            seen => Ok(seen),
        };
        match seen {
            Ok(Seen::Admitted(answer)) => Ok(Looked::Taken(answer)),
            Ok(Seen::Refused(denied)) => Err(denied),
            Ok(Seen::Promoted(limiter)) => Ok(Looked::Limiter(limiter)),
            Err(NoRoom::Overflow) => Ok(Looked::Limiter(table.overflow.clone())),
            Ok(Seen::Unknown) | Err(NoRoom::Refused) => Err(Denied::TooManyKeys),
        }
    }

    #[cold]
    fn take_or_add<Q: Lookup<K> + ?Sized, R>(
        &self,
        hash: u64,
        key: &Q,
        permits: Permits,
        report: impl Fn(LevelAt) -> R,
    ) -> Result<Seen<C, R>, NoRoom> {
        self.write(self.shard(hash), hash, |shard, at| {
            let add = |shard: &mut Shard<K, C>| self.room(shard, at, key);
            shard.take_or_add(at, |known| key.is(known), permits, add, report)
        })
    }

    /// Runs `change` with the write lock of a shard, and a clock reading made under it: see the invariants of `shard`.
    fn write<R>(
        &self,
        shard: &RwLock<Shard<K, C>>,
        hash: u64,
        change: impl FnOnce(&mut Shard<K, C>, &At<'_, K>) -> R,
    ) -> R {
        let hasher = |key: &K| self.table.hasher.hash_one(key);
        let mut shard = shard.write();
        let at = At { hash, now_ns: self.table.clock.now(), hasher: &hasher };
        change(&mut shard, &at)
    }

    fn room<Q: Lookup<K> + ?Sized>(
        &self,
        shard: &mut Shard<K, C>,
        at: &At<'_, K>,
        key: &Q,
    ) -> Result<K, NoRoom> {
        shard.make_room(at, self.table.max_keys_of_shard, self.table.when_full)?;
        Ok(key.to_key())
    }

    /// The limiter of one key: see [One key in full](Self#one-key-in-full).
    ///
    /// # Errors
    /// [`Denied::TooManyKeys`] if the table is full and does not evict: also with [`WhenFull::ShareOverflow`], where a new key has
    /// no bucket of its own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{AllOf, Keyed, Quota, RateLimiter};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_second(10));
    /// let all_users = RateLimiter::new(Quota::per_second(1000));
    ///
    /// let user = users.limiter(&7).unwrap();
    /// AllOf::new().and(&user, 1).and(&all_users, 1).try_acquire().unwrap();
    /// user.pause_for(Duration::from_secs(60));
    /// drop(user);
    /// assert!(users.try_acquire(&7).is_err());
    /// ```
    pub fn limiter<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Result<RateLimiter<C>, Denied> {
        // What is done to one key must not be done to all new keys.
        self.promote(key).map_err(|_| Denied::TooManyKeys)
    }

    /// The limiter on which a caller waits for a key, which may be that of all new keys.
    fn limiter_to_wait<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Result<RateLimiter<C>, Denied> {
        match self.promote(key) {
            Ok(limiter) => Ok(limiter),
            Err(NoRoom::Overflow) => Ok(self.table.overflow.clone()),
            Err(NoRoom::Refused) => Err(Denied::TooManyKeys),
        }
    }

    fn promote<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Result<RateLimiter<C>, NoRoom> {
        let table = &*self.table;
        let hash = table.hasher.hash_one(key);
        self.write(self.shard(hash), hash, |shard, at| {
            let add = |shard: &mut Shard<K, C>| self.room(shard, at, key);
            shard.promote(at, |known| key.is(known), &table.clock, table.max_waiters, add)
        })
    }

    /// Replaces the quota of all keys but those with a quota of their own. Each key keeps its permits, up to the new burst, as
    /// by [`RateLimiter::set_quota`]. A key with a full bucket, known or not, has a full bucket by the new quota.
    ///
    /// The table is converted part by part, each in less than a millisecond. Meanwhile a key is decided by the old quota or by
    /// the new one. A new key is decided by the quota of its part.
    ///
    /// # Errors
    /// If no limiter can have this quota, or it has an initial level. Nothing changes then. A key in so deep a debt that its
    /// limiter cannot follow keeps the old quota as its own.
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(10));
    /// users.try_acquire_n(&7, 4).unwrap();
    /// users.set_quota(Quota::per_hour(100)).unwrap();
    /// assert_eq!(users.level(&7).available(), 6);
    /// assert_eq!(users.level(&8).available(), 100);
    /// ```
    pub fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        let scale = scale_of(&quota)?;
        let _change = self.table.change.lock();
        // First, since it may fail: the shared bucket may be in a deep debt.
        self.table.overflow.set_quota(quota)?;
        for shard in &self.table.shards {
            let follow = {
                let mut shard = shard.write();
                shard.set_quota(quota, scale, self.table.clock.now())
            };
            // Without the lock: it may wake waiters.
            for limiter in follow {
                let is_full = limiter.driver().level().is_full();
                let _ = limiter.set_quota_with(quota, if is_full { Inherit::Reset } else { Inherit::AsIs });
            }
        }
        Ok(())
    }

    /// The quota of all keys but those with a quota of their own. See the example of [`set_quota`](Self::set_quota).
    pub fn quota(&self) -> Quota {
        self.table.shards[0].read().quota()
    }

    /// The quota of a key: its own, or that of the table.
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(10));
    /// users.limiter(&7).unwrap().set_quota(Quota::per_hour(1_000)).unwrap();
    /// assert_eq!((users.quota_of(&7), users.quota_of(&8)), (Quota::per_hour(1_000), Quota::per_hour(10)));
    /// ```
    pub fn quota_of<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Quota {
        let hash = self.table.hasher.hash_one(key);
        let shard = self.shard(hash).read();
        shard.limiter(hash, |known| key.is(known)).map_or_else(|| shard.quota(), RateLimiter::quota)
    }

    /// The level of a key; a full bucket if it is not in the table. Takes nothing. See the example of
    /// [`set_quota`](Self::set_quota).
    pub fn level<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Level {
        let hash = self.table.hasher.hash_one(key);
        let is_key = |known: &K| key.is(known);
        let mut shard = self.shard(hash).read();
        let mut now_ns = self.table.clock.now();
        if !shard.is_current(now_ns) {
            drop(shard);
            self.shard(hash).write().catch_up(now_ns);
            shard = self.shard(hash).read();
            now_ns = self.table.clock.now();
        }
        if self.is_overflow(&shard, hash, is_key) {
            // Without the lock: a report may wake waiters.
            drop(shard);
            return self.table.overflow.level();
        }
        if let Some(level) = shard.level(hash, is_key, now_ns) {
            return Level::new(level);
        }
        let limiter = shard.limiter(hash, is_key).cloned();
        drop(shard);
        limiter.map_or_else(|| self.table.overflow.level(), |limiter| limiter.level())
    }

    /// Whether calls of this key take from the bucket that new keys share.
    fn is_overflow(&self, shard: &Shard<K, C>, hash: u64, is_key: impl Fn(&K) -> bool) -> bool {
        self.table.when_full == WhenFull::ShareOverflow
            && shard.len() >= self.table.max_keys_of_shard
            && !shard.has(hash, is_key)
    }
}

/// The scale of a quota for keys.
fn scale_of(quota: &Quota) -> Result<Scale, QuotaError> {
    if quota.initial() != quota.burst() && !quota.is_blocked() {
        return Err(QuotaError::InitialOfKeys { initial: quota.initial() });
    }
    Scale::new(quota)
}

/// How many shards: enough that threads seldom meet, and that the table of one grows in well under a millisecond.
fn shards_for(max_keys: usize) -> usize {
    const MOST_KEYS: usize = 4_096;
    const LEAST_KEYS: usize = 1_024;
    const MOST_SHARDS: usize = 1 << 16;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = (16 * cores).max(max_keys / MOST_KEYS);
    wanted.min(max_keys / LEAST_KEYS).clamp(1, MOST_SHARDS).next_power_of_two()
}

impl<K, S, C: Clock> Clone for Keyed<K, S, C> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

/// Without the keys, which may be secret.
impl<K, S, C: Clock> fmt::Debug for Keyed<K, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("shards", &self.table.shards.len()).finish_non_exhaustive()
    }
}
