//! Bytes through a limit: one permit is one byte.

mod allowance;
mod blocking;
#[cfg(feature = "io-body")]
mod body;
#[cfg(feature = "tokio")]
mod tasks;

use core::fmt;
use std::io::IoSlice;

use pin_project_lite::pin_project;

use self::allowance::{Allowance, Quantum};
#[cfg(feature = "io-body")]
pub use self::body::PacedBody;
use crate::Limit;

pin_project! {
    /// A reader, a writer or both, whose bytes pass at the pace of a [`Limit`]: one permit is one byte.
    ///
    /// It implements tokio's `AsyncRead` and `AsyncWrite` (with the feature `tokio`), and for threads [`std::io::Read`] and
    /// [`std::io::Write`], each if `T` does. It is `Unpin` if `T` is. Reads and writes each have a limit: the
    /// [same](Self::new), [two](Self::write_limit), or [only one of them](Self::unlimited). A connection can have a limit of its own
    /// beside one that all connections share: an [`AllOf`](crate::AllOf).
    ///
    /// Wrap the connection and not the request: an HTTP client keeps its connections for later requests.
    ///
    /// # Quanta
    /// A stream takes its permits in quanta, however large or small its reads and writes are. A quantum is what accrues in 50 ms by the
    /// slowest of its limits, up to 8 KiB, unless the program [chooses](Self::quantum) another. If 8 KiB are available, the stream
    /// takes them: it waits for nothing then.
    ///
    /// A read or a write passes at most what is left of the quantum, so large ones are cut, and small ones use it up over several calls.
    /// Only bytes that have passed are debited. The rest of a quantum stays with the stream for its next call. It goes back when the
    /// stream is dropped, when a read meets the end, and for writes when the stream has been shut down. A stream may hold a quantum
    /// for reads and one for writes, also while it waits for the other side: give many idle connections a small quantum.
    ///
    /// If the limit can never grant so much at once, the stream asks for the most that it can grant, also after a
    /// [`set_quota`](crate::RateLimiter::set_quota) with a smaller burst. With a burst of one, as that of
    /// [`Quota::at_most`](crate::Quota::at_most), each byte is a call of its own, and a fast limit is not reached: set a burst.
    ///
    /// In any window of length `w` the bytes that pass are at most `burst + rate × (w + catch_up)`, and for each stream one
    /// quantum, which it may hold when the window begins.
    ///
    /// # Fairness
    /// Streams that are busy all the time share a limiter equally by byte, if their quanta are equal: each waits for one quantum
    /// at a time, in one queue in order of arrival. Reads and writes of one stream count as two streams.
    ///
    /// # Cancel safety
    /// A read or a write that is dropped while it waits has passed no byte. The stream keeps its place in the queue for the next
    /// call, and leaves the queue when it is dropped.
    ///
    /// # Errors
    /// Those of `T`. If the limit refuses, an [`io::Error`](std::io::Error) that holds the [`Denied`](crate::Denied):
    /// [`Denied::Closed`](crate::Denied::Closed) after [`close`](crate::RateLimiter::close), and
    /// [`Denied::TooMany`](crate::Denied::TooMany) if not even one byte can ever be granted, as by an `AllOf` that asks for more than
    /// a burst. No byte has passed then.
    ///
    /// # Panics
    /// As [`RateLimiter::acquire`](crate::RateLimiter::acquire). The methods of [`std::io`] also panic if they would have to wait
    /// inside a task, even if permits are available.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "tokio")] {
    /// use tidegate::{Paced, Quota, RateLimiter, TokioClock};
    /// use tokio::{io::AsyncWriteExt, time::Instant};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    /// # rt.block_on(async {
    /// // 1 MB/s, and 100 kB at once.
    /// let limiter = RateLimiter::with_clock(Quota::per_second(1_000_000).with_burst(100_000), TokioClock::new());
    /// let start = Instant::now();
    /// let mut stream = Paced::new(Vec::new(), &limiter).quantum(1_000);
    /// stream.write_all(&[7; 600_000]).await.unwrap();
    /// assert_eq!(start.elapsed().as_millis(), 500);
    /// assert_eq!(stream.into_inner().len(), 600_000);
    /// # });
    /// # }
    /// ```
    ///
    /// Each connection at most 2 MB/s, and all together at most 10 MB/s:
    /// ```
    /// use std::{net::TcpStream, sync::Arc};
    /// use tidegate::{AllOf, Limit, Paced, Quota, RateLimiter};
    ///
    /// fn paced(connection: TcpStream, all: &RateLimiter) -> Paced<TcpStream> {
    ///     let own = RateLimiter::new(Quota::per_second(2_000_000).with_burst(64_000));
    ///     Paced::new(connection, &AllOf::new().and(&own, 1).and(all, 1))
    /// }
    ///
    /// // A limit that the program chooses while it runs.
    /// fn chosen(connection: TcpStream, limit: &Arc<dyn Limit>) -> Paced<TcpStream> {
    ///     Paced::new(connection, limit)
    /// }
    /// # let all = RateLimiter::new(Quota::per_second(10_000_000));
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// # let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// # drop((paced(connect(), &all), chosen(connect(), &(Arc::new(all) as Arc<dyn Limit>))));
    /// ```
    #[must_use = "the stream inside is not paced otherwise"]
    pub struct Paced<T> {
        #[pin]
        io: T,
        quantum: Quantum,
        reads: Option<Allowance>,
        writes: Option<Allowance>,
    }
}

