//! What the callers of a member and its task tell each other.

use core::time::Duration;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::oneshot;

use super::{
    authority::{LONGEST_PAUSE_US, pause_us},
    error::StoreError,
    needs::Need,
    report::Counters,
};
use crate::sync::plain::{AtomicU64, Mutex};

/// A pause that a caller has asked for, in microseconds, and the channel by which the caller learns the level then. A pause
/// of zero only asks for the level.
pub(super) type PauseAsked = (u64, oneshot::Sender<Result<u64, StoreError>>);

/// What callers and the task share.
#[derive(Debug)]
pub(super) struct Mail {
    /// `None` once the task has ended.
    pauses: Mutex<Option<Vec<PauseAsked>>>,
    /// The same.
    needs: Mutex<Option<Vec<Need>>>,
    pub(super) counters: Arc<Counters>,
    /// The most permits of a call that was refused since the last look.
    refused: AtomicU64,
    /// Whether the last call failed, so that the member may have taken permits without the server.
    is_away: AtomicBool,
    is_leaving: AtomicBool,
}

impl Mail {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            pauses: Mutex::new(Some(Vec::new())),
            needs: Mutex::new(Some(Vec::new())),
            counters,
            refused: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
        }
    }

    /// Asks for a pause. Returns whether the task is there to carry it out.
    pub(super) fn ask_for_pause(&self, asked: PauseAsked) -> bool {
        self.pauses.lock().as_mut().map(|pauses| pauses.push(asked)).is_some()
    }

    /// The longest pause that is asked for, in microseconds.
    pub(super) fn longest_pause_us(&self) -> Option<u64> {
        self.pauses.lock().iter().flatten().map(|(pause_us, _)| *pause_us).max()
    }

    /// Takes the pauses that one of this length covers.
    pub(super) fn take_pauses(&self, pause_us: u64) -> Vec<PauseAsked> {
        let mut pauses = self.pauses.lock();
        let Some(all) = pauses.as_mut() else { return Vec::new() };
        let (covered, longer) = core::mem::take(all).into_iter().partition(|asked| asked.0 <= pause_us);
        *all = longer;
        covered
    }

    /// Asks for a pause of which nobody is told. One that is too long is the longest.
    pub(super) fn pause(&self, pause: Duration) {
        let us = pause_us(pause).unwrap_or(LONGEST_PAUSE_US);
        if us > 0 {
            self.ask_for_pause((us, oneshot::channel().0));
        }
    }

    /// Notes that a call which does not wait was refused. Returns whether that is news for the task.
    pub(super) fn note_refused(&self, permits: u64) -> bool {
        // Relaxed, here and below: a number alone.
        self.refused.fetch_max(permits, Ordering::Relaxed) < permits
    }

    pub(super) fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    /// Asks for a lease. Returns whether the task is there.
    pub(super) fn ask_for_lease(&self, need: Need) -> bool {
        self.needs.lock().as_mut().map(|needs| needs.push(need)).is_some()
    }

    pub(super) fn take_needs(&self) -> Vec<Need> {
        self.needs.lock().as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Answers needs whose time is over.
    pub(super) fn drop_late_needs(&self, now_ns: u64) {
        if let Some(needs) = self.needs.lock().as_mut() {
            needs.retain(|need| need.is_open(now_ns));
        }
    }

    /// The task has ended. Dropping what was asked tells the callers.
    pub(super) fn end(&self) {
        drop(self.pauses.lock().take());
        drop(self.needs.lock().take());
    }

    // Relaxed, both: a mark alone.
    pub(super) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Asks the task to end. The caller notifies it.
    pub(super) fn leave(&self) {
        // Release: pairs with the Acquire below, though nothing but the mark itself is read.
        self.is_leaving.store(true, Ordering::Release);
    }

    pub(super) fn is_leaving(&self) -> bool {
        // Acquire: as above.
        self.is_leaving.load(Ordering::Acquire)
    }
}
