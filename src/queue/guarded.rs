//! The state that the lock of a queue guards: the slow path. Of many limiters most are never locked. So the slow path
//! is made when the lock is first taken.

use core::ops::{Deref, DerefMut};
use std::task::Waker;

use super::{
    alarm::{Alarm, Home},
    core::Core,
};
use crate::{
    quota::Quota,
    sync::{Mutex, MutexGuard},
};

/// The slow path: all that is written only under the lock.
#[derive(Debug)]
pub(super) struct SlowPath {
    pub(super) core: Core,
    pub(super) hand_off: HandOff,
    pub(super) home: Home,
    pub(super) alarm: Alarm,
    /// The alarm waker will be woken by this reading, or a little later. `None`: it has rung, was never set, or cannot
    /// be relied on; the next round sets it.
    pub(super) armed: Option<u64>,
    pub(super) alarm_waker: Waker,
}

impl SlowPath {
    pub(super) fn new(core: Core, alarm_waker: Waker) -> Self {
        Self {
            core,
            hand_off: HandOff::Idle,
            home: Home::default(),
            alarm: Alarm::default(),
            armed: None,
            alarm_waker,
        }
    }

    /// Returns whether the caller is to run the hand-off. Otherwise another thread runs it, and makes another round.
    pub(super) fn start_hand_off(&mut self) -> bool {
        let idle = self.hand_off == HandOff::Idle;
        self.hand_off = if idle { HandOff::Running } else { HandOff::Called };
        idle
    }
}

/// See `driver/hand_off.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandOff {
    Idle,
    Running,
    Called,
}

/// The lock, and the slow path once it has been made.
#[derive(Debug)]
pub(super) struct Guarded(Mutex<State>);

#[derive(Debug)]
enum State {
    New(Quota),
    Made(Box<SlowPath>),
}

impl Guarded {
    pub(super) fn new(quota: Quota) -> Self {
        Self(Mutex::new(State::New(quota)))
    }

    /// Takes the lock. The first time, `make` makes the slow path.
    pub(super) fn lock(&self, make: impl FnOnce(Quota) -> SlowPath) -> Guard<'_> {
        let mut guard = self.0.lock();
        if let State::New(quota) = *guard {
            *guard = State::Made(Box::new(make(quota)));
        }
        Guard(guard)
    }

    /// Reads the slow path. The error is the quota, if the slow path has not been made.
    pub(super) fn read<T>(&self, read: impl FnOnce(&SlowPath) -> T) -> Result<T, Quota> {
        match &*self.0.lock() {
            State::New(quota) => Err(*quota),
            State::Made(slow) => Ok(read(slow)),
        }
    }
}

#[derive(Debug)]
pub(super) struct Guard<'a>(MutexGuard<'a, State>);

impl Deref for Guard<'_> {
    type Target = SlowPath;

    fn deref(&self) -> &SlowPath {
        match &*self.0 {
            State::Made(slow) => slow,
            State::New(_) => unreachable!("`lock` makes it"),
        }
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut SlowPath {
        match &mut *self.0 {
            State::Made(slow) => slow,
            State::New(_) => unreachable!("`lock` makes it"),
        }
    }
}
