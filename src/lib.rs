//! A lock-free rate limiter that tasks, threads, and cores share.
//!
//! ```
//! use tidegate::{Quota, RateLimiter};
//!
//! let limiter = RateLimiter::new(Quota::per_second(50).with_burst(10));
//! limiter.blocking_acquire(); // in a task: limiter.acquire().await
//! if let Err(denied) = limiter.try_acquire_n(10) {
//!     println!("{denied}"); // rate limited: retry after 20ms
//! }
//! ```
//!
//! **Mind the burst.** A quota lets its whole burst through at once, and then the rate: [`Quota::per_second(50)`] admits up to 100
//! calls in the first second. For a server that counts calls in windows use [`Quota::at_most`], which no window exceeds. The
//! page on [bursts and windows](guide::bursts) has pictures.
//!
//! The [guide] has a page for each task, with examples. The page to [compare](guide::compare) says how the calls of other limiters
//! are written here. What follows are the types, by what they are for.
//!
//! # The limiter
//! - [`RateLimiter`]: [`try_acquire`](RateLimiter::try_acquire) does not wait, [`acquire`](RateLimiter::acquire) waits in a task, and
//!   [`blocking_acquire`](RateLimiter::blocking_acquire) in a thread. Forms with `_n` take an [`Amount`] of permits, forms with
//!   `_within` a longest wait. A clone is another handle on the same limiter. See [waiting](guide::waiting).
//! - [`Denied`], [`AcquireError`] and [`ChargeError`]: why a call fails. [`Denied::retry_after`] says when to come back.
//! - [`Reservation`]: permits that go back unless they are spent, or are settled with the real cost. See [estimates](guide::estimates).
//! - [`Lane`]: which waiters go first. See [lanes](guide::lanes).
//! - [`Level`]: what is left. [`SavedState`]: a level that outlives the program.
//!
//! # Quotas
//! - [`Quota`]: a rate, a burst, an initial level and a catch-up, in code or as text such as `"100/s burst 20"`. See
//!   [quotas](guide::quotas), and [sizing](guide::sizing) for which to choose.
//! - [`Inherit`]: what becomes of the level when a live limiter gets another quota.
//!
//! # Several limits
//! - [`AllOf`]: several limits for one call, all or nothing: acquire, reserve, charge, pause. See
//!   [several limits](guide::several_limits).
//! - [`Limit`]: the trait of every kind of limit, also as `Box<dyn Limit>`.
//!
//! # Shares
//! - [`PerCore`] and [`Local`]: one quota on every core, for millions of permits a second. See [shares](guide::shares).
//!
//! # Keys
//! - [`Keyed`]: a limiter for each user or address, in a bounded table. See [keys](guide::keys). (Feature `keyed`.)
//!
//! # Servers
//! - [`tower::LimitLayer`]: limits the requests of axum, hyper and tonic. See [HTTP servers](guide::http_servers). (Feature `tower`.)
//!
//! # Clients
//! - [`client::ClientLayer`]: limits HTTP clients, obeys what servers say, and counts tokens. See
//!   [HTTP clients](guide::http_clients), and [a client of an LLM API](guide::llm_client). (Feature `client` or `reqwest`.)
//!
//! # Fleet
//! - [`Fleet`]: one quota for many processes, over Redis or Valkey. See [fleets](guide::fleet). (Feature `redis`.)
//! - [`KeyedFleet`]: one for each key. [`FleetStore`]: a connection for several fleets, or to a cluster (feature
//!   `redis-cluster`).
//! - [`StoreLimits`]: limits of a key that the server decides at each call, for low rates. (Feature `redis`.)
//!
//! # Streams and bytes
//! - [`throttle`](throttle()) and [`throttle_stream`]: start futures at a pace. See [streams](guide::streams).
//! - [`PacedExt`], [`PacedIterExt`] and [`PacedSinkExt`]: pace the items of streams, iterators and sinks.
//! - [`Paced`] and [`PacedBody`]: pace the bytes of connections, files and HTTP bodies. See [bytes](guide::bytes). (Features `io` and
//!   `io-body`.)
//!
//! # Watching
//! - [`RateLimiter::watched`] and [`Stats`]: counters, and a histogram of waits. [`Listener`] is told events. See
//!   [watching](guide::watching). (Feature `stats`; [`MetricsPublisher`] with `metrics`, [`TracingListener`] with `tracing`.)
//!
//! # Time
//! - [`QuantaClock`] (default), [`TokioClock`] and [`ManualClock`] are [`Clock`]s. See [tests without waiting](guide::testing).
//!
//! # Types of futures
//! [`futures`] has the futures and streams that calls return, for programs that name their types.
//!
//! # Features
//! `tokio` is on by default. `keyed`, `tower`, `client`, `reqwest`, `redis`, `io`, `io-body`, `sink`, `stats`, `metrics`, `tracing` and
//! `serde` are off; the README says what each needs. Without `tokio` waiting works as well, on any executor and in threads.
//!
//! [`Quota::per_second(50)`]: Quota::per_second

