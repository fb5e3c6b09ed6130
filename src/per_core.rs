//! One quota for all cores, without a cache line that all of them write to: [`PerCore`] takes from a slot that a few
//! threads share, [`Local`] from its own permits. See `shares.rs` for the bound, and `queue/shares.rs` for waiters.

mod builder;
pub(crate) mod draw;
mod local;
mod report;

use core::{cell::Cell, fmt, future::poll_fn, task::Poll, time::Duration};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

pub use self::{
    builder::{PerCoreBuilder, PerCoreError},
    local::Local,
    report::SlotReport,
};
use crate::{
    AcquireAny, AcquireError, Amount, Clock, Denied, InvalidPermits, Lane, Limit, Permits, QuantaClock,
    RateLimiter,
    all_of::{Parts, Whole},
    queue::{Shares, poll_proceed},
    shares::{Sizing, Slot, Slots, default_slots},
};
use crossbeam_utils::CachePadded;

/// A limiter's quota, taken in shares by every core, for tens of millions of permits a second from many threads.
///
/// Each thread is assigned a *slot*, a cache line with permits parked in it. To take one of them is a single
/// compare-and-swap on that line, and needs no clock. When the slot is empty, the thread draws from the limiter what it
/// needs, and a *share* for the slot, as much as conforms. For a single thread or task [`Local`] is faster still.
///
/// All `PerCore`s of a limiter use the same slots, and the [limiter](Self::limiter) itself can be used beside them. A
/// clone is another handle.
///
/// # The bound
/// It is that of the limiter: in any window of length w at most `burst + rate * w` permits are admitted, including
/// those that are parked. For this, up to an eighth of the burst is set aside for parked permits while there is a
/// `PerCore` or a `Local`:
/// - A single request can be for about seven eighths of the burst ([`RateLimiter::largest_request`]). A larger one is
///   [`Denied::TooMany`], also on the limiter itself. Waiters for more that joined before keep their places: nothing is
///   set aside or parked until they have left the queue.
/// - The limiter starts with at most seven eighths of the burst. After a pause, between that and all of it are available at
///   once.
/// - The rate is delivered in full.
///
/// The largest share is an eighth of the burst (at most 4.6 trillion permits), divided by the number of slots. If that
/// is below two permits, nothing is set aside or parked, and a `PerCore` acts as the plain limiter.
///
/// # Nothing is stranded
/// A call takes from other slots before it is refused, so permits in the slot of an idle thread are not lost to others.
/// It is refused only if the limiter has too few permits, and every slot was seen empty while no thread drew from the
/// limiter. This holds for calls on the limiter itself, too.
///
/// # The size of a share
/// It doubles while a slot is drawn for more often than every 50 µs, halves when a share lasts longer than 5 ms, and
/// shrinks to what is available when permits are scarce. [`PerCoreBuilder::share`] sets a fixed size.
///
/// # Fairness
/// Calls that do not wait are decided as they come. Callers that wait join the queue of the limiter, and are granted in
/// order of arrival. Parked permits go to the queue first. While there are waiters, no shares are drawn, and calls that
/// do not wait are refused. A take from a slot at the moment when a caller joins counts as earlier. A [`Local`] may go
/// on taking what it holds, at most a share.
///
/// When permits are scarce, shares shrink to single permits, which a thread gets as often as it asks. Measured with
/// other work on half of the cores, a caller that shared its core with that work got 0.87 of an equal share, and all of
/// it when it waited.
///
/// # Examples
/// ```
/// use tidegate::{PerCore, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(10_000_000).with_burst(1_000_000));
/// let per_core = PerCore::new(&limiter);
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             for _ in 0..1000 {
///                 assert!(per_core.try_acquire().is_ok());
///             }
///         });
///     }
/// });
/// ```
pub struct PerCore<C: Clock = QuantaClock> {
    limiter: RateLimiter<C>,
    /// The slots of `shares`, one pointer closer for the fast path.
    slots: Arc<[CachePadded<Slot>]>,
    shares: Arc<Slots>,
    sizing: Sizing,
}

impl<C: Clock> PerCore<C> {
    /// Makes a handle with one slot per core, or the limiter's existing slots, and shares that follow the demand. Its calls
    /// are in the normal [lane](crate::Lane).
    pub fn new(limiter: &RateLimiter<C>) -> Self {
        let slots = slots_of(limiter).unwrap_or_else(default_slots);
        Self::attach(limiter, slots, Sizing::Adaptive)
    }

    fn attach(limiter: &RateLimiter<C>, slots: usize, sizing: Sizing) -> Self {
        let limiter = limiter.lane(Lane::Normal);
        let shares = concrete(limiter.driver().attach(|| Arc::new(Slots::new(slots))));
        Self { limiter, slots: Arc::clone(shares.all()), shares, sizing }
    }

    /// The limiter whose quota this handle takes.
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// let per_core = PerCore::new(&RateLimiter::new(Quota::per_second(1000)));
    /// assert_eq!(per_core.limiter().quota(), Quota::per_second(1000));
    /// ```
    pub const fn limiter(&self) -> &RateLimiter<C> {
        &self.limiter
    }

    /// Takes one permit if it is available and no caller waits.
    ///
    /// # Errors
    /// As [`RateLimiter::try_acquire`].
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// let per_core = PerCore::new(&RateLimiter::new(Quota::per_hour(1)));
    /// assert!(per_core.try_acquire().is_ok());
    /// assert!(per_core.try_acquire().unwrap_err().retry_after().is_some());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<(), Denied> {
        self.try_take(1.into())
    }

    /// Takes `n` permits if all are available and no caller waits; otherwise none.
    ///
    /// # Errors
    /// As [`RateLimiter::try_acquire_n`]. [`Denied::TooMany`] if `n` exceeds [`RateLimiter::largest_request`].
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// let per_core = PerCore::new(&RateLimiter::new(Quota::per_hour(8_000_000)));
    /// assert!(per_core.try_acquire_n(0.5).is_ok());
    /// assert!(per_core.try_acquire_n(8_000_000).unwrap_err().is_never());
    /// ```
    #[inline]
    pub fn try_acquire_n(&self, n: impl Amount) -> Result<(), Denied> {
        self.try_take(n.permits()?)
    }

    #[inline]
    fn try_take(&self, permits: Permits) -> Result<(), Denied> {
        let slot = &self.slots[slot_of_thread() & (self.slots.len() - 1)];
        let driver = self.limiter.driver();
        let decision = draw::take_shared(driver, &self.shares, slot, permits, self.sizing);
        driver.watch().decided(&decision);
        decision
    }

    /// Takes permits without waiting or stealing. Returns whether it took them.
    fn take_at_once(&self, permits: Permits) -> bool {
        let slot = &self.slots[slot_of_thread() & (self.slots.len() - 1)];
        let driver = self.limiter.driver();
        let taken = draw::take_shared_at_once(driver, &self.shares, slot, permits, self.sizing);
        if taken {
            driver.watch().admitted();
        }
        taken
    }

    /// Waits for one permit. Joins the queue of the limiter if neither the slot nor the limiter has a permit. Cancel
    /// safety and panics as [`RateLimiter::acquire`].
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let per_core = PerCore::new(&RateLimiter::new(Quota::per_second(1_000_000)));
    /// per_core.acquire().await;
    /// # });
    /// ```
    pub async fn acquire(&self) {
        if !self.take_in_budget(1.into()).await {
            self.limiter.acquire().await;
        }
    }

    /// Waits for `n` permits, as [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// As [`RateLimiter::acquire_n`]; [`AcquireError::TooMany`] as in [`try_acquire_n`](Self::try_acquire_n).
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let per_core = PerCore::new(&RateLimiter::new(Quota::per_second(1_000_000)));
    /// per_core.acquire_n(5).await.unwrap();
    /// # });
    /// ```
    pub async fn acquire_n(&self, n: impl Amount) -> Result<(), AcquireError> {
        let permits = n.permits()?;
        if self.take_in_budget(permits).await {
            return Ok(());
        }
        self.limiter.acquire_n(permits).await
    }

    /// Waits for `n` permits, as [`RateLimiter::acquire_within`].
    ///
    /// # Errors
    /// As [`RateLimiter::acquire_within`]; [`Denied::TooMany`] as in [`try_acquire_n`](Self::try_acquire_n).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let per_core = PerCore::new(&RateLimiter::new(Quota::per_hour(1)));
    /// per_core.acquire_within(1, Duration::ZERO).await.unwrap();
    /// assert!(per_core.acquire_within(1, Duration::from_secs(60)).await.is_err());
    /// # });
    /// ```
    pub async fn acquire_within(&self, n: impl Amount, max_wait: Duration) -> Result<(), Denied> {
        let permits = n.permits()?;
        if self.take_in_budget(permits).await {
            return Ok(());
        }
        self.limiter.acquire_within(permits, max_wait).await
    }

    /// As `take_at_once`, if the task has budget left. Without budget the task joins the queue rather than yield.
    async fn take_in_budget(&self, permits: Permits) -> bool {
        poll_fn(|cx| {
            let Poll::Ready(budget) = poll_proceed(cx) else { return Poll::Ready(false) };
            let taken = self.take_at_once(permits);
            if taken {
                budget.made_progress();
            }
            Poll::Ready(taken)
        })
        .await
    }

    /// Blocks the thread until it has one permit, as [`acquire`](Self::acquire). See [`RateLimiter::blocking_acquire`].
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// PerCore::new(&RateLimiter::new(Quota::per_second(1000))).blocking_acquire();
    /// ```
    pub fn blocking_acquire(&self) {
        if !self.take_at_once(1.into()) {
            self.limiter.blocking_acquire();
        }
    }

    /// Blocks the thread until it has `n` permits, as [`blocking_acquire`](Self::blocking_acquire).
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// PerCore::new(&RateLimiter::new(Quota::per_second(1000))).blocking_acquire_n(5).unwrap();
    /// ```
    pub fn blocking_acquire_n(&self, n: impl Amount) -> Result<(), AcquireError> {
        let permits = n.permits()?;
        if self.take_at_once(permits) { Ok(()) } else { self.limiter.blocking_acquire_n(permits) }
    }

    /// Blocks the thread until it has `n` permits, as [`RateLimiter::blocking_acquire_within`].
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// let per_core = PerCore::new(&RateLimiter::new(Quota::per_hour(1)));
    /// per_core.blocking_acquire_within(1, Duration::ZERO).unwrap();
    /// assert!(per_core.blocking_acquire_within(1, Duration::from_secs(60)).is_err());
    /// ```
    pub fn blocking_acquire_within(&self, n: impl Amount, max_wait: Duration) -> Result<(), Denied> {
        let permits = n.permits()?;
        if self.take_at_once(permits) {
            return Ok(());
        }
        self.limiter.blocking_acquire_within(permits, max_wait)
    }

    /// The counters of each slot.
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// let per_core = PerCore::new(&RateLimiter::new(Quota::per_hour(1_000_000_000)));
    /// per_core.try_acquire().unwrap();
    /// let report = per_core.report();
    /// assert_eq!(report.iter().map(|slot| slot.draws).sum::<u64>(), 1);
    /// ```
    pub fn report(&self) -> Vec<SlotReport> {
        self.slots.iter().map(|slot| SlotReport::new(slot.account())).collect()
    }
}

