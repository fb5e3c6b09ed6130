//! Threads that wait: the same places in the same queue, with a parked thread for a task.
//!
//! # Who keeps the time
//! A blocked thread needs no runtime: it can wake for the alarm itself, and more precisely than a runtime's
//! timer. One of them does, the *keeper*; it parks until the alarm, and then runs the hand-off. The others
//! park until they are woken.
//!
//! 1. If a blocked thread waits, and the clock has no alarms of its own, then there is a keeper, or a thread
//!    is awake that will look whether there is one before it parks (`watch`), or the hand-off is running.
//! 2. The keeper looks at the alarm under the lock before it parks, and is woken whenever it changes.
//! 3. A thread that leaves looks, after it is out of the queue, whether it leaves others without a keeper
//!    (`resign`); the hand-off then finds them another alarm. So it does not matter whether it was asked to
//!    be the keeper while it was on its way out.

use core::{pin::Pin, time::Duration};
use std::{
    sync::Arc,
    task::{Wake, Waker},
};

use super::{
    hand_off::By,
    inner::{Keeper, NEVER, Outcome, Place, Request},
    wait_queue::{Entered, WaitQueue},
};
use crate::{
    clock::Clock,
    error::Denied,
    gcra::nanos,
    permits::Permits,
    sync::{Parker, Unparker},
};

/// After how long to look again where there is nothing else to wait for.
const STANDSTILL: Duration = Duration::from_micros(20);

/// A parker, and the waker that stands in the queue for it.
struct Thread {
    parker: Parker,
    waker: Waker,
}

struct Unpark(Unparker);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Thread {
    fn new() -> Self {
        let parker = Parker::new();
        let waker = Waker::from(Arc::new(Unpark(parker.unparker().clone())));
        Self { parker, waker }
    }

    /// Lends out that of this thread; it is made once, so that waiting allocates nothing.
    fn with<T>(f: impl FnOnce(&Self) -> T) -> T {
        #[cfg(not(all(test, tidegate_loom)))]
        {
            std::thread_local!(static CURRENT: Thread = Thread::new());
            let mut f = Some(f);
            let done = CURRENT.try_with(|thread| f.take().map(|f| f(thread)));
            match (done, f) {
                (Ok(Some(done)), _) => done,
                // The thread is going down, and its own is gone.
                (_, Some(f)) => f(&Self::new()),
                _ => unreachable!("it was called, or is still there"),
            }
        }
        #[cfg(all(test, tidegate_loom))]
        f(&Self::new())
    }
}

/// What a thread is to do that waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// Its outcome is there.
    Over,
    /// Run the hand-off.
    Drive,
    Park,
    ParkUntil(u64),
}

/// A thread that waits. When it stops, on the way out of a panic, too, it leaves nobody without a keeper.
pub(super) struct Waiting<'a, C: Clock> {
    pub(super) queue: &'a WaitQueue<C>,
    pub(super) place: Pin<&'a Place>,
    pub(super) waker: &'a Waker,
}

impl<C: Clock> Drop for Waiting<'_, C> {
    fn drop(&mut self) {
        self.queue.resign(self.address());
    }
}

impl<C: Clock> Waiting<'_, C> {
    /// The address of its place.
    fn address(&self) -> usize {
        core::ptr::from_ref(self.place.get_ref()).addr()
    }
}

/// Leaves the queue if it has not been settled.
struct Leave<'a, C: Clock>(&'a WaitQueue<C>, Pin<&'a Place>);

impl<C: Clock> Drop for Leave<'_, C> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

impl<C: Clock> WaitQueue<C> {
    /// Blocks the thread until the permits are there.
    pub(crate) fn wait_blocking(&self, permits: Permits, max_wait: Option<Duration>) -> Result<(), Denied> {
        let now_ns = self.clock.now();
        if self.take_at_once(permits, now_ns) {
            return Ok(());
        }
        Thread::with(|thread| {
            self.wait_in_queue(Request { permits, max_wait, thread: true, gate: None }, thread, now_ns)
        })
    }

    fn wait_in_queue(&self, request: Request, thread: &Thread, now_ns: u64) -> Result<(), Denied> {
        let place = core::pin::pin!(self.place());
        let place = place.into_ref();
        let waiting = Waiting { queue: self, place, waker: &thread.waker };
        let leave = Leave(self, place);
        if let Entered::Granted(_) | Entered::Shared(_) = self.enter(place, request, &thread.waker, now_ns)? {
            core::mem::forget((leave, waiting));
            return Ok(());
        }
        let (mut early, mut driven) = (None, false);
        let outcome = loop {
            if let Some(outcome) = place.granted() {
                break outcome;
            }
            let watch = self.watch(&waiting);
            driven = matches!(watch, Watch::Drive) && !driven;
            match watch {
                Watch::Over => {}
                // Somebody else may be at it.
                Watch::Drive if driven => self.drive(By::Other),
                Watch::Drive => thread.parker.park_timeout(STANDSTILL),
                Watch::Park => thread.parker.park(),
                Watch::ParkUntil(until_ns) => {
                    let now_ns = self.clock.now();
                    if now_ns < until_ns {
                        let wait = nanos(until_ns - now_ns);
                        // Woken by time, and yet too early: the clock goes slower than the machine's.
                        let again = early.replace(until_ns) == Some(until_ns);
                        thread.parker.park_timeout(if again { wait.max(STANDSTILL) } else { wait });
                    }
                }
            }
        };
        // Settled: nothing to leave.
        core::mem::forget(leave);
        match outcome {
            Outcome::Granted(_) => Ok(()),
            Outcome::Denied(denied) => Err(denied),
        }
    }

    /// What a thread in the queue is to do next.
    pub(super) fn watch(&self, waiting: &Waiting<'_, C>) -> Watch {
        let now_ns = self.clock.now();
        let mut inner = self.inner.lock();
        let Some(entry) = inner.list.entry_mut(waiting.place) else { return Watch::Over };
        // It was taken if the thread was asked to look.
        if entry.waker.is_none() {
            entry.waker = Some(waiting.waker.clone());
        }
        let deadline_ns = entry.deadline_ns;
        if deadline_ns <= now_ns {
            // Served now or never.
            inner.recheck = true;
            return Watch::Drive;
        }
        if inner.keeper.is_none() {
            inner.keeper = Some(Keeper { place: waiting.address(), waker: waiting.waker.clone() });
        }
        let keeps =
            !inner.rings && inner.keeper.as_ref().is_some_and(|keeper| keeper.place == waiting.address());
        match inner.armed {
            _ if !keeps && deadline_ns == NEVER => Watch::Park,
            _ if !keeps => Watch::ParkUntil(deadline_ns),
            Some(armed_ns) if now_ns < armed_ns => Watch::ParkUntil(armed_ns.min(deadline_ns)),
            _ => Watch::Drive,
        }
    }

    /// A thread is out of the queue: others may be without a keeper.
    fn resign(&self, place: usize) {
        let (keeper, look) = {
            let mut inner = self.inner.lock();
            let keeper = inner.keeper.take_if(|keeper| keeper.place == place);
            let unkept = inner.keeper.is_none() && !inner.rings;
            if unkept {
                // Whoever was to wake for it may have been this thread. Also if nobody waits: whoever comes next
                // must not rely on it.
                inner.armed = None;
            }
            (keeper, unkept && !inner.list.is_empty())
        };
        drop(keeper);
        if look {
            self.drive(By::Other);
        }
    }
}
