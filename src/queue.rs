//! The slow path: a FIFO queue of waiters over the word, in three layers. [`core`] is a pure state machine. [`driver`]
//! is the only way to it, with lock, clock and wakes. [`alarm`] wakes the driver when the first waiter is due. The
//! calls are on top.
//!
//! ```text
//! calls, reports, requota, pause, waiter, blocking, reservation
//!   -> driver -> alarm
//!        -> core -> entry -> ledger, list
//! ```

mod alarm;
mod blocking;
mod calls;
mod coop;
mod core;
#[cfg(any(all(test, not(tidegate_loom)), fuzzing))]
mod deque;
mod driver;
mod entry;
mod guarded;
mod ledger;
mod list;
mod panics;
mod pause;
mod reports;
mod requota;
mod reservation;
mod saved;
mod shares;
mod virtual_time;
mod waiter;
mod wake_batch;
pub(crate) mod work;

#[cfg(feature = "keyed")]
pub(crate) use self::requota::Later;

#[cfg(fuzzing)]
pub(crate) use self::deque::against_a_deque;
pub(crate) use self::{
    alarm::Home,
    blocking::block_on,
    coop::poll_proceed,
    core::{Caller, after, not_yet},
    driver::{AnyDriver, Driver, Step},
    entry::{Ask, Entry, Grant, NEVER, Outcome, Place},
    reports::LevelAt,
    saved::Missing,
    shares::{Shares, Stolen},
    waiter::Waiter,
    wake_batch::WakeBatch,
};
pub use self::{
    reservation::Reservation,
    waiter::{Acquire, AcquireN, AcquireNOwned, AcquireOwned, AcquireWithin, AcquireWithinOwned},
};
