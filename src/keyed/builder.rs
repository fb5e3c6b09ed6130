//! The choices of a table of keys.

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    marker::PhantomData,
};
use std::hash::RandomState;

use super::{Keyed, Setup, WhenFull};
use crate::{
    clock::{Clock, QuantaClock},
    error::QuotaError,
    quota::Quota,
};

const DEFAULT_MAX_KEYS: usize = 1_000_000;

/// Builds a [`Keyed`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{Denied, Keyed, ManualClock, Quota, WhenFull};
///
/// let clock = ManualClock::new();
/// let users = Keyed::<u64>::builder(Quota::per_second(1))
///     .max_keys(2)
///     .when_full(WhenFull::RefuseNew)
///     .clock(clock.clone())
///     .build()
///     .unwrap();
/// assert!(users.try_acquire(&1).is_ok() && users.try_acquire(&2).is_ok());
/// assert_eq!(users.try_acquire(&3), Err(Denied::TooManyKeys));
/// // When the bucket of a key is full again, the key makes room.
/// clock.advance(Duration::from_secs(1));
/// assert!(users.try_acquire(&3).is_ok());
/// ```
#[must_use = "a builder does nothing before `build`"]
pub struct KeyedBuilder<K, S = RandomState, C = QuantaClock> {
    setup: Setup<S, C>,
    key: PhantomData<fn(K)>,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    /// A limiter with this quota for each key, a million keys at most.
    ///
    /// # Panics
    /// If [`KeyedBuilder::build`] would fail.
    ///
    /// See the example of [`Keyed`].
    #[track_caller]
    pub fn new(quota: Quota) -> Self {
        match Self::builder(quota).build() {
            Ok(keyed) => keyed,
            Err(error) => panic!("{error}"),
        }
    }

    /// With a choice of the most keys and of the policy at that number, the hasher, the clock, and the most waiters of a key.
    ///
    /// See the example of [`KeyedBuilder`].
    pub fn builder(quota: Quota) -> KeyedBuilder<K> {
        KeyedBuilder::new(quota)
    }
}

impl<K> KeyedBuilder<K> {
    fn new(quota: Quota) -> Self {
        let setup = Setup {
            quota,
            max_keys: DEFAULT_MAX_KEYS,
            when_full: WhenFull::default(),
            max_waiters: usize::MAX,
            hasher: RandomState::new(),
            clock: QuantaClock::new(),
        };
        Self { setup, key: PhantomData }
    }
}

impl<K, S, C> KeyedBuilder<K, S, C> {
    /// The most keys at a time; a million unless set. The table grows as keys come. It may be full with a tenth
    /// less, for its parts do not fill evenly. See the example of [`KeyedBuilder`].
    pub const fn max_keys(mut self, most: usize) -> Self {
        self.setup.max_keys = most;
        self
    }

    /// What becomes of a new key when the table is full. See the example of [`KeyedBuilder`].
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.setup.when_full = when_full;
        self
    }

    /// The most waiters of each key, as [`RateLimiter::set_max_waiters`](crate::RateLimiter::set_max_waiters).
    pub const fn max_waiters(mut self, most: usize) -> Self {
        self.setup.max_waiters = most;
        self
    }

    /// Another hasher than [`RandomState`]. Keys that an attacker may choose need a seeded one.
    pub fn hasher<T>(self, hasher: T) -> KeyedBuilder<K, T, C> {
        let Setup { quota, max_keys, when_full, max_waiters, clock, .. } = self.setup;
        let setup = Setup { quota, max_keys, when_full, max_waiters, hasher, clock };
        KeyedBuilder { setup, key: PhantomData }
    }

    /// Another clock. See the example of [`KeyedBuilder`].
    pub fn clock<T>(self, clock: T) -> KeyedBuilder<K, S, T> {
        let Setup { quota, max_keys, when_full, max_waiters, hasher, .. } = self.setup;
        let setup = Setup { quota, max_keys, when_full, max_waiters, hasher, clock };
        KeyedBuilder { setup, key: PhantomData }
    }
}

impl<K, S, C> KeyedBuilder<K, S, C>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
    C: Clock + Clone,
{
    /// The table.
    ///
    /// # Errors
    /// If no limiter can have the quota, as [`RateLimiter::try_new`](crate::RateLimiter::try_new), or if the quota has an initial
    /// level: an unknown key is the same as one with a full bucket.
    pub fn build(self) -> Result<Keyed<K, S, C>, QuotaError> {
        Keyed::build(self.setup)
    }
}

impl<K, S, C> fmt::Debug for KeyedBuilder<K, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBuilder")
            .field("quota", &format_args!("{}", self.setup.quota))
            .field("max_keys", &self.setup.max_keys)
            .field("when_full", &self.setup.when_full)
            .finish_non_exhaustive()
    }
}
