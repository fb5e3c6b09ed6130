//! A list of futures whose starts are paced.

use core::{
    fmt,
    future::Future,
    iter::Fuse,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pin_project_lite::pin_project;

use crate::{Acquire, Clock, QuantaClock, RateLimiter};

/// Starts futures in the order of a list, one for each permit of the limiter. Started futures run concurrently.
///
/// The result is a [`Stream`] of the outputs, in the order in which the futures finish. [`all`](Throttle::all) waits
/// for the whole list, and returns the outputs in its order. All futures run inside the task that polls the stream. To
/// use other threads, let the futures spawn tasks.
///
/// The number of futures that run at once is not bounded. For outputs in order with a bound, use
/// `stream::iter(list).map(|item| limiter.run(call(item))).buffered(bound)`.
///
/// # Fairness
/// The stream waits in the limiter's queue for one permit at a time, as [`RateLimiter::acquire`].
///
/// # Cancel safety
/// Dropping the stream drops the futures that are running. The rest of the list is not started and takes no permits.
///
/// # Panics
/// As [`RateLimiter::acquire`], and if a future or the iterator panics.
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
/// // As a stream. It is not `Unpin`.
/// use futures_util::StreamExt;
/// let mut outputs = std::pin::pin!(throttle((0..4).map(std::future::ready), &limiter));
/// while let Some(output) = outputs.next().await {
///     println!("{output}");
/// }
/// # });
/// # }
/// ```
pub fn throttle<I, C>(futures: I, limiter: &RateLimiter<C>) -> Throttle<'_, I::IntoIter, C>
where
    I: IntoIterator,
    I::Item: Future,
    C: Clock,
{
    Throttle {
        limiter,
        // Fused: an iterator may return more items after its first `None`.
        rest: futures.into_iter().fuse(),
        next: None,
        permit: None,
        running: FuturesUnordered::new(),
        started: 0,
    }
}

pin_project! {
    /// The stream of [`throttle`].
    #[must_use = "streams do nothing unless polled"]
    pub struct Throttle<'a, I, C = QuantaClock>
    where
        I: Iterator,
        I::Item: Future,
        C: Clock,
    {
        limiter: &'a RateLimiter<C>,
        rest: Fuse<I>,
        next: Option<I::Item>,
        #[pin]
        permit: Option<Acquire<'a, C>>,
        running: FuturesUnordered<Numbered<I::Item>>,
        started: usize,
    }
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

impl<I, C> Throttle<'_, I, C>
where
    I: Iterator,
    I::Item: Future,
    C: Clock,
{
    /// Waits for all futures, and returns their outputs in the order of the list. See the example of [`throttle`].
    pub async fn all(self) -> Vec<<I::Item as Future>::Output> {
        let mut this = core::pin::pin!(self);
        let mut outputs = Vec::with_capacity(this.rest.size_hint().0);
        while let Some(output) = core::future::poll_fn(|cx| this.as_mut().poll_numbered(cx)).await {
            outputs.push(output);
        }
        outputs.sort_unstable_by_key(|&(number, _)| number);
        outputs.into_iter().map(|(_, output)| output).collect()
    }

    fn poll_numbered(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(usize, <I::Item as Future>::Output)>> {
        let mut this = self.project();
        loop {
            if this.next.is_none() {
                *this.next = this.rest.next();
                if this.next.is_none() {
                    break;
                }
                this.permit.set(Some(this.limiter.acquire()));
            }
            let Some(permit) = this.permit.as_mut().as_pin_mut() else { break };
            if permit.poll(cx).is_pending() {
                break;
            }
            this.permit.set(None);
            if let Some(future) = this.next.take() {
                this.running.push(Numbered { number: *this.started, future });
                *this.started += 1;
            }
        }
        match this.running.poll_next_unpin(cx) {
            Poll::Ready(None) if this.next.is_some() => Poll::Pending,
            polled => polled,
        }
    }
}

impl<I, C> Stream for Throttle<'_, I, C>
where
    I: Iterator,
    I::Item: Future,
    C: Clock,
{
    type Item = <I::Item as Future>::Output;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_numbered(cx).map(|output| output.map(|(_, output)| output))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = self.running.len() + usize::from(self.next.is_some());
        let (low, high) = self.rest.size_hint();
        (low.saturating_add(here), high.and_then(|high| high.checked_add(here)))
    }
}

impl<I, C> fmt::Debug for Throttle<'_, I, C>
where
    I: Iterator,
    I::Item: Future,
    C: Clock,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("started", &self.started)
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}