impl<T> Paced<T> {
    /// Paces reads and writes by one limit: what is read and what is written count together. See the examples of [`Paced`].
    pub fn new(io: T, limit: &(impl Limit + ?Sized)) -> Self {
        Self::unlimited(io).read_limit(limit).write_limit(limit)
    }

    /// Paces nothing yet: for [`read_limit`](Self::read_limit) and [`write_limit`](Self::write_limit).
    pub fn unlimited(io: T) -> Self {
        Self { io, quantum: Quantum::BY_RATE, reads: None, writes: None }
    }

    /// Paces reads by this limit, in place of the one that they had.
    ///
    /// ```
    /// use std::io::Read;
    /// use tidegate::{Paced, Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// let mut reads = Paced::unlimited(&b"tide"[..]).read_limit(&limiter);
    /// let mut text = String::new();
    /// reads.read_to_string(&mut text).unwrap();
    /// assert_eq!((text.as_str(), limiter.available()), ("tide", 6));
    /// ```
    pub fn read_limit(mut self, limit: &(impl Limit + ?Sized)) -> Self {
        self.reads = Some(Allowance::new(limit));
        self
    }

    /// Paces writes by this limit, in place of the one that they had.
    ///
    /// ```
    /// use tidegate::{Paced, Quota, RateLimiter};
    /// let (down, up) = (RateLimiter::new(Quota::per_second(5_000_000)), RateLimiter::new(Quota::per_second(500_000)));
    /// # let stream = std::io::Cursor::new(Vec::<u8>::new());
    /// let stream = Paced::new(stream, &down).write_limit(&up);
    /// # drop(stream);
    /// ```
    pub fn write_limit(mut self, limit: &(impl Limit + ?Sized)) -> Self {
        self.writes = Some(Allowance::new(limit));
        self
    }

    /// How many bytes the stream takes from its limit at a time, in place of what accrues in 50 ms, up to 8 KiB.
    ///
    /// All streams that share a limiter should have the same, since it is their share. A larger quantum costs less at 100 MB/s. With one
    /// that takes seconds to pass, a stream stands still for as long, and a new quota comes into effect after as long.
    ///
    /// # Panics
    /// If `bytes` is zero.
    ///
    /// See the example of [`Paced`].
    #[track_caller]
    pub fn quantum(mut self, bytes: usize) -> Self {
        self.quantum = Quantum::of(bytes);
        self
    }

    /// The stream inside.
    pub const fn get_ref(&self) -> &T {
        &self.io
    }

    /// The stream inside. Bytes that are read or written through it are not paced.
    pub const fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// The stream inside. Permits that it has not used go back. See the example of [`Paced`].
    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: fmt::Debug> fmt::Debug for Paced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = |allowance: &Option<Allowance>| allowance.as_ref().map(Allowance::left);
        f.debug_struct("Paced")
            .field("io", &self.io)
            .field("quantum", &self.quantum)
            .field("held_for_reads", &held(&self.reads))
            .field("held_for_writes", &held(&self.writes))
            .finish_non_exhaustive()
    }
}

/// The part of `buf` that an allowance pays for; all of it if there is no limit.
fn part(buf: &[u8], most: usize) -> &[u8] {
    &buf[..buf.len().min(most)]
}

/// The buffers that an allowance pays for: the first ones that fit, or else a part of the first that is not empty.
enum Parts<'a, 'b> {
    Whole(&'a [IoSlice<'b>]),
    One(&'a [u8]),
}

impl<'a, 'b> Parts<'a, 'b> {
    fn new(bufs: &'a [IoSlice<'b>], most: usize) -> Self {
        let mut room = most;
        let fits = bufs.iter().take_while(|buf| match room.checked_sub(buf.len()) {
            Some(rest) => {
                room = rest;
                true
            }
            None => false,
        });
        let fits = fits.count();
        if room < most || fits == bufs.len() {
            return Self::Whole(&bufs[..fits]);
        }
        // All buffers before it are empty.
        Self::One(part(&bufs[fits], most))
    }
}
