//! Futures whose starts are paced, from a list or a stream.

use core::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use std::collections::BTreeMap;

use futures_core::Stream;
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use pin_project_lite::pin_project;

use crate::{all_of::Limit, payment::Payment};

/// Starts futures in the order of a list, one for each permit of any [`Limit`]. Started futures run concurrently.
///
/// The result is a [`Stream`] of the outputs, in the order in which the futures finish, or [in the order of the
/// list](Throttle::in_order). [`all`](Throttle::all) waits for the whole list, and returns the outputs in its order.
/// [`concurrency`](Throttle::concurrency) bounds how many futures run at once. The stream is `Unpin`, and owns a handle
/// on the limit.
///
/// All futures run inside the task that polls the stream. To use other threads, let the futures spawn tasks.
///
/// # Fairness
/// The stream waits for one permit at a time, as [`RateLimiter::acquire`](crate::RateLimiter::acquire) and
/// [`AllOf::acquire`](crate::AllOf::acquire).
///
/// # Cancel safety
/// Dropping the stream drops the futures that are running. The rest of the list is not started and takes no permits.
///
/// # Panics
/// As [`RateLimiter::acquire`](crate::RateLimiter::acquire), and if a future or the iterator panics. Also if the limit can never admit a call: an
/// [`AllOf`](crate::AllOf) that asks for more than a burst, maybe since a later [`set_quota`](crate::RateLimiter::set_quota).
///
/// # Closed limiters
/// Futures that run are still finished. No other is started, and the stream then stays pending: drop it.
///
/// # Examples
/// ```
/// # #[cfg(feature = "tokio")] {
/// use tidegate::{Quota, RateLimiter, TokioClock, throttle};
/// use tokio::time::Instant;
///
/// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
/// # rt.block_on(async {
/// let limiter = RateLimiter::with_clock("1 per 1500ms".parse().unwrap(), TokioClock::new());
/// let start = Instant::now();
/// let calls = (0..4).map(|call| async move { (call, start.elapsed().as_millis()) });
///
/// let times = throttle(calls, &limiter).all().await;
/// assert_eq!(times, [(0, 0), (1, 1500), (2, 3000), (3, 4500)]);
///
/// // As a stream, with at most two futures at once.
/// use futures_util::StreamExt;
/// let mut outputs = throttle((0..4).map(std::future::ready), &limiter).concurrency(2).in_order();
/// while let Some(output) = outputs.next().await {
///     println!("{output}");
/// }
/// # });
/// # }
/// ```
pub fn throttle<I>(futures: I, limit: &(impl Limit + ?Sized)) -> Throttle<stream::Iter<I::IntoIter>>
where
    I: IntoIterator,
    I::Item: Future,
{
    throttle_stream(stream::iter(futures), limit)
}

/// Starts the futures of a stream, as [`throttle`] those of a list.
///
/// It asks for the next future only when one more may run, and takes a permit only for a future that has come. Besides those
/// that run, it keeps one future at most. The result is `Unpin` if the stream is.
///
/// # Cancel safety
/// As [`throttle`]; the future that waits for its permit is dropped as well. The futures that the stream has not returned yet
/// stay in the stream: pass `&mut stream` to use it afterwards.
///
/// # Panics
/// As [`throttle`], and if the stream panics.
///
/// # Examples
/// ```
/// # #[cfg(feature = "tokio")] {
/// use futures_util::{StreamExt, stream};
/// use tidegate::{Quota, RateLimiter, throttle_stream};
/// use tokio::sync::mpsc;
///
/// # async fn fetch(id: u32) -> u32 { id * 10 }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let limiter = RateLimiter::new(Quota::per_second(1000));
/// let (sender, mut receiver) = mpsc::channel(8);
/// for id in 1..=3 {
///     sender.send(id).await.unwrap();
/// }
/// drop(sender);
///
/// let ids = stream::poll_fn(move |cx| receiver.poll_recv(cx));
/// let answers = throttle_stream(ids.map(fetch), &limiter).concurrency(2).in_order();
/// assert_eq!(answers.collect::<Vec<_>>().await, [10, 20, 30]);
/// # });
/// # }
/// ```
pub fn throttle_stream<S>(futures: S, limit: &(impl Limit + ?Sized)) -> Throttle<S>
where
    S: Stream,
    S::Item: Future,
{
    Throttle {
        rest: futures,
        is_at_end: false,
        next: None,
        payment: Payment::new(limit),
        running: FuturesUnordered::new(),
        most: usize::MAX,
        started: 0,
        ordered: None,
    }
}

/// How many futures are started before the others are polled again: a limiter may have permits without end.
const STARTED_AT_ONCE: usize = 32;

