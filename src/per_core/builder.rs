//! A `PerCore` with numbers of one's own choice.

use core::{error::Error, fmt};

use super::PerCore;
use crate::{
    Clock, QuantaClock, RateLimiter,
    shares::{MAX_SLOTS, Sizing, default_slots, largest_share},
};

/// Makes a [`PerCore`] with a number of slots, or a share, of one's own choice.
///
/// # Examples
/// ```
/// use tidegate::{PerCore, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(1_000_000).with_burst(100_000));
/// let per_core = PerCore::builder(&limiter).slots(8).share(64).build().unwrap();
/// assert!(per_core.try_acquire().is_ok());
///
/// let error = PerCore::builder(&limiter).share(2000).build().unwrap_err();
/// assert_eq!(error.to_string(), "a share of 2000 permits is more than the limit of 1562 with 8 slots");
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct PerCoreBuilder<C: Clock = QuantaClock> {
    limiter: RateLimiter<C>,
    slots: Option<usize>,
    share: Option<u64>,
}

impl<C: Clock> PerCore<C> {
    /// With a number of slots or a share of one's own choice.
    ///
    /// See the example of [`PerCoreBuilder`].
    pub fn builder(limiter: &RateLimiter<C>) -> PerCoreBuilder<C> {
        PerCoreBuilder::new(limiter)
    }
}

impl<C: Clock> PerCoreBuilder<C> {
    pub(super) fn new(limiter: &RateLimiter<C>) -> Self {
        Self { limiter: limiter.clone(), slots: None, share: None }
    }

    /// Sets the number of slots, from 1 to 65,536; it is rounded up to a power of two. By default it is that of
    /// the cores, or that which the limiter has already.
    ///
    /// See the example of [`PerCoreBuilder`].
    pub const fn slots(mut self, slots: usize) -> Self {
        self.slots = Some(slots);
        self
    }

    /// Sets how many permits are drawn at a time beyond what is asked for; zero parks nothing. By default it
    /// follows the demand. A smaller quota later on makes it smaller, too.
    ///
    /// See the example of [`PerCoreBuilder`].
    pub const fn share(mut self, permits: u64) -> Self {
        self.share = Some(permits);
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// If there can be no such slots or shares.
    ///
    /// See the example of [`PerCoreBuilder`].
    pub fn build(self) -> Result<PerCore<C>, PerCoreError> {
        let there = super::slots_of(&self.limiter);
        let slots = match self.slots {
            None => there.unwrap_or_else(default_slots),
            Some(slots) if slots == 0 || slots > MAX_SLOTS => return Err(PerCoreError::Slots { slots }),
            Some(slots) => slots.next_power_of_two(),
        };
        if let Some(there) = there.filter(|&there| there != slots) {
            return Err(PerCoreError::OtherSlots { slots, there });
        }
        if let Some(share) = self.share {
            let max = largest_share(self.limiter.quota().burst(), slots);
            if share > max {
                return Err(PerCoreError::Share { share, max, slots });
            }
        }
        let sizing = self.share.map_or(Sizing::Adaptive, Sizing::Fixed);
        let per_core = PerCore::attach(&self.limiter, slots, sizing);
        // Somebody else may have been first.
        let there = per_core.slots.len();
        if there == slots { Ok(per_core) } else { Err(PerCoreError::OtherSlots { slots, there }) }
    }
}

/// Why there can be no such [`PerCore`].
///
/// See the example of [`PerCoreBuilder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PerCoreError {
    /// No slots, or more than 65,536.
    Slots {
        /// What was asked for.
        slots: usize,
    },
    /// The limiter has slots already, and they are not as many.
    OtherSlots {
        /// What was asked for, rounded up to a power of two.
        slots: usize,
        /// What there is.
        there: usize,
    },
    /// A share that is more than an eighth of the burst divided by the number of slots.
    Share {
        /// What was asked for.
        share: u64,
        /// The largest share there can be; zero if the burst is too small to be split.
        max: u64,
        /// The number of slots.
        slots: usize,
    },
}

impl fmt::Display for PerCoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots { slots } => write!(f, "{slots} slots: it must be from 1 to {MAX_SLOTS}"),
            Self::OtherSlots { slots, there } => {
                write!(f, "{slots} slots: the limiter has {there} already")
            }
            Self::Share { share, max, slots } => {
                write!(f, "a share of {share} permits is more than the limit of {max} with {slots} slots")
            }
        }
    }
}

impl Error for PerCoreError {}
