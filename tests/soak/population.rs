//! The callers in virtual time: one thread, a runtime that stalls, and alarms that ring late.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tidegate::{AcquireWithinOwned, Clock, Local, PerCore, RateLimiter, Reservation};

use super::ledger::Ledger;
use crate::late_clock::LateClock;

pub(crate) const MILLION: u64 = 1_000_000;

impl LateClock {
    pub(crate) fn advance(&self, by_ns: u64) {
        // Relaxed: all of it is on one thread.
        self.now.fetch_add(by_ns, Ordering::Relaxed);
    }
}

/// Opens an entry when it is woken first, which is when its waiter is served.
struct Note {
    clock: LateClock,
    ledger: Arc<Mutex<Ledger>>,
    entry: AtomicU64,
}

const NONE: u64 = u64::MAX;

impl Note {
    fn entry(&self) -> Option<u64> {
        // Relaxed: all of it is on one thread.
        Some(self.entry.load(Ordering::Relaxed)).filter(|&entry| entry != NONE)
    }
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        if self.entry().is_none() {
            let entry = self.ledger.lock().unwrap().open(self.clock.now());
            // Relaxed: see `entry`.
            self.entry.store(entry, Ordering::Relaxed);
        }
    }
}

/// A future that a caller owns.
pub(crate) struct Waiter {
    future: Pin<Box<AcquireWithinOwned<LateClock>>>,
    note: Arc<Note>,
    millionths: u64,
    /// Not polled for a long time.
    pub(crate) forgotten: bool,
}

impl Waiter {
    pub(crate) fn new(
        clock: &LateClock,
        ledger: &Arc<Mutex<Ledger>>,
        future: AcquireWithinOwned<LateClock>,
        millionths: u64,
        forgotten: bool,
    ) -> Self {
        let note = Note { clock: clock.clone(), ledger: Arc::clone(ledger), entry: AtomicU64::new(NONE) };
        Self { future: Box::pin(future), note: Arc::new(note), millionths, forgotten }
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.note.entry().is_some()
    }

    /// Whether it is settled: granted or refused.
    pub(crate) fn poll(&mut self) -> bool {
        let waker = Waker::from(Arc::clone(&self.note));
        let woken = self.is_woken();
        let Poll::Ready(outcome) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) else {
            assert!(!woken, "woken for nothing");
            return false;
        };
        let used = outcome.ok().map(|()| self.millionths);
        match (self.note.entry(), used) {
            (Some(entry), used) => self.close(entry, used),
            (None, Some(millionths)) => {
                self.note.ledger.lock().unwrap().waited(self.note.clock.now(), millionths);
            }
            (None, None) => {}
        }
        true
    }

    fn close(&self, entry: u64, used: Option<u64>) {
        self.note.ledger.lock().unwrap().close(entry, used, true);
    }

    /// Leaves, with what it was granted if it was.
    pub(crate) fn leave(self) {
        // A later waiter may be granted the returned permits.
        drop(self.future);
        if let Some(entry) = self.note.entry() {
            self.note.ledger.lock().unwrap().close(entry, None, true);
        }
    }
}

/// What was reserved, with its entry.
pub(crate) struct Held {
    pub(crate) reservation: Reservation<LateClock>,
    pub(crate) entry: u64,
}

/// A caller that parks permits.
pub(crate) enum User {
    Core(PerCore<LateClock>),
    Hand(Local<LateClock>),
}

impl User {
    pub(crate) fn new(limiter: &RateLimiter<LateClock>, by_hand: bool) -> Self {
        let per_core = PerCore::builder(limiter).slots(2).build().unwrap();
        if by_hand { Self::Hand(per_core.local()) } else { Self::Core(per_core) }
    }

    pub(crate) fn try_acquire(&mut self, n: u64) -> bool {
        match self {
            Self::Core(per_core) => per_core.try_acquire_n(n).is_ok(),
            Self::Hand(local) => local.try_acquire_n(n).is_ok(),
        }
    }

    /// Held, in millionths.
    pub(crate) fn held(&self) -> u64 {
        match self {
            Self::Core(_) => 0,
            Self::Hand(local) => local.held().whole() * MILLION + u64::from(local.held().millionths()),
        }
    }
}
