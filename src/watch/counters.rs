//! The counters of a watched limiter.
//!
//! All accesses are Relaxed: a counter orders nothing, and a snapshot promises no more than that it contains the calls that
//! happened before it.

use core::sync::atomic::Ordering::Relaxed;

use crossbeam_utils::CachePadded;

use super::{
    threads::{Stripe, current, stripes},
    waits::WaitCounters,
};
use crate::sync::plain::AtomicU64;

/// The calls of one thread that were decided at once.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) admitted: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// Events of the slow path, which several threads count.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) joined: AtomicU64,
    pub(super) granted: AtomicU64,
    pub(super) too_late: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) given_back: AtomicU64,
    pub(super) charged: AtomicU64,
    pub(super) pauses: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Counters {
    calls: Box<[CachePadded<Calls>]>,
    pub(super) events: Events,
    pub(super) waits: WaitCounters,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            calls: (0..stripes()).map(|_| CachePadded::default()).collect(),
            events: Events::default(),
            waits: WaitCounters::new(),
        }
    }

    #[inline]
    pub(super) fn count_call(&self, which: impl Fn(&Calls) -> &AtomicU64) {
        match current() {
            Stripe::Own(number) => {
                let counter = which(&self.calls[number]);
                // Relaxed: this thread alone writes it (`threads.rs`).
                counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
            }
            Stripe::Shared => count(which(&self.calls[self.calls.len() - 1])),
        }
    }

    /// The sum over all threads.
    pub(super) fn calls(&self, which: impl Fn(&Calls) -> &AtomicU64) -> u64 {
        self.calls.iter().fold(0, |sum, calls| sum.wrapping_add(which(calls).load(Relaxed)))
    }
}

/// Counts one more, for counters with several writers.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

pub(super) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}
