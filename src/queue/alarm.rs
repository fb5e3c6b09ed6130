//! The alarm of a queue: it wakes a waker at a clock reading, or a little later.
//!
//! - *Alarm waker*: the waker that it wakes, which runs the hand-off.
//! - *Armed*: set for a clock reading. *Void*: not to be relied on any more.
//! - *Home*: the runtime whose timer may serve.
//!
//! A limiter depends on no single runtime. While all its waiters are tasks that were last polled on one multi-thread
//! tokio runtime, a timer of that runtime serves: its workers drive it, and no other thread is needed. In every other
//! case one timer thread of the whole process serves: several runtimes, a runtime of one thread (which may not be
//! driven), another executor, blocked threads (also those of `spawn_blocking` and `block_in_place`), a runtime that is
//! shutting down. Waiters that join and are polled decide this, until the queue is empty. A clock with alarms of its own
//! needs neither.

#[cfg(feature = "tokio")]
mod runtime;
mod thread;

#[cfg(feature = "tokio")]
use core::task::Poll;
use core::{task::Waker, time::Duration};

#[cfg(feature = "tokio")]
pub(super) use self::runtime::poll_for_thread;
#[cfg(feature = "tokio")]
use self::runtime::{RuntimeAlarm, RuntimeId};
use self::thread::ThreadAlarm;

/// The longest single wait in nanoseconds: one day. Then the hand-off sets the alarm again.
const LONGEST_NS: u64 = 86_400_000_000_000;

/// The runtime on which a caller is polled, or on which all waiters of a queue were last polled. None if they were polled on
/// several, or if its workers do not drive its timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Home {
    #[cfg(feature = "tokio")]
    runtime: Option<RuntimeId>,
}

impl Home {
    /// The home of the calling task. To be called without a lock: this clones the handle of the runtime, which all its workers
    /// share.
    pub(crate) fn of_caller() -> Self {
        Self {
            #[cfg(feature = "tokio")]
            runtime: runtime::current(),
        }
    }

    /// Records that a caller waits, as the first waiter or not. Returns whether that changes the home.
    pub(super) fn note(&mut self, caller: Self, first: bool) -> bool {
        let home = if first || caller == *self { caller } else { Self::default() };
        core::mem::replace(self, home) != home
    }
}

/// Polls a future for a thread that blocks until it is ready.
#[cfg(not(feature = "tokio"))]
pub(super) fn poll_for_thread<T>(poll: impl FnOnce() -> T) -> T {
    poll()
}

#[derive(Debug, Default)]
pub(super) struct Alarm {
    #[cfg(feature = "tokio")]
    runtime: Option<RuntimeAlarm>,
    thread: Option<ThreadAlarm>,
}

impl Alarm {
    /// Has the alarm waker woken at `due_ns`, or after a day if that is sooner. Returns the reading. If the home runtime is
    /// shutting down, `home` is cleared and the timer thread serves. The caller holds no lock: this call may wake the alarm
    /// waker.
    ///
    /// # Panics
    /// If the timer thread is needed and cannot be spawned.
    #[cfg_attr(not(feature = "tokio"), allow(unused_variables, reason = "there are no runtimes"))]
    pub(super) fn set(&mut self, home: &mut Home, due_ns: u64, now_ns: u64, alarm_waker: &Waker) -> u64 {
        let wait_ns = due_ns.saturating_sub(now_ns).min(LONGEST_NS);
        let wait = Duration::from_nanos(wait_ns);
        #[cfg(feature = "tokio")]
        if let Some(runtime) = home.runtime {
            match self.set_on_runtime(runtime, wait, alarm_waker) {
                Some(set) => {
                    self.thread = None;
                    if set.is_ready() {
                        alarm_waker.wake_by_ref();
                    }
                    return now_ns.saturating_add(wait_ns);
                }
                None => *home = Home::default(),
            }
        }
        #[cfg(feature = "tokio")]
        {
            self.runtime = None;
        }
        self.thread.get_or_insert_with(ThreadAlarm::new).set(wait, alarm_waker);
        now_ns.saturating_add(wait_ns)
    }

    #[cfg(feature = "tokio")]
    fn set_on_runtime(
        &mut self,
        runtime: RuntimeId,
        wait: Duration,
        alarm_waker: &Waker,
    ) -> Option<Poll<()>> {
        self.runtime.take_if(|timer| timer.runtime() != runtime);
        if self.runtime.is_none() {
            self.runtime = RuntimeAlarm::new(runtime);
        }
        self.runtime.as_mut()?.set(wait, alarm_waker)
    }

    #[cfg(all(feature = "tokio", debug_assertions))]
    pub(super) const fn is_real(&self) -> bool {
        self.runtime.is_some() || self.thread.is_some()
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
