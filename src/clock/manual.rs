//! A clock that stands still until it is moved.

use core::{task::Waker, time::Duration};
use std::sync::Arc;

use super::Clock;
use crate::sync::plain::Mutex;

/// A clock for tests and simulations: it stands still until it is moved. Clones show the same time.
///
/// Waiters need no runtime. [`advance`](Self::advance) stops at each alarm in order and grants the waiters that are
/// due, so that every waiter is granted at exactly its due time, however far the clock is moved.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{ManualClock, Quota, RateLimiter};
///
/// let clock = ManualClock::new();
/// let limiter = RateLimiter::with_clock(Quota::per_second(10).with_burst(1), clock.clone());
/// assert!(limiter.try_acquire().is_ok());
/// assert!(limiter.try_acquire().is_err());
/// clock.advance(Duration::from_millis(100));
/// assert!(limiter.try_acquire().is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    now: u64,
    alarms: Vec<(u64, Waker)>,
}

impl ManualClock {
    /// A clock that shows zero. See the example of [`ManualClock`].
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that shows `now` nanoseconds. See the example of [`set`](Self::set).
    pub fn starting_at(now: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State { now, alarms: Vec::new() })) }
    }

    /// Moves the clock forward, stopping at each alarm on the way. Saturates at 2^64 - 1 ns. See the example of
    /// [`ManualClock`].
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let target = self.state.lock().now.saturating_add(by);
        self.forward_to(target);
    }

    /// Sets the clock to `now` nanoseconds: forward as [`advance`](Self::advance) does, or back, which wakes the wakers
    /// of all alarms.
    ///
    /// ```
    /// use tidegate::{Clock, ManualClock};
    /// let clock = ManualClock::starting_at(7);
    /// clock.set(3);
    /// assert_eq!(clock.now(), 3);
    /// ```
    pub fn set(&self, now: u64) {
        let alarms = {
            let mut state = self.state.lock();
            if now < state.now {
                state.now = now;
                core::mem::take(&mut state.alarms)
            } else {
                Vec::new()
            }
        };
        for (_, alarm) in alarms {
            alarm.wake();
        }
        self.forward_to(now);
    }

    fn forward_to(&self, target: u64) {
        loop {
            let alarm = {
                let mut state = self.state.lock();
                // The earliest alarm; among equals, the one set first.
                let next = (0..state.alarms.len())
                    .min_by_key(|&i| state.alarms[i].0)
                    .filter(|&i| state.alarms[i].0 <= target);
                let Some(next) = next else {
                    state.now = state.now.max(target);
                    return;
                };
                let (deadline, waker) = state.alarms.remove(next);
                state.now = state.now.max(deadline);
                waker
            };
            // Without the lock: the waker runs the hand-off, which reads this clock and sets the next alarm.
            alarm.wake();
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        self.state.lock().now
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        let alarm = waker.clone();
        let (replaced, rings) = {
            let mut state = self.state.lock();
            let known = state.alarms.iter().position(|(_, set)| set.will_wake(waker));
            let replaced = known.map(|known| state.alarms.remove(known));
            let rings = deadline <= state.now;
            if !rings {
                state.alarms.push((deadline, alarm));
            }
            (replaced, rings)
        };
        drop(replaced);
        if rings {
            waker.wake_by_ref();
        }
        true
    }
}
