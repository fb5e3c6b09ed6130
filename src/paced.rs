//! Streams, sinks and iterators whose items are paced.

mod iter;
#[cfg(feature = "sink")]
mod sink;

use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;

pub use self::iter::{BlockingPacedBy, PacedIterExt};
#[cfg(feature = "sink")]
pub use self::sink::{PacedSink, PacedSinkExt};
use crate::{all_of::Limit, payment::Payment, permits::Permits};

/// Paces a [`Stream`] by any [`Limit`]. The trait is implemented for all streams.
///
/// For futures that are to be started at a rate and run concurrently, use [`throttle`](crate::throttle()) or
/// [`throttle_stream`](crate::throttle_stream). For iterators see [`PacedIterExt`], for sinks `PacedSinkExt` (feature
/// `sink`).
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
///
/// The receiver of a channel is a stream, too. `next()` may stand in a `tokio::select!`: a branch that loses the race loses
/// neither a message nor a permit.
/// ```
/// # #[cfg(feature = "tokio")] {
/// use futures_util::{StreamExt, stream};
/// use tidegate::{PacedExt, Quota, RateLimiter};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let limiter = RateLimiter::new(Quota::per_second(1000));
/// let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
/// let mut jobs = stream::poll_fn(move |cx| receiver.poll_recv(cx)).paced_by(&limiter);
/// sender.send("job").await.unwrap();
/// assert_eq!(jobs.next().await, Some("job"));
/// drop(sender);
/// assert_eq!(jobs.next().await, None);
/// # });
/// # }
/// ```
pub trait PacedExt: Stream {
    /// Takes a permit for each item, and returns the item when the permit is granted. It asks the stream for the next item
    /// first, so that a stream without items takes no permits. For items of different weights add
    /// [`weighing`](PacedBy::weighing).
    ///
    /// # Fairness
    /// It waits for one item at a time, as [`RateLimiter::acquire`](crate::RateLimiter::acquire) and
    /// [`AllOf::acquire`](crate::AllOf::acquire).
    ///
    /// # Cancel safety
    /// Dropping the future of `next()` loses nothing: the item and its place in the queue stay in the paced stream. Dropping
    /// the paced stream leaves the queue, and drops the one item that waits for its permit. The items that the source has
    /// not returned yet stay in the source: pace `&mut source` to use it afterwards.
    ///
    /// # Panics
    /// As [`throttle`](crate::throttle()). By a limiter that is closed, the stream stays pending: drop it.
    fn paced_by(self, limit: &(impl Limit + ?Sized)) -> PacedBy<Self>
    where
        Self: Sized,
    {
        PacedBy { stream: self, next: None, payment: Payment::new(limit), weight: |_| Permits::from(1) }
    }
}

impl<S: Stream + ?Sized> PacedExt for S {}

pin_project! {
    /// The stream of [`PacedExt::paced_by`].
    #[must_use = "streams do nothing unless polled"]
    pub struct PacedBy<S: Stream, F = fn(&<S as Stream>::Item) -> Permits> {
        #[pin]
        stream: S,
        // An item that waits for its permits.
        next: Option<S::Item>,
        payment: Payment,
        weight: F,
    }
}

impl<S: Stream> PacedBy<S> {
    /// Takes `weight(&item)` permits for each item instead of one: a whole number as `u64`, or a fraction as [`Permits`]. The
    /// weight is asked for once, when the item comes. An item of weight zero passes at once.
    ///
    /// To pace by calls and by bytes, pace twice: `stream.paced_by(&calls).paced_by(&bytes).weighing(…)`. Each of the two
    /// may then hold an item.
    ///
    /// # Heavy items
    /// An item that is heavier than the largest request of the limit is paid for in parts, each as large as the limit
    /// admits. It is returned when the last part is granted. Between two parts other callers may take permits. Each part
    /// may need a timer: set the burst to the weight of a usual item or more.
    ///
    /// # Cancel safety
    /// As [`paced_by`](PacedExt::paced_by). If the paced stream is dropped, parts that a heavy item has already paid are not given
    /// back. Of an item that is no heavier than the largest request, all permits are.
    ///
    /// # Panics
    /// If `weight` panics; the item is lost then. If even a millionth of a call can never be admitted, as by an
    /// [`AllOf`](crate::AllOf) with an invalid amount.
    ///
    /// ```
    /// # #[cfg(feature = "tokio")] {
    /// use futures_util::{StreamExt, stream};
    /// use tidegate::{PacedExt, Quota, RateLimiter, TokioClock};
    /// use tokio::time::Instant;
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    /// # rt.block_on(async {
    /// // A hundred bytes a second.
    /// let bytes = RateLimiter::with_clock(Quota::per_second(100), TokioClock::new());
    /// let start = Instant::now();
    /// // The last one is heavier than the burst.
    /// let lines = stream::iter([vec![0; 100], vec![0; 50], vec![0; 250]]);
    /// let paced = lines.paced_by(&bytes).weighing(|line| line.len() as u64);
    /// let times = paced.map(|line| (line.len(), start.elapsed().as_millis())).collect::<Vec<_>>().await;
    /// assert_eq!(times, [(100, 0), (50, 500), (250, 3000)]);
    /// # });
    /// # }
    /// ```
    pub fn weighing<F, W>(self, weight: F) -> PacedBy<S, F>
    where
        F: FnMut(&S::Item) -> W,
        W: Into<Permits>,
    {
        PacedBy { stream: self.stream, next: self.next, payment: self.payment.in_parts(), weight }
    }
}

impl<S, F, W> Stream for PacedBy<S, F>
where
    S: Stream,
    F: FnMut(&S::Item) -> W,
    W: Into<Permits>,
{
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        if this.next.is_none() {
            let Some(item) = ready!(this.stream.poll_next(cx)) else { return Poll::Ready(None) };
            this.payment.owe((this.weight)(&item).into());
            *this.next = Some(item);
        }
        ready!(this.payment.poll_open(cx));
        Poll::Ready(this.next.take())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = usize::from(self.next.is_some());
        let (low, high) = self.stream.size_hint();
        (low.saturating_add(here), high.and_then(|high| high.checked_add(here)))
    }
}

impl<S: Stream + fmt::Debug, F> fmt::Debug for PacedBy<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedBy").field("stream", &self.stream).finish_non_exhaustive()
    }
}
