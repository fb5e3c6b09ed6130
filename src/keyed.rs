//! A limiter for each key, at the cost of a word and the key.

mod builder;
mod calls;
mod quotas;
mod shard;

use core::{
    borrow::Borrow,
    cell::Cell,
    fmt,
    hash::{BuildHasher, Hash},
};
use std::{hash::RandomState, sync::Arc};

use crossbeam_utils::CachePadded;

use self::shard::{At, NoRoom, PROMOTED as MOST_CLASSES, Seen, Shard, scale_of};
pub use self::{builder::KeyedBuilder, shard::WhenFull};
use crate::{
    clock::{Clock, QuantaClock},
    error::{Denied, QuotaError},
    limiter::{Level, RateLimiter},
    permits::Permits,
    queue::LevelAt,
    quota::Quota,
    sync::plain::{Mutex, RwLock, RwLockReadGuard},
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
/// # Classes of keys
/// Keys may be of a few classes, such as plans, each with a quota of its own: see [`KeyedBuilder::classes`]. A function tells the
/// class of a key. It is asked at each call. When its answer changes, the key keeps its permits, up to the burst of the new class, and a
/// full bucket is full again, as by [`set_quota`](Self::set_quota). A class costs no memory for each key. A key with a quota of
/// its own keeps that, in whatever class it is.
///
/// # Fairness and cancel safety
/// By key, as [`RateLimiter::acquire`].
///
/// # Security
/// The hasher is [`RandomState`] unless set: keys that an attacker chooses do not collide on purpose. Do not set a faster one
/// for such keys. Watch [`evicted_live`](Self::evicted_live): it grows when somebody sends more keys than there is room for.
///
/// # Panics
/// A panic of the key's `Hash`, `Eq` or `Clone`, of the clock, or of the function for the class, reaches the caller. The table can be
/// used afterwards. None of them but the function for the class, nor the key's `Drop`, may call the table: it holds a lock
/// meanwhile.
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
    /// The class of a key; without it all keys are of class 0.
    class_of: Option<Box<ClassOf<K>>>,
    /// For new keys of each class when the table is full, with [`WhenFull::ShareOverflow`].
    overflow: Box<[RateLimiter<C>]>,
    /// Held while a quota is replaced.
    change: Mutex<()>,
}

/// Tells the class of a key.
type ClassOf<K> = dyn Fn(&K) -> usize + Send + Sync;

/// What a table is made from.
struct Setup<K, S, C> {
    /// Of class 0.
    quota: Quota,
    /// Of the other classes.
    others: Vec<Quota>,
    class_of: Option<Box<ClassOf<K>>>,
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
    fn build(setup: Setup<K, S, C>) -> Result<Self, QuotaError> {
        let Setup { quota, others, class_of, max_keys, when_full, max_waiters, hasher, clock } = setup;
        let quotas: Vec<Quota> = core::iter::once(quota).chain(others).collect();
        if quotas.len() > MOST_CLASSES {
            return Err(QuotaError::TooManyClasses { classes: quotas.len(), max: MOST_CLASSES });
        }
        let with_scale = |quota: &Quota| Ok((*quota, scale_of(quota)?));
        let classes = quotas.iter().map(with_scale).collect::<Result<Vec<_>, QuotaError>>()?;
        let overflow = |quota: &Quota| RateLimiter::try_with_clock(*quota, clock.clone());
        let overflow = quotas.iter().map(overflow).collect::<Result<_, _>>()?;
        let shards = shards_for(max_keys);
        let now_ns = clock.now();
        let shard = |_| CachePadded::new(RwLock::new(Shard::new(&classes, now_ns)));
        let table = Table {
            shards: (0..shards).map(shard).collect(),
            hasher,
            clock,
            max_keys_of_shard: max_keys / shards,
            when_full,
            max_waiters,
            class_of,
            overflow,
            change: Mutex::new(()),
        };
        Ok(Self { table: Arc::new(table) })
    }

    /// The class of a key. No lock is held: the function may take one of its own.
    fn class<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> usize {
        let Some(class_of) = &self.table.class_of else { return 0 };
        let (class, classes) = (class_of(&key.to_key()), self.table.overflow.len());
        assert!(class < classes, "a key is of class {class}: the table has classes 0 to {}", classes - 1);
        class
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
        let class = self.class(key);
        let hash = table.hasher.hash_one(key);
        let now_ns = table.clock.now();
        let is_key = |known: &K| key.is(known);
        let seen = self.shard(hash).read().take((hash, class), is_key, permits, now_ns, &report);
        let seen = match seen {
            Seen::Unknown => self.take_or_add((hash, class), key, permits, report),
            seen => Ok(seen),
        };
        match seen {
            Ok(Seen::Admitted(answer)) => Ok(Looked::Taken(answer)),
            Ok(Seen::Refused(denied)) => Err(denied),
            Ok(Seen::Promoted(limiter)) => Ok(Looked::Limiter(limiter)),
            Err(NoRoom::Overflow) => Ok(Looked::Limiter(table.overflow[class].clone())),
            Ok(Seen::Unknown) | Err(NoRoom::Refused) => Err(Denied::TooManyKeys),
        }
    }