impl<C: Clock> Limit for PerCore<C> {
    fn try_acquire_n(&self, n: Permits) -> Result<(), Denied> {
        self.try_take(n)
    }
}

/// Calls that wait take from the limiter, which has the parked permits returned if it has too few.
impl<C: Clock> Whole for PerCore<C> {
    fn add_to(&self, parts: &mut Parts<'_>, n: Permits) -> Result<(), InvalidPermits> {
        self.limiter.add_to(parts, n)
    }

    fn wait(&self, n: Permits, max_wait: Option<Duration>) -> AcquireAny {
        self.limiter.wait(n, max_wait)
    }
}

impl<C: Clock> Clone for PerCore<C> {
    fn clone(&self) -> Self {
        Self::attach(&self.limiter, self.slots.len(), self.sizing)
    }
}

impl<C: Clock> Drop for PerCore<C> {
    fn drop(&mut self) {
        self.limiter.driver().detach();
    }
}

impl<C: Clock> fmt::Debug for PerCore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerCore")
            .field("limiter", &self.limiter)
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}

fn slots_of<C: Clock>(limiter: &RateLimiter<C>) -> Option<usize> {
    limiter.driver().shares().map(|shares| concrete(shares).all().len())
}

fn concrete(shares: &Arc<dyn Shares>) -> Arc<Slots> {
    let Ok(slots) = Arc::clone(shares).into_any().downcast() else {
        unreachable!("there are no other shares")
    };
    slots
}

/// The number of this thread, given in turn. Its slot affects only speed, so a thread may run on any core.
#[inline]
fn slot_of_thread() -> usize {
    const NONE: usize = usize::MAX;
    std::thread_local!(static NUMBER: Cell<usize> = const { Cell::new(NONE) });

    #[cold]
    fn assign(number: &Cell<usize>) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: any number will do. Without the highest bit it is never `NONE`.
        let next = NEXT.fetch_add(1, Ordering::Relaxed) & (NONE >> 1);
        number.set(next);
        next
    }

    NUMBER.with(|number| match number.get() {
        NONE => assign(number),
        known => known,
    })
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
