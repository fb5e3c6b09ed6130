//! A clock that the model moves: forward with or without its alarms, and back. Its threads read different times.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
};

use tidegate::Clock;

/// More alarms at one time than any history needs.
const TOO_MANY: u32 = 100_000;

#[derive(Clone, Debug, Default)]
pub(super) struct TestClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    now: u64,
    /// By how much the reading of the thread that calls next is ahead.
    skew: u64,
    /// Whether alarms ring only when the model rings them.
    late: bool,
    alarms: Vec<(u64, Waker)>,
}

impl State {
    fn reading(&self) -> u64 {
        self.now + self.skew
    }

    /// Removes the earliest alarm up to that reading; of equals the first that was set.
    fn take_until(&mut self, reading: u64) -> Option<(u64, Waker)> {
        let next = (0..self.alarms.len()).min_by_key(|&i| self.alarms[i].0)?;
        (self.alarms[next].0 <= reading).then(|| self.alarms.remove(next))
    }
}

impl TestClock {
    pub(super) fn starting_at(now: u64) -> Self {
        let this = Self::default();
        this.lock().now = now;
        this
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The time without the skew.
    pub(super) fn steady(&self) -> u64 {
        self.lock().now
    }

    /// From here on a thread calls whose reading is ahead by so much.
    pub(super) fn call_from(&self, skew: u64) {
        self.lock().skew = skew;
    }

    /// When the next alarm rings, without the skew.
    pub(super) fn next_alarm(&self) -> Option<u64> {
        let state = self.lock();
        state.alarms.iter().map(|&(at, _)| at.saturating_sub(state.skew).max(state.now)).min()
    }

    /// Moves the clock forward, stopping at each alarm on the way, and calls `stop` after each.
    pub(super) fn advance(&self, by: u64, mut stop: impl FnMut()) {
        self.lock().late = false;
        let target = self.steady() + by;
        let (mut last, mut rings) = (0, 0);
        while let Some(at) = self.next_alarm().filter(|&at| at <= target) {
            rings = if at == last { rings + 1 } else { 0 };
            assert!(rings < TOO_MANY, "alarms are set again and again for {at} ns");
            last = at;
            let alarm = {
                let mut state = self.lock();
                state.now = at;
                let reading = state.reading();
                state.take_until(reading)
            };
            // Outside the lock: the limiter reads this clock and sets the next alarm.
            if let Some((_, alarm)) = alarm {
                alarm.wake();
            }
            stop();
        }
        self.lock().now = target;
    }

    /// Moves the clock forward. Alarms are late until [`ring`](Self::ring).
    pub(super) fn advance_silently(&self, by: u64) {
        let mut state = self.lock();
        state.late = true;
        state.now += by;
    }

    /// Rings all alarms that are due. From here on they are in time again.
    pub(super) fn ring(&self) {
        self.advance(0, || ());
    }

    /// Sets the clock back. All alarms ring, so that the limiter looks at the time again.
    pub(super) fn step_back(&self, by: u64) {
        let alarms = {
            let mut state = self.lock();
            state.now = state.now.saturating_sub(by);
            std::mem::take(&mut state.alarms)
        };
        for (_, alarm) in alarms {
            alarm.wake();
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.lock().reading()
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        let (replaced, rings) = {
            let mut state = self.lock();
            let known = state.alarms.iter().position(|(_, set)| set.will_wake(waker));
            let replaced = known.map(|known| state.alarms.remove(known));
            let rings = !state.late && deadline <= state.reading();
            if !rings {
                state.alarms.push((deadline, waker.clone()));
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
