//! Helpers of the cases: polling without a runtime, clocks whose alarms ring late, a generator of numbers.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tidegate::{Clock, ManualClock, Quota, RateLimiter};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const MILLI: u64 = 1_000_000;

/// A limiter on a clock that the test moves.
pub(super) fn manual(quota: Quota) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

/// Takes one by one until refused.
pub(super) fn drain<C: Clock>(limiter: &RateLimiter<C>) -> u64 {
    let mut taken = 0;
    while limiter.try_acquire().is_ok() {
        taken += 1;
    }
    taken
}

/// Runs a case that may deadlock; fails rather than hang.
pub(super) fn within_ten_seconds(case: impl FnOnce() + Send + 'static) {
    let (done, wait) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        case();
        let _ = done.send(());
    });
    match wait.recv_timeout(Duration::from_secs(10)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("deadlock"),
        // Done, or ended by a panic, which `join` passes on.
        _ => thread.join().expect("the case panicked"),
    }
}

/// A small generator, for cases that want many different numbers (splitmix64).
#[derive(Debug)]
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    /// One of these.
    pub(super) fn one_of<const N: usize>(&mut self, values: [u64; N]) -> u64 {
        values[self.below(N as u64) as usize]
    }

    /// From 1 up to a power of ten of up to so many digits, small ones as often as large ones.
    pub(super) fn up_to_digits(&mut self, digits: u32) -> u64 {
        let magnitude = 1 + self.below(u64::from(digits)) as u32;
        1 + self.below(10_u64.pow(magnitude))
    }
}

/// Which waiters were woken, and when.
pub(super) type Log = Arc<Mutex<Vec<(usize, u64)>>>;

struct Recorder<C> {
    id: usize,
    clock: C,
    log: Log,
}

impl<C: Clock> Wake for Recorder<C> {
    fn wake(self: Arc<Self>) {
        let woken = (self.id, self.clock.now());
        self.log.lock().expect("the log").push(woken);
    }
}

/// A queue of waiters that the test polls.
pub(super) struct Line<C> {
    clock: C,
    log: Log,
    waiters: Vec<Option<Waiter>>,
    polls: Vec<usize>,
}

type Waiter = Pin<Box<dyn Future<Output = ()>>>;

impl<C: Clock + Clone> Line<C> {
    pub(super) fn new(clock: &C) -> Self {
        Self { clock: clock.clone(), log: Log::default(), waiters: Vec::new(), polls: Vec::new() }
    }

    /// Polls a future for the first time; its number, and whether it is ready.
    pub(super) fn join(&mut self, future: impl Future<Output = ()> + 'static) -> (usize, bool) {
        let id = self.waiters.len();
        self.waiters.push(Some(Box::pin(future)));
        self.polls.push(0);
        (id, self.poll(id))
    }

    /// As `join`, for one that has to wait.
    pub(super) fn wait(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        let (id, ready) = self.join(future);
        assert!(!ready, "{id} did not have to wait");
        id
    }

    /// Whether it is ready. One that is ready is gone.
    pub(super) fn poll(&mut self, id: usize) -> bool {
        let recorder = Recorder { id, clock: self.clock.clone(), log: self.log.clone() };
        let waker = Waker::from(Arc::new(recorder));
        let waiter = self.waiters[id].as_mut().expect("it is gone");
        self.polls[id] += 1;
        let ready = waiter.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(());
        if ready {
            self.waiters[id] = None;
        }
        ready
    }

    /// Drops a waiter.
    pub(super) fn leave(&mut self, id: usize) {
        assert!(self.waiters[id].take().is_some(), "{id} is gone already");
    }

    /// The waiters woken since the last call, and when. Polls none of them.
    pub(super) fn woken(&mut self) -> Vec<(usize, u64)> {
        std::mem::take(&mut *self.log.lock().expect("the log"))
    }

    /// Polls all woken waiters. Each must be ready.
    pub(super) fn granted(&mut self) -> Vec<(usize, u64)> {
        let woken = self.woken();
        for (id, _) in &woken {
            assert!(self.poll(*id), "{id} was woken for nothing");
        }
        woken
    }

    /// How often it was polled.
    pub(super) fn polls(&self, id: usize) -> usize {
        self.polls[id]
    }
}

/// A clock whose alarms ring only when told to: a timer that is as late as one likes.
#[derive(Clone, Debug, Default)]
pub(super) struct LateClock {
    state: Arc<Mutex<Late>>,
}

#[derive(Debug, Default)]
struct Late {
    now: u64,
    alarm: Option<(u64, Waker)>,
}

impl LateClock {
    /// Moves the clock without ringing.
    pub(super) fn advance(&self, ns: u64) {
        self.state.lock().expect("the clock").now += ns;
    }

    /// Rings, if an alarm is due.
    pub(super) fn ring(&self) {
        let alarm = {
            let mut state = self.state.lock().expect("the clock");
            let now = state.now;
            state.alarm.take_if(|(deadline, _)| *deadline <= now)
        };
        if let Some((_, waker)) = alarm {
            waker.wake();
        }
    }

    /// The deadline that is set.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.state.lock().expect("the clock").alarm.as_ref().map(|(deadline, _)| *deadline)
    }
}

impl Clock for LateClock {
    fn now(&self) -> u64 {
        self.state.lock().expect("the clock").now
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        self.state.lock().expect("the clock").alarm = Some((deadline, waker.clone()));
        true
    }
}