// So that docs.rs shows which feature an item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
// This page and the guide lead to items of all features, with which the documentation is built.
#![cfg_attr(
    not(all(
        feature = "client",
        feature = "io-body",
        feature = "metrics",
        feature = "redis",
        feature = "sink",
        feature = "tokio",
        feature = "tower",
        feature = "tracing"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

mod all_of;
mod asking;
#[cfg(feature = "client")]
pub mod client;
mod clock;
mod error;
#[cfg(feature = "redis")]
mod fleet;
mod frame;
mod gcra;
#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(feature = "io")]
mod io;
#[cfg(feature = "keyed")]
mod keyed;
mod lane;
mod limiter;
mod meter;
#[cfg(feature = "metrics")]
mod metrics;
mod paced;
mod payment;
mod per_core;
mod permits;
mod queue;
mod quota;
mod seq_lock;
mod shares;
mod sync;
mod throttle;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tracing")]
mod tracing;
mod watch;
mod word;

#[cfg(all(test, tidegate_loom))]
mod models;

pub use self::{
    all_of::{AllOf, AllOfChargeError, AllOfDenied, Limit, ReservationAll},
    clock::{Clock, ManualClock, Monotonic, QuantaClock},
    error::{AcquireError, ChargeError, Denied, NotYet, QueueFull, QuotaError, TooMany},
    lane::Lane,
    limiter::{InvalidSavedState, Level, RateLimiter, SavedState},
    paced::{PacedExt, PacedIterExt},
    per_core::{Local, PerCore, PerCoreBuilder, PerCoreError, SlotReport},
    permits::{Amount, InvalidPermits, Permits},
    queue::Reservation,
    quota::{Inherit, Quota},
    throttle::{throttle, throttle_stream},
};

/// The futures, streams, sinks and iterators that calls return, for programs that name their types.
///
/// Each is described at the call that returns it, such as [`RateLimiter::acquire`].
pub mod futures {
    #[doc(inline)]
    pub use crate::{
        all_of::{AcquireAll, AcquireAny, ReserveAll},
        paced::{BlockingPacedBy, PacedBy},
        queue::{Acquire, AcquireN, AcquireNOwned, AcquireOwned, AcquireWithin, AcquireWithinOwned},
        throttle::Throttle,
    };

    #[cfg(feature = "sink")]
    #[doc(inline)]
    pub use crate::paced::PacedSink;
}

// Documented in `futures` alone: a reader looks for calls, and not for what they return.
#[doc(hidden)]
pub use self::{
    all_of::{AcquireAll, AcquireAny, ReserveAll},
    paced::{BlockingPacedBy, PacedBy},
    queue::{Acquire, AcquireN, AcquireNOwned, AcquireOwned, AcquireWithin, AcquireWithinOwned},
    throttle::Throttle,
};

#[cfg(feature = "sink")]
#[doc(hidden)]
pub use self::paced::PacedSink;

#[cfg(feature = "io")]
pub use self::io::Paced;
#[cfg(feature = "io-body")]
pub use self::io::PacedBody;

#[cfg(feature = "keyed")]
pub use self::keyed::{Keyed, KeyedBuilder, Lookup, WhenFull};

#[cfg(feature = "sink")]
pub use self::paced::PacedSinkExt;

#[cfg(feature = "metrics")]
pub use self::metrics::{MetricsError, MetricsPublisher};

#[cfg(feature = "tracing")]
pub use self::tracing::TracingListener;

#[cfg(feature = "stats")]
pub use self::watch::{Event, Listener, Stats, Waits};

#[cfg(feature = "redis")]
pub use self::fleet::{
    Fleet, FleetBuilder, FleetError, FleetReport, FleetStore, KeyedFleet, LeaseClock, OnOutage, StoreError,
    StoreLimits, StoreLimitsError,
};

#[cfg(feature = "tokio")]
pub use self::clock::TokioClock;

/// The target of the fuzzer for the list of waiters, which is private.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_list(bytes: &[u8]) {
    queue::against_a_deque(bytes);
}
