//! A stream whose items are paced.

use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::{AllOf, Limit, throttle::Permit};

/// Paces a [`Stream`] by any [`Limit`]. The trait is implemented for all streams.
///
/// For futures that are to be started at a rate and run concurrently, use [`throttle`](crate::throttle()).
///
/// # Examples
/// ```
/// # #[cfg(feature = "tokio")] {
/// use futures_util::{StreamExt, stream};
/// use tidegate::{PacedExt, RateLimiter, TokioClock};
/// use tokio::time::Instant;
///
/// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
/// # rt.block_on(async {
/// let limiter = RateLimiter::with_clock("1 per 1500ms".parse().unwrap(), TokioClock::new());
/// let start = Instant::now();
/// let times = stream::iter(["a", "b", "c"]).paced_by(&limiter).map(|item| (item, start.elapsed().as_millis()));
/// assert_eq!(times.collect::<Vec<_>>().await, [("a", 0), ("b", 1500), ("c", 3000)]);
/// # });
/// # }
/// ```
pub trait PacedExt: Stream {
    /// Takes a permit for each item, and returns the item when the permit is granted. It asks the stream for the next item
    /// first, so that a stream without items takes no permits.
    ///
    /// # Fairness
    /// It waits for one permit at a time, as [`RateLimiter::acquire`](crate::RateLimiter::acquire) and
    /// [`AllOf::acquire`].
    ///
    /// # Cancel safety
    /// Dropping the stream leaves the queue. An item that waits for its permit is dropped with it.
    ///
    /// # Panics
    /// As [`throttle`](crate::throttle()). By a limiter that is closed, the stream stays pending: drop it.
    fn paced_by(self, limit: &(impl Limit + ?Sized)) -> PacedBy<Self>
    where
        Self: Sized,
    {
        PacedBy { stream: self, next: None, permit: Permit::new(AllOf::new().and(limit, 1)) }
    }
}

impl<S: Stream + ?Sized> PacedExt for S {}

pin_project! {
    /// The stream of [`PacedExt::paced_by`].
    #[must_use = "streams do nothing unless polled"]
    pub struct PacedBy<S: Stream> {
        #[pin]
        stream: S,
        // An item that waits for its permit.
        next: Option<S::Item>,
        permit: Permit,
    }
}

impl<S: Stream> Stream for PacedBy<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        if this.next.is_none() {
            let Some(item) = ready!(this.stream.poll_next(cx)) else { return Poll::Ready(None) };
            *this.next = Some(item);
        }
        ready!(this.permit.poll(cx));
        Poll::Ready(this.next.take())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = usize::from(self.next.is_some());
        let (low, high) = self.stream.size_hint();
        (low.saturating_add(here), high.and_then(|high| high.checked_add(here)))
    }
}

impl<S: Stream + fmt::Debug> fmt::Debug for PacedBy<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedBy").field("stream", &self.stream).finish_non_exhaustive()
    }
}