pin_project! {
    /// The stream of [`throttle`] and [`throttle_stream`].
    #[must_use = "streams do nothing unless polled"]
    pub struct Throttle<S>
    where
        S: Stream,
        S::Item: Future,
    {
        #[pin]
        rest: S,
        // An iterator may return more items after its first `None`; a stream may panic.
        is_at_end: bool,
        // A future that waits for its permit.
        next: Option<S::Item>,
        payment: Payment,
        running: FuturesUnordered<Numbered<S::Item>>,
        // The most futures to run at once.
        most: usize,
        started: usize,
        ordered: Option<Ordered<<S::Item as Future>::Output>>,
    }
}

/// Outputs that are returned in the order of the list.
struct Ordered<T> {
    /// Finished, but not returned.
    finished: BTreeMap<usize, T>,
    returned: usize,
}

pin_project! {
    /// A future and its place in the list.
    struct Numbered<F> {
        number: usize,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Numbered<F> {
    type Output = (usize, F::Output);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.future.poll(cx));
        Poll::Ready((*this.number, output))
    }
}

impl<S> Throttle<S>
where
    S: Stream,
    S::Item: Future,
{
    /// Runs at most `most` futures at once. With [`in_order`](Self::in_order) that includes futures whose outputs have
    /// to wait for earlier ones. A permit is acquired only when a future may start.
    ///
    /// # Panics
    /// If `most` is zero.
    ///
    /// See the example of [`throttle`].
    #[track_caller]
    pub fn concurrency(mut self, most: usize) -> Self {
        assert!(most > 0, "a concurrency of zero would start no future: write 1 or more");
        self.most = most;
        self
    }

    /// Returns the outputs in the order of the list. See the example of [`throttle`].
    pub fn in_order(mut self) -> Self {
        self.ordered = Some(Ordered { finished: BTreeMap::new(), returned: 0 });
        self
    }

    /// Waits for all futures, and returns their outputs in the order of the list. See the example of [`throttle`].
    pub async fn all(self) -> Vec<<S::Item as Future>::Output> {
        let mut this = pin!(self);
        let mut outputs = Vec::with_capacity(this.rest.size_hint().0);
        while let Some(output) = core::future::poll_fn(|cx| this.as_mut().poll_finished(cx)).await {
            outputs.push(output);
        }
        outputs.sort_unstable_by_key(|&(number, _)| number);
        outputs.into_iter().map(|(_, output)| output).collect()
    }

    /// Outputs that wait for earlier ones.
    fn kept(&self) -> usize {
        self.ordered.as_ref().map_or(0, |ordered| ordered.finished.len())
    }

    /// The next future that finishes: its number, and its output.
    fn poll_finished(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(usize, <S::Item as Future>::Output)>> {
        let kept = self.kept();
        let mut this = self.project();
        let mut started = 0;
        while this.running.len() + kept < *this.most && started < STARTED_AT_ONCE {
            if this.next.is_none() && !*this.is_at_end {
                let Poll::Ready(next) = this.rest.as_mut().poll_next(cx) else { break };
                *this.is_at_end = next.is_none();
                *this.next = next;
                this.payment.owe(1.into());
            }
            if this.next.is_none() || this.payment.poll_open(cx).is_pending() {
                break;
            }
            if let Some(future) = this.next.take() {
                this.running.push(Numbered { number: *this.started, future });
                *this.started += 1;
                started += 1;
            }
        }
        if started == STARTED_AT_ONCE {
            // There may be more to start, after these have been polled.
            cx.waker().wake_by_ref();
        }
        match this.running.poll_next_unpin(cx) {
            Poll::Ready(None) if this.next.is_some() || !*this.is_at_end => Poll::Pending,
            polled => polled,
        }
    }
}

impl<S> Stream for Throttle<S>
where
    S: Stream,
    S::Item: Future,
{
    type Item = <S::Item as Future>::Output;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(ordered) = self.as_mut().project().ordered {
                if let Some(output) = ordered.finished.remove(&ordered.returned) {
                    ordered.returned += 1;
                    return Poll::Ready(Some(output));
                }
            }
            let Some((number, output)) = ready!(self.as_mut().poll_finished(cx)) else {
                return Poll::Ready(None);
            };
            match self.as_mut().project().ordered {
                Some(ordered) => drop(ordered.finished.insert(number, output)),
                None => return Poll::Ready(Some(output)),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = self.running.len() + self.kept() + usize::from(self.next.is_some());
        let (low, high) = if self.is_at_end { (0, Some(0)) } else { self.rest.size_hint() };
        (low.saturating_add(here), high.and_then(|high| high.checked_add(here)))
    }
}

impl<S> fmt::Debug for Throttle<S>
where
    S: Stream,
    S::Item: Future,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("started", &self.started)
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}
