//! The clock of a member's limiter. It shows time only as far as permits have been paid for.
//!
//! The *cover* is the reading up to which all that the limiter accrues has been leased. The clock stands still there. So a
//! limiter whose member is held up, however long, accrues nothing that the server has not granted: that needs no thread to
//! be in time. While the clock stands, it tells the member that somebody looks at it.

use core::{
    cell::Cell,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    task::Waker,
    time::Duration,
};
use std::sync::Arc;

use tokio::sync::Notify;

use super::{mail::Mail, needs::Need};
use crate::{
    clock::{Clock, Fetch, QuantaClock, Supplier},
    sync::{
        plain::{AtomicU64, Mutex},
        with_flag,
    },
};

/// The clock of the limiter of a [`Fleet`](crate::Fleet): another clock, as far as permits have been leased.
///
/// It has its own origin, and stands still while nothing is leased.
pub struct LeaseClock<C = QuantaClock> {
    base: C,
    cover: Arc<Cover>,
    mail: Arc<Mail>,
    call_timeout: Duration,
}

std::thread_local! {
    /// Whether this thread reads the clock for the member.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
pub(super) struct Cover {
    /// The reading at which the clock stands still.
    until_ns: AtomicU64,
    /// What is subtracted from the base clock: how long the clock has stood.
    stood_ns: AtomicU64,
    /// Whether the clock was read while it stood, since the member last looked.
    is_wanted: AtomicBool,
    member: Notify,
    /// Alarms for readings beyond the cover.
    alarms: Mutex<Vec<Waker>>,
}

impl Cover {
    pub(super) fn new(now_ns: u64) -> Arc<Self> {
        Arc::new(Self {
            until_ns: AtomicU64::new(now_ns),
            stood_ns: AtomicU64::new(0),
            is_wanted: AtomicBool::new(false),
            member: Notify::new(),
            alarms: Mutex::new(Vec::new()),
        })
    }

    // === for the member, which alone writes ===

    /// The reading, and the cover, at a reading of the base clock. If the clock stands, it goes on from there.
    pub(super) fn go_on(&self, base_ns: u64) -> (u64, u64) {
        // Relaxed, both: only this thread writes them.
        let until_ns = self.until_ns.load(Ordering::Relaxed);
        let stood_ns = self.stood_ns.load(Ordering::Relaxed);
        let reading_ns = base_ns.saturating_sub(stood_ns);
        if reading_ns <= until_ns {
            return (reading_ns, until_ns);
        }
        // Release is not needed: the store of the cover that follows has it. Until then the clock stands.
        self.stood_ns.store(base_ns - until_ns, Ordering::Relaxed);
        (until_ns, until_ns)
    }

    /// The reading, and the cover.
    pub(super) fn reading(&self, base_ns: u64) -> (u64, u64) {
        // Relaxed: as in `go_on`.
        let until_ns = self.until_ns.load(Ordering::Relaxed);
        let stood_ns = self.stood_ns.load(Ordering::Relaxed);
        (base_ns.saturating_sub(stood_ns).min(until_ns), until_ns)
    }

    /// Moves the cover forward.
    pub(super) fn extend(&self, until_ns: u64) {
        // Release: pairs with the Acquire of `now`, so that a thread which sees this cover subtracts what belongs to it.
        self.until_ns.store(until_ns, Ordering::Release);
        let alarms = core::mem::take(&mut *self.alarms.lock());
        alarms.into_iter().for_each(Waker::wake);
    }

    /// Calls `read`, which reads the clock for the member: nobody else wants permits because of it.
    pub(super) fn quietly<T>(read: impl FnOnce() -> T) -> T {
        with_flag(&QUIET, read)
    }

    /// Whether somebody has read the clock while it stood, since the last call.
    pub(super) fn take_wanted(&self) -> bool {
        // Relaxed: a mark alone.
        self.is_wanted.swap(false, Ordering::Relaxed)
    }

    pub(super) async fn wanted(&self) {
        self.member.notified().await;
    }

    pub(super) fn notify(&self) {
        self.member.notify_one();
    }

    // === for readers ===

    #[cold]
    fn want(&self) {
        // Relaxed, both: a mark alone. One notice for each look of the member.
        if !self.is_wanted.load(Ordering::Relaxed)
            && !QUIET.get()
            && !self.is_wanted.swap(true, Ordering::Relaxed)
        {
            self.notify();
        }
    }
}

impl<C> LeaseClock<C> {
    pub(super) const fn new(base: C, cover: Arc<Cover>, mail: Arc<Mail>, call_timeout: Duration) -> Self {
        Self { base, cover, mail, call_timeout }
    }
}

impl<C: Clock + Clone> Clock for LeaseClock<C> {
    fn now(&self) -> u64 {
        // Acquire: pairs with the Release of `extend`. A new cover comes with what is subtracted for it; an old cover
        // may come with the new one, and the clock then stands at the old cover.
        let until_ns = self.cover.until_ns.load(Ordering::Acquire);
        // Relaxed: ordered by the load before.
        let stood_ns = self.cover.stood_ns.load(Ordering::Relaxed);
        // After both, so that it is no older than the reading of the member that wrote them.
        let reading_ns = self.base.now().saturating_sub(stood_ns);
        if reading_ns < until_ns {
            return reading_ns;
        }
        self.cover.want();
        until_ns
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        let alarm = waker.clone();
        let mut alarms = self.cover.alarms.lock();
        // Under the lock: a cover that moves later finds this alarm. Relaxed: the lock orders it.
        if deadline > self.cover.until_ns.load(Ordering::Relaxed) {
            let is_known = alarms.iter().any(|set| set.will_wake(&alarm));
            if !is_known {
                alarms.push(alarm);
            }
            drop(alarms);
            if !is_known && !QUIET.get() {
                self.cover.notify();
            }
            return true;
        }
        drop(alarms);
        // Relaxed: only later stands add to it, and the clock does not stand before the deadline.
        let stood_ns = self.cover.stood_ns.load(Ordering::Relaxed);
        self.base.wake_at(deadline.saturating_add(stood_ns), waker)
    }

    fn supplier(&self) -> Option<&dyn Supplier> {
        Some(self)
    }
}

impl<C: Clock + Clone> Supplier for LeaseClock<C> {
    fn fetch(&self, permits: u64, due: Duration, max_wait: Duration) -> Option<Fetch> {
        // Else they come in time also if the next call to the server brings nothing.
        let may_be_late = due.saturating_add(self.call_timeout) > max_wait;
        if due.is_zero() || !may_be_late {
            return None;
        }
        let (base, start_ns) = (self.base.clone(), self.base.now());
        let left_ns = u64::try_from(max_wait.as_nanos()).unwrap_or(u64::MAX);
        let (need, answered) = Need::new(permits, start_ns.saturating_add(left_ns));
        if max_wait.is_zero() || !self.mail.ask_for_lease(need) {
            return None;
        }
        self.cover.notify();
        Some(Fetch::new(async move {
            // The answer is that the task drops the need.
            let _ = answered.await;
            max_wait.saturating_sub(Duration::from_nanos(base.now().saturating_sub(start_ns)))
        }))
    }

    fn refused(&self, permits: u64) {
        if self.mail.note_refused(permits) {
            self.cover.notify();
        }
    }

    fn pause(&self, pause: Duration) {
        self.mail.pause(pause);
        self.cover.notify();
    }
}

impl<C: fmt::Debug> fmt::Debug for LeaseClock<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseClock").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
