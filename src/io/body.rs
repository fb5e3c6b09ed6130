//! HTTP bodies.

use core::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::allowance::{Allowance, Quantum};
use crate::Limit;

pin_project! {
    /// A body of HTTP whose bytes pass at the pace of a [`Limit`]: one permit is one byte.
    ///
    /// Large frames of data are cut: what was granted passes at once, and the rest as later frames. `Bytes` are cut without a copy, and
    /// the frames are `Bytes`, whatever the body inside has. Trailers pass at once. For bytes on the wire, with headers and TLS, pace
    /// the connection by [`Paced`](crate::Paced) instead.
    ///
    /// Permits are taken in quanta, as by [`Paced`](crate::Paced): so bodies that share a limiter share it equally by byte. The rest of
    /// a quantum counts for the next frame, and goes back when the body ends or is dropped.
    ///
    /// # Cancel safety
    /// Dropping the body leaves the queue, and what was granted and did not pass goes back.
    ///
    /// # Errors
    /// Those of the body, and a [`Denied`](crate::Denied) as by [`Paced`](crate::Paced). Both are boxed.
    ///
    /// # Panics
    /// As [`RateLimiter::acquire`](crate::RateLimiter::acquire).
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "tokio")] {
    /// use http_body_util::{BodyExt, Full};
    /// use hyper::body::Bytes;
    /// use tidegate::{PacedBody, Quota, RateLimiter, TokioClock};
    /// use tokio::time::Instant;
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::with_clock(Quota::per_second(1_000_000).with_burst(10_000), TokioClock::new());
    /// let start = Instant::now();
    /// let body = PacedBody::new(Full::new(Bytes::from(vec![7; 210_000])), &limiter).quantum(1_000);
    /// assert_eq!(body.collect().await.unwrap().to_bytes().len(), 210_000);
    /// assert_eq!(start.elapsed().as_millis(), 200);
    /// # });
    /// # }
    /// ```
    #[must_use = "the body inside is not paced otherwise"]
    pub struct PacedBody<B: Body> {
        #[pin]
        body: B,
        // What is left of a frame of data: never empty.
        rest: Option<B::Data>,
        quantum: Quantum,
        allowance: Allowance,
    }
}

impl<B: Body> PacedBody<B> {
    /// Paces the frames of `body`. See the example of [`PacedBody`].
    pub fn new(body: B, limit: &(impl Limit + ?Sized)) -> Self {
        Self { body, rest: None, quantum: Quantum::BY_RATE, allowance: Allowance::new(limit) }
    }

    /// How many bytes the body takes from its limit at a time, as [`Paced::quantum`](crate::Paced::quantum). No frame that it
    /// returns is larger.
    ///
    /// # Panics
    /// If `bytes` is zero.
    ///
    /// See the example of [`PacedBody`].
    #[track_caller]
    pub fn quantum(mut self, bytes: usize) -> Self {
        self.quantum = Quantum::of(bytes);
        self
    }

    /// The body inside.
    pub const fn get_ref(&self) -> &B {
        &self.body
    }

    /// The body inside. Frames that are taken from it are not paced.
    pub const fn get_mut(&mut self) -> &mut B {
        &mut self.body
    }

    /// The body inside. What is left of a frame is lost. Permits that were not used go back.
    pub fn into_inner(self) -> B {
        self.body
    }
}

impl<B: Body> Body for PacedBody<B>
where
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let rest = match &mut *this.rest {
            Some(rest) => rest,
            none => {
                let Some(frame) = ready!(this.body.poll_frame(cx)) else {
                    this.allowance.give_back();
                    return Poll::Ready(None);
                };
                match frame.map_err(Into::into)?.into_data() {
                    Ok(data) if data.has_remaining() => none.insert(data),
                    Ok(_) => return Poll::Ready(Some(Ok(Frame::data(Bytes::new())))),
                    // Trailers.
                    Err(frame) => return Poll::Ready(Some(Ok(frame.map_data(|_| Bytes::new())))),
                }
            }
        };
        let bytes = ready!(this.allowance.poll_some(*this.quantum, cx))?.min(rest.remaining());
        // For `Bytes` it is no copy.
        let part = rest.copy_to_bytes(bytes);
        this.allowance.spend(bytes);
        if !rest.has_remaining() {
            *this.rest = None;
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let waiting = self.rest.as_ref().map_or(0, Buf::remaining) as u64;
        // The upper bound first: the lower one may not be above it.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(waiting));
        }
        hint.set_lower(hint.lower().saturating_add(waiting));
        hint
    }
}

impl<B: Body + fmt::Debug> fmt::Debug for PacedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedBody")
            .field("body", &self.body)
            .field("quantum", &self.quantum)
            .field("held", &self.allowance.left())
            .field("rest_of_frame", &self.rest.as_ref().map_or(0, Buf::remaining))
            .finish_non_exhaustive()
    }
}
