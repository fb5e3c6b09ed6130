//! An iterator whose items are paced: it blocks the thread.

use core::fmt;

use crate::{all_of::Limit, payment::Payment, permits::Permits};

/// Paces an iterator by any [`Limit`], in a thread that may block. The trait is implemented for all iterators. In a task use
/// [`PacedExt`](super::PacedExt) with a stream.
///
/// # Examples
/// ```
/// use tidegate::{PacedIterExt, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(1000).with_burst(1));
/// for request in (0..5).blocking_paced_by(&limiter) {
///     println!("at most one in a millisecond: {request}");
/// }
///
/// let bytes = RateLimiter::new(Quota::per_second(1_000_000));
/// let lines = ["one", "two", "three"].into_iter().blocking_paced_by(&bytes).weighing(|line| line.len() as u64);
/// assert_eq!(lines.count(), 3);
/// ```
pub trait PacedIterExt: Iterator {
    /// Takes a permit for each item: `next()` takes the item from the iterator, and blocks the thread until the permit is
    /// granted. The end of the iterator takes no permit. For items of different weights add
    /// [`weighing`](BlockingPacedBy::weighing).
    ///
    /// Fairness and timers as [`RateLimiter::blocking_acquire`](crate::RateLimiter::blocking_acquire).
    ///
    /// # Panics
    /// In `next()`:
    /// - If it is called inside a task of a tokio runtime, also if the permits are available.
    /// - If the limiter is or becomes [closed](crate::RateLimiter::close). The item is lost. To end a loop by `close`, call
    ///   [`blocking_acquire_n`](Limit::blocking_acquire_n) in it instead, which returns an error then.
    /// - If the limit can never admit a call, as [`throttle`](crate::throttle()).
    fn blocking_paced_by(self, limit: &(impl Limit + ?Sized)) -> BlockingPacedBy<Self>
    where
        Self: Sized,
    {
        BlockingPacedBy { iter: self, payment: Payment::new(limit), weight: |_| Permits::from(1) }
    }
}

impl<I: Iterator + ?Sized> PacedIterExt for I {}

/// The iterator of [`PacedIterExt::blocking_paced_by`].
#[must_use = "iterators do nothing unless they are asked for items"]
pub struct BlockingPacedBy<I: Iterator, F = fn(&<I as Iterator>::Item) -> Permits> {
    iter: I,
    payment: Payment,
    weight: F,
}

impl<I: Iterator> BlockingPacedBy<I> {
    /// Takes `weight(&item)` permits for each item instead of one. Weights and heavy items as
    /// [`PacedBy::weighing`](super::PacedBy::weighing). See the example of [`PacedIterExt`].
    ///
    /// # Panics
    /// If `weight` panics; the item is lost then.
    pub fn weighing<F, W>(self, weight: F) -> BlockingPacedBy<I, F>
    where
        F: FnMut(&I::Item) -> W,
        W: Into<Permits>,
    {
        BlockingPacedBy { iter: self.iter, payment: self.payment.in_parts(), weight }
    }
}

impl<I, F, W> Iterator for BlockingPacedBy<I, F>
where
    I: Iterator,
    F: FnMut(&I::Item) -> W,
    W: Into<Permits>,
{
    type Item = I::Item;

    #[track_caller]
    fn next(&mut self) -> Option<I::Item> {
        let item = self.iter.next()?;
        self.payment.owe((self.weight)(&item).into());
        let paid = self.payment.block();
        assert!(
            paid.is_ok(),
            "the limiter is closed: to end a loop by `close`, call `blocking_acquire_n` in it"
        );
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.iter.size_hint()
    }
}

impl<I: Iterator + fmt::Debug, F> fmt::Debug for BlockingPacedBy<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingPacedBy").field("iter", &self.iter).finish_non_exhaustive()
    }
}