    #[cold]
    fn take_or_add<Q: Lookup<K> + ?Sized, R>(
        &self,
        (hash, class): (u64, usize),
        key: &Q,
        permits: Permits,
        report: impl Fn(LevelAt) -> R,
    ) -> Result<Seen<C, R>, NoRoom> {
        self.write(self.shard(hash), (hash, class), |shard, at| {
            let add = |shard: &mut Shard<K, C>| self.room(shard, at, key);
            shard.take_or_add(at, |known| key.is(known), permits, add, report)
        })
    }

    /// Runs `change` with the write lock of a shard, and a clock reading made under it: see the invariants of `shard`.
    fn write<R>(
        &self,
        shard: &RwLock<Shard<K, C>>,
        (hash, class): (u64, usize),
        change: impl FnOnce(&mut Shard<K, C>, &At<'_, K, C>) -> R,
    ) -> R {
        let hasher = |key: &K| self.table.hasher.hash_one(key);
        // Before the lock, so that it is dropped after it: that may wake waiters.
        let later = Cell::new(None);
        let mut shard = shard.write();
        let at = At { hash, class, now_ns: self.table.clock.now(), hasher: &hasher, later: &later };
        change(&mut shard, &at)
    }

    fn room<Q: Lookup<K> + ?Sized>(
        &self,
        shard: &mut Shard<K, C>,
        at: &At<'_, K, C>,
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
        self.promote(key, self.class(key)).map_err(|_| Denied::TooManyKeys)
    }

    /// The limiter on which a caller waits for a key, which may be that of all new keys.
    fn limiter_to_wait<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Result<RateLimiter<C>, Denied> {
        let class = self.class(key);
        match self.promote(key, class) {
            Ok(limiter) => Ok(limiter),
            Err(NoRoom::Overflow) => Ok(self.table.overflow[class].clone()),
            Err(NoRoom::Refused) => Err(Denied::TooManyKeys),
        }
    }

    fn promote<Q>(&self, key: &Q, class: usize) -> Result<RateLimiter<C>, NoRoom>
    where
        Q: Lookup<K> + ?Sized,
    {
        let table = &*self.table;
        let hash = table.hasher.hash_one(key);
        self.write(self.shard(hash), (hash, class), |shard, at| {
            let add = |shard: &mut Shard<K, C>| self.room(shard, at, key);
            shard.promote(at, |known| key.is(known), &table.clock, table.max_waiters, add)
        })
    }

    /// The level of a key; a full bucket if it is not in the table. Takes nothing. See the example of
    /// [`set_quota`](Self::set_quota).
    pub fn level<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Level {
        let table = &*self.table;
        let class = self.class(key);
        let hash = table.hasher.hash_one(key);
        let is_key = |known: &K| key.is(known);
        let (shard, now_ns) = self.settled((hash, class), is_key);
        if self.is_overflow(&shard, hash, is_key) {
            // Without the lock: a report may wake waiters.
            drop(shard);
            return table.overflow[class].level();
        }
        if let Some(level) = shard.level((hash, class), is_key, now_ns) {
            return Level::new(level);
        }
        let limiter = shard.limiter(hash, is_key).cloned();
        drop(shard);
        limiter.map_or_else(|| table.overflow[class].level(), |limiter| limiter.level())
    }

    /// The read lock of the shard of a key, which is of this class.
    fn of_class(
        &self,
        (hash, class): (u64, usize),
        is_key: impl Fn(&K) -> bool + Copy,
    ) -> RwLockReadGuard<'_, Shard<K, C>> {
        loop {
            let shard = self.shard(hash).read();
            if !shard.is_of_other_class(hash, is_key, class) {
                return shard;
            }
            drop(shard);
            self.write(self.shard(hash), (hash, class), |shard, at| shard.settle(at, is_key));
        }
    }

    /// As [`of_class`](Self::of_class), with a clock reading for which the class has a tick.
    fn settled(
        &self,
        (hash, class): (u64, usize),
        is_key: impl Fn(&K) -> bool + Copy,
    ) -> (RwLockReadGuard<'_, Shard<K, C>>, u64) {
        loop {
            let shard = self.of_class((hash, class), is_key);
            let now_ns = self.table.clock.now();
            if shard.is_current(class, now_ns) {
                return (shard, now_ns);
            }
            drop(shard);
            self.write(self.shard(hash), (hash, class), |shard, at| shard.settle(at, is_key));
        }
    }

    /// Whether calls of this key take from the bucket that new keys share.
    fn is_overflow(&self, shard: &Shard<K, C>, hash: u64, is_key: impl Fn(&K) -> bool) -> bool {
        self.table.when_full == WhenFull::ShareOverflow
            && shard.len() >= self.table.max_keys_of_shard
            && !shard.has(hash, is_key)
    }
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
        let quotas: Vec<String> =
            self.table.overflow.iter().map(|shared| shared.quota().to_string()).collect();
        let shards = self.table.shards.len();
        f.debug_struct("Keyed").field("quotas", &quotas).field("shards", &shards).finish_non_exhaustive()
    }
}
