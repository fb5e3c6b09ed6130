//! The calls for a key: without waiting, for tasks, for threads; and reports on the table.

use core::{
    hash::{BuildHasher, Hash},
    time::Duration,
};

use super::{Keyed, Looked, Lookup};
use crate::{
    clock::Clock,
    error::{Denied, NotYet},
    limiter::{Level, RateLimiter},
    permits::{Amount, InvalidPermits, Permits},
};

impl<K, S, C> Keyed<K, S, C>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
    C: Clock + Clone,
{
    /// Takes one permit of `key` if it is available and no caller waits for that key.
    ///
    /// # Errors
    /// As [`RateLimiter::try_acquire`](crate::RateLimiter::try_acquire), and [`Denied::TooManyKeys`] for a new key if the table
    /// is full and refuses new keys. See the example of [`Keyed`].
    pub fn try_acquire<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Result<(), Denied> {
        self.take(key, 1.into())
    }

    /// Takes `n` permits of `key` if all are available; otherwise none.
    ///
    /// # Errors
    /// As [`try_acquire`](Self::try_acquire) and [`RateLimiter::try_acquire_n`](crate::RateLimiter::try_acquire_n).
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(10));
    /// assert!(users.try_acquire_n(&7, 2.5).is_ok());
    /// assert!(users.try_acquire_n(&7, 8).is_err());
    /// assert!(users.try_acquire_n(&7, 11).unwrap_err().is_never());
    /// ```
    pub fn try_acquire_n<Q: Lookup<K> + ?Sized>(&self, key: &Q, n: impl Amount) -> Result<(), Denied> {
        self.take(key, n.permits()?)
    }

    fn take<Q: Lookup<K> + ?Sized>(&self, key: &Q, permits: Permits) -> Result<(), Denied> {
        match self.look(key, permits, |_| ())? {
            Looked::Taken(()) => Ok(()),
            Looked::Limiter(limiter) => limiter.try_acquire_n(permits),
        }
    }

    /// As [`try_acquire_n`](Self::try_acquire_n), and reports the level that is left.
    ///
    /// # Errors
    /// As [`try_acquire_n`](Self::try_acquire_n).
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(10));
    /// assert_eq!(users.try_acquire_reporting(&7, 3).unwrap().available(), 7);
    /// ```
    pub fn try_acquire_reporting<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        n: impl Amount,
    ) -> Result<Level, Denied> {
        let permits = n.permits()?;
        match self.look(key, permits, Level::new)? {
            Looked::Taken(level) => Ok(level),
            Looked::Limiter(limiter) => limiter.try_acquire_reporting(permits),
        }
    }

    /// Gives back `n` permits of `key` that were taken and not used, as [`RateLimiter::refund`](crate::RateLimiter::refund).
    ///
    /// # Errors
    /// If `n` is negative, not a number, or too large for 64 bits.
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(10));
    /// users.try_acquire_n(&7, 3).unwrap();
    /// users.refund(&7, 2).unwrap();
    /// assert_eq!(users.level(&7).available(), 9);
    /// ```
    pub fn refund<Q: Lookup<K> + ?Sized>(&self, key: &Q, n: impl Amount) -> Result<(), InvalidPermits> {
        let permits = n.permits()?;
        let class = self.class(key);
        let hash = self.table.hasher.hash_one(key);
        let is_key = |known: &K| key.is(known);
        let (shard, now_ns) = self.settled((hash, class), is_key);
        let limiter = if self.is_overflow(&shard, hash, is_key) {
            Some(self.table.overflow[class].clone())
        } else if shard.refund((hash, class), is_key, permits, now_ns) {
            None
        } else {
            shard.limiter(hash, is_key).cloned()
        };
        // Without the lock: it may wake waiters.
        drop(shard);
        limiter.map_or(Ok(()), |limiter| limiter.refund(permits))
    }

    /// Waits for one permit of `key`.
    ///
    /// # Errors
    /// [`Denied::TooManyKeys`] for a new key if the table is full and refuses new keys, and [`Denied::Closed`].
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let users: Keyed<u64> = Keyed::new(Quota::per_second(1000).with_burst(1));
    /// for _ in 0..3 {
    ///     users.acquire(&7).await.unwrap();
    ///     // At most one call a millisecond.
    /// }
    /// # });
    /// ```
    pub async fn acquire<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Result<(), Denied> {
        self.acquire_n(key, 1).await
    }

    /// Waits for `n` permits of `key`, and takes all of them at once.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire) and [`RateLimiter::acquire_n`](crate::RateLimiter::acquire_n).
    pub async fn acquire_n<Q: Lookup<K> + ?Sized>(&self, key: &Q, n: impl Amount) -> Result<(), Denied> {
        let permits = n.permits()?;
        match self.waiting(key, permits, Duration::MAX)? {
            Some(limiter) => Ok(limiter.acquire_n_owned(permits).await?),
            None => Ok(()),
        }
    }

    /// Waits for `n` permits of `key` if they are due within `max_wait`; otherwise fails at once.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire) and [`RateLimiter::acquire_within`](crate::RateLimiter::acquire_within).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Keyed, Quota};
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(1));
    /// assert!(users.acquire_within(&7, 1, Duration::from_secs(1)).await.is_ok());
    /// assert!(users.acquire_within(&7, 1, Duration::from_secs(1)).await.is_err());
    /// # });
    /// ```
    pub async fn acquire_within<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        n: impl Amount,
        max_wait: Duration,
    ) -> Result<(), Denied> {
        let permits = n.permits()?;
        match self.waiting(key, permits, max_wait)? {
            Some(limiter) => limiter.acquire_within_owned(permits, max_wait).await,
            None => Ok(()),
        }
    }

    /// Blocks the thread until it has `n` permits of `key`, as
    /// [`RateLimiter::blocking_acquire_n`](crate::RateLimiter::blocking_acquire_n).
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    ///
    /// # Panics
    /// If the call has to wait inside a task.
    #[track_caller]
    pub fn blocking_acquire_n<Q: Lookup<K> + ?Sized>(&self, key: &Q, n: impl Amount) -> Result<(), Denied> {
        let permits = n.permits()?;
        match self.waiting(key, permits, Duration::MAX)? {
            Some(limiter) => Ok(limiter.blocking_acquire_n(permits)?),
            None => Ok(()),
        }
    }

    /// Blocks the thread until it has `n` permits of `key` if they are due within `max_wait`; otherwise fails at once.
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// # Panics
    /// If the call has to wait inside a task.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Keyed, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(1));
    /// assert!(users.blocking_acquire_within(&7, 1, Duration::ZERO).is_ok());
    /// assert!(users.blocking_acquire_within(&7, 1, Duration::from_secs(1)).is_err());
    /// ```
    #[track_caller]
    pub fn blocking_acquire_within<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        n: impl Amount,
        max_wait: Duration,
    ) -> Result<(), Denied> {
        let permits = n.permits()?;
        match self.waiting(key, permits, max_wait)? {
            Some(limiter) => limiter.blocking_acquire_within(permits, max_wait),
            None => Ok(()),
        }
    }

    /// Takes the permits, or refuses a wait that is too long, or returns the limiter on which the caller has to wait.
    fn waiting<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        permits: Permits,
        max_wait: Duration,
    ) -> Result<Option<RateLimiter<C>>, Denied> {
        match self.look(key, permits, |_| ()) {
            Ok(Looked::Taken(())) => Ok(None),
            Ok(Looked::Limiter(limiter)) => Ok(Some(limiter)),
            Err(Denied::NotYet(not_yet)) => match not_yet.retry_after().checked_sub(max_wait) {
                Some(late) if !late.is_zero() => Err(NotYet::after(late).into()),
                _ => self.limiter_to_wait(key).map(Some),
            },
            Err(denied) => Err(denied),
        }
    }

    // === the table ===

    /// How many keys are in the table, with keys whose buckets are full again and that have not been removed yet.
    ///
    /// See the example of [`Keyed`].
    pub fn len(&self) -> usize {
        self.table.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether there are no keys in the table.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys were evicted before their buckets were full again, since the table was made: a sign of an attack, or
    /// of too small a table.
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// let users = Keyed::<u64>::builder(Quota::per_hour(1)).max_keys(100).build().unwrap();
    /// (0..150).for_each(|user| users.try_acquire(&user).unwrap());
    /// assert_eq!((users.len(), users.evicted_live()), (100, 50));
    /// ```
    pub fn evicted_live(&self) -> u64 {
        self.table.shards.iter().map(|shard| shard.read().evicted_live()).sum()
    }

    /// Removes `key`, whose bucket is full from then on. Returns whether it did: not if it is not in the table, nor if it has a
    /// handle on its [limiter](Self::limiter), a waiter, a pause, a debt or a quota of its own.
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(1));
    /// users.try_acquire(&7).unwrap();
    /// assert!(users.remove(&7));
    /// assert!(users.try_acquire(&7).is_ok());
    /// ```
    pub fn remove<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> bool {
        let hash = self.table.hasher.hash_one(key);
        self.shard(hash).write().remove(hash, |known| key.is(known))
    }

    /// Removes the keys for which `keep` returns `false`. Their buckets are full from then on. Keys that
    /// [`remove`](Self::remove) would not remove stay. The level is by the class that the key had at its last call. It holds the lock of one part of the table at a time; `keep` must not use the
    /// table.
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(10));
    /// users.try_acquire_n(&7, 9).unwrap();
    /// users.try_acquire_n(&8, 1).unwrap();
    /// users.retain(|_user, level| level.available() < 5);
    /// assert_eq!(users.len(), 1);
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&K, Level) -> bool) {
        for shard in &self.table.shards {
            self.write(shard, (0, 0), |shard, at| {
                shard.retain(at, |key, level| keep(key, Level::new(level)));
            });
        }
    }
}
