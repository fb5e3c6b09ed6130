//! A list of futures whose starts are paced.

use core::{
    fmt,
    future::Future,
    iter::Fuse,
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::collections::BTreeMap;

use futures_core::Stream;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pin_project_lite::pin_project;

use crate::{AcquireAny, AllOf, Denied, Limit};

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
/// [`AllOf::acquire`].
///
/// # Cancel safety
/// Dropping the stream drops the futures that are running. The rest of the list is not started and takes no permits.
///
/// # Panics
/// As [`RateLimiter::acquire`](crate::RateLimiter::acquire), and if a future or the iterator panics. Also if the limit can never admit a call: an
/// [`AllOf`] that asks for more than a burst, maybe since a later [`set_quota`](crate::RateLimiter::set_quota).
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
pub fn throttle<I>(futures: I, limit: &(impl Limit + ?Sized)) -> Throttle<I::IntoIter>
where
    I: IntoIterator,
    I::Item: Future,
{
    Throttle {
        // Fused: an iterator may return more items after its first `None`.
        rest: futures.into_iter().fuse(),
        next: None,
        permit: Permit::new(AllOf::new().and(limit, 1)),
        running: FuturesUnordered::new(),
        most: usize::MAX,
        started: 0,
        ordered: None,
    }
}

/// One permit of a limit after the other.
pub(crate) struct Permit {
    limit: AllOf,
    acquire: Pin<Box<Option<AcquireAny>>>,
    is_closed: bool,
}

impl Permit {
    pub(crate) fn new(limit: AllOf) -> Self {
        Self { limit, acquire: Box::pin(None), is_closed: false }
    }

    /// Waits for the next permit; for ever if a limiter is closed.
    ///
    /// # Panics
    /// If the limit can never admit a call.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_closed {
            return Poll::Pending;
        }
        if self.acquire.is_none() {
            self.acquire.set(Some(self.limit.acquire_n(1.into())));
        }
        let Some(acquire) = self.acquire.as_mut().as_pin_mut() else { unreachable!("it was just set") };
        let granted = ready!(acquire.poll(cx));
        self.acquire.set(None);
        match granted {
            Ok(()) => Poll::Ready(()),
            Err(Denied::Closed) => {
                self.is_closed = true;
                Poll::Pending
            }
            Err(denied) => panic!("paced by a limit that can never admit a call: {denied}"),
        }
    }
}

/// How many futures are started before the others are polled again: a limiter may have permits without end.
const STARTED_AT_ONCE: usize = 32;

/// The stream of [`throttle`].
#[must_use = "streams do nothing unless polled"]
pub struct Throttle<I>
where
    I: Iterator,
    I::Item: Future,
{
    rest: Fuse<I>,
    next: Option<I::Item>,
    permit: Permit,
    running: FuturesUnordered<Numbered<I::Item>>,
    /// The most futures to run at once.
    most: usize,
    started: usize,
    ordered: Option<Ordered<<I::Item as Future>::Output>>,
}

// No field is pinned in place.
impl<I> Unpin for Throttle<I>
where
    I: Iterator,
    I::Item: Future,
{
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

impl<I> Throttle<I>
where
    I: Iterator,
    I::Item: Future,
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
    pub async fn all(mut self) -> Vec<<I::Item as Future>::Output> {
        let mut outputs = Vec::with_capacity(self.rest.size_hint().0);
        while let Some(output) = core::future::poll_fn(|cx| self.poll_finished(cx)).await {
            outputs.push(output);
        }
        outputs.sort_unstable_by_key(|&(number, _)| number);
        outputs.into_iter().map(|(_, output)| output).collect()
    }

    /// The next future that finishes: its number, and its output.
    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, <I::Item as Future>::Output)>> {
        let kept = self.ordered.as_ref().map_or(0, |ordered| ordered.finished.len());
        let mut started = 0;
        while self.running.len() + kept < self.most && started < STARTED_AT_ONCE {
            if self.next.is_none() {
                self.next = self.rest.next();
                if self.next.is_none() {
                    break;
                }
            }
            if self.permit.poll(cx).is_pending() {
                break;
            }
            if let Some(future) = self.next.take() {
                self.running.push(Numbered { number: self.started, future });
                self.started += 1;
                started += 1;
            }
        }
        if started == STARTED_AT_ONCE {
            // There may be more to start, after these have been polled.
            cx.waker().wake_by_ref();
        }
        match self.running.poll_next_unpin(cx) {
            Poll::Ready(None) if self.next.is_some() => Poll::Pending,
            polled => polled,
        }
    }
}

impl<I> Stream for Throttle<I>
where
    I: Iterator,
    I::Item: Future,
{
    type Item = <I::Item as Future>::Output;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(ordered) = &mut self.ordered {
                if let Some(output) = ordered.finished.remove(&ordered.returned) {
                    ordered.returned += 1;
                    return Poll::Ready(Some(output));
                }
            }
            let Some((number, output)) = ready!(self.poll_finished(cx)) else { return Poll::Ready(None) };
            match &mut self.ordered {
                Some(ordered) => drop(ordered.finished.insert(number, output)),
                None => return Poll::Ready(Some(output)),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let kept = self.ordered.as_ref().map_or(0, |ordered| ordered.finished.len());
        let here = self.running.len() + kept + usize::from(self.next.is_some());
        let (low, high) = self.rest.size_hint();
        (low.saturating_add(here), high.and_then(|high| high.checked_add(here)))
    }
}

impl<I> fmt::Debug for Throttle<I>
where
    I: Iterator,
    I::Item: Future,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("started", &self.started)
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}
