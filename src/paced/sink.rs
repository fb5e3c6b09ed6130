//! A sink whose items are paced.

use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_sink::Sink;
use pin_project_lite::pin_project;

use crate::{all_of::Limit, payment::Payment, permits::Permits};

/// Paces a [`Sink`] by any [`Limit`]. The trait is implemented for all sinks.
///
/// # Examples
/// ```
/// # #[cfg(feature = "tokio")] {
/// use futures_util::{SinkExt, sink};
/// use tidegate::{PacedSinkExt, Quota, RateLimiter, TokioClock};
/// use tokio::time::Instant;
///
/// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
/// # rt.block_on(async {
/// // A hundred bytes a second.
/// let bytes = RateLimiter::with_clock(Quota::per_second(100), TokioClock::new());
/// let mut lines = sink::drain().sink_paced_by(&bytes).weighing(|line: &Vec<u8>| line.len() as u64);
/// let start = Instant::now();
/// lines.send(vec![0; 100]).await.unwrap();
/// lines.send(vec![0; 50]).await.unwrap();
/// assert_eq!(start.elapsed().as_millis(), 500);
/// # });
/// # }
/// ```
pub trait PacedSinkExt<Item>: Sink<Item> {
    /// Takes a permit for each item before the item goes to the sink. For items of different weights add
    /// [`weighing`](PacedSink::weighing).
    ///
    /// `start_send` keeps the item. The next `poll_ready`, `poll_flush` or `poll_close` waits for the permit and passes the item on.
    /// So `send` returns when the item has been sent, `feed` may leave one item here, and a sink without items takes no
    /// permits.
    ///
    /// It asks the sink to be ready first, and takes the permit afterwards: a sink that is slow does not let permits bunch
    /// up. A slot that the sink has reserved, such as one of a channel, is held during the wait for the permit.
    ///
    /// # Fairness
    /// It waits for one item at a time, as [`RateLimiter::acquire`](crate::RateLimiter::acquire) and
    /// [`AllOf::acquire`](crate::AllOf::acquire).
    ///
    /// # Cancel safety
    /// An item that the paced sink has taken is not lost if the future of `flush()` is dropped, nor if that of `send()` is: a later
    /// call passes it on. An item that it has not taken yet is dropped with the future of `send()`, as for other sinks. Dropping the
    /// paced sink leaves the queue, and drops the item that it keeps.
    ///
    /// # Panics
    /// As [`throttle`](crate::throttle()), and if `start_send` is called without a `poll_ready` that was ready. By a limiter
    /// that is closed, the sink stays pending while it keeps an item: drop it.
    fn sink_paced_by(self, limit: &(impl Limit + ?Sized)) -> PacedSink<Self, Item>
    where
        Self: Sized,
    {
        PacedSink { sink: self, next: None, payment: Payment::new(limit), weight: |_| Permits::from(1) }
    }
}

impl<Item, S: Sink<Item> + ?Sized> PacedSinkExt<Item> for S {}

pin_project! {
    /// The sink of [`PacedSinkExt::sink_paced_by`].
    #[must_use = "sinks do nothing unless polled"]
    pub struct PacedSink<S, Item, F = fn(&Item) -> Permits> {
        #[pin]
        sink: S,
        // An item that waits for its permits.
        next: Option<Item>,
        payment: Payment,
        weight: F,
    }
}

impl<S, Item> PacedSink<S, Item> {
    /// Takes `weight(&item)` permits for each item instead of one. Weights and heavy items as
    /// [`PacedBy::weighing`](super::PacedBy::weighing). See the example of [`PacedSinkExt`].
    ///
    /// # Panics
    /// If `weight` panics; the item is lost then.
    pub fn weighing<F, W>(self, weight: F) -> PacedSink<S, Item, F>
    where
        F: FnMut(&Item) -> W,
        W: Into<Permits>,
    {
        PacedSink { sink: self.sink, next: self.next, payment: self.payment.in_parts(), weight }
    }
}

impl<S: Sink<Item>, Item, F> PacedSink<S, Item, F> {
    /// Passes on the item that is kept, when it may.
    fn poll_empty(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let mut this = self.project();
        if this.next.is_none() {
            return Poll::Ready(Ok(()));
        }
        ready!(this.sink.as_mut().poll_ready(cx))?;
        ready!(this.payment.poll_open(cx));
        Poll::Ready(this.next.take().map_or(Ok(()), |item| this.sink.start_send(item)))
    }
}

impl<S, Item, F, W> Sink<Item> for PacedSink<S, Item, F>
where
    S: Sink<Item>,
    F: FnMut(&Item) -> W,
    W: Into<Permits>,
{
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.poll_empty(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: Item) -> Result<(), S::Error> {
        let this = self.project();
        assert!(
            this.next.is_none(),
            "start_send without a poll_ready that was ready: it keeps one item only"
        );
        this.payment.owe((this.weight)(&item).into());
        *this.next = Some(item);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.as_mut().poll_empty(cx))?;
        self.project().sink.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.as_mut().poll_empty(cx))?;
        self.project().sink.poll_close(cx)
    }
}

impl<S: fmt::Debug, Item, F> fmt::Debug for PacedSink<S, Item, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedSink").field("sink", &self.sink).finish_non_exhaustive()
    }
}
