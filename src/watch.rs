//! Counters and events of a limiter that is watched (feature `stats`).
//!
//! The driver tells its [`Watch`] what has become of each call. Without the feature a `Watch` is nothing, and telling it
//! anything is no instruction. With the feature, a limiter that nobody watches pays one load and one branch.
//!
//! # Invariants
//! 1. The driver tells a watch only while it holds no lock, since a listener is foreign code.
//! 2. Each call is told once: `admitted`, `refused` or `joined`. A waiter that has joined is told once more: `granted`,
//!    `too_late` or `cancelled`.
//! 3. A counter of a stripe has one writer: see `threads.rs`.

#[cfg(feature = "stats")]
mod counters;
#[cfg(feature = "stats")]
mod event;
#[cfg(not(feature = "stats"))]
mod off;
#[cfg(feature = "stats")]
mod on;
#[cfg(feature = "stats")]
mod stats;
#[cfg(feature = "stats")]
mod threads;
#[cfg(feature = "stats")]
mod waits;

#[cfg(not(feature = "stats"))]
pub(crate) use self::off::{Began, Watch};
#[cfg(feature = "stats")]
pub use self::{
    event::{Event, Listener},
    stats::Stats,
    waits::Waits,
};
#[cfg(feature = "stats")]
pub(crate) use self::{
    on::{Began, Watch},
    stats::Now,
};
