//! The subjects that are compared with the oracle: the limiter alone, under contention, with a waiter in its queue, and
//! by shares. The oracle models the limiter's word. Permits in shares are counted apart.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use tidegate::{AcquireError, Denied, Local, ManualClock, PerCore, Permits, RateLimiter};

use super::{
    oracle::{MILLION, Oracle},
    waiter::Waiter,
    windows::Log,
};

pub(crate) type Limiter = RateLimiter<ManualClock>;

/// Amounts are in millionths of a permit.
pub(crate) trait Subject {
    /// Whether each amount is taken from the word by itself, where its price is rounded up to a tick.
    const PRICED: bool = true;

    fn new(limiter: Limiter) -> Self;

    fn limiter(&self) -> &Limiter;

    /// The largest request, in whole permits, while permits may be parked.
    fn most(&self) -> u64 {
        let burst = self.limiter().quota().burst();
        match self.limiter().time_until(burst) {
            Err(AcquireError::TooMany(too_many)) => too_many.largest(),
            _ => burst,
        }
    }

    fn try_acquire_n(&mut self, n: Permits) -> Result<(), Denied> {
        self.limiter().try_acquire_n(n)
    }

    /// Takes as much as is there, and a permit more; so that others may take that meanwhile, if they bring it back.
    fn take_with_ease(&mut self, n: Permits) -> Result<(), Denied> {
        self.try_acquire_n(n)
    }

    /// What is parked for all.
    fn parked(&self) -> u64 {
        0
    }

    /// The permits that a `Local` holds.
    fn held(&self) -> u64 {
        0
    }

    /// What is beside the word, for the subject's own calls.
    fn beside(&self) -> u64 {
        self.parked() + self.held()
    }

    /// The permits that the waiters in the queue ask for.
    fn ahead(&self) -> u64 {
        0
    }

    /// The clock has been moved.
    fn pass_to(&mut self, oracle: &mut Oracle, now_ns: u64) {
        oracle.set_now(now_ns);
    }

    /// Something has happened.
    fn look(&mut self, _oracle: &mut Oracle) {}

    /// The waiters that were granted: the clock reading, and the whole permits. New waiters take their places. `None`
    /// if there are never waiters.
    fn served(&mut self) -> Option<Log> {
        None
    }
}

/// One limiter, one thread.
pub(crate) struct Alone(Limiter);

impl Subject for Alone {
    fn new(limiter: Limiter) -> Self {
        Self(limiter)
    }

    fn limiter(&self) -> &Limiter {
        &self.0
    }
}

/// Another thread makes calls all the time that change nothing in sum. While this thread's call leaves a permit over,
/// the other thread takes that permit and gives it back, again and again. So the word may change during the call of
/// this thread, but the result must be the same.
pub(crate) struct Contended {
    limiter: Limiter,
    other: Arc<Other>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the other thread does. All is counted.
#[derive(Debug, Default)]
struct Other {
    over: AtomicBool,
    idle_calls: AtomicU64,
    /// How many times it is to take a permit and bring it back, and has.
    wanted: AtomicU64,
    done: AtomicU64,
}

/// How many times a permit is taken and brought back around one call.
const TIMES: u64 = 4;

thread_local! {
    static DONE: Cell<u64> = const { Cell::new(0) };
}

/// How many times a permit has been taken and brought back beside the calls of this thread.
pub(crate) fn taken_and_brought_back() -> u64 {
    DONE.get()
}

impl Other {
    // Orderings: what is done for the caller, on the limiter, is done before it is counted. The rest would do with
    // less.
    fn run(&self, limiter: &Limiter) {
        while !self.over.load(Ordering::Acquire) {
            if self.done.load(Ordering::Acquire) < self.wanted.load(Ordering::Acquire) {
                // It is there, so this makes no debt; and so much is missing then that all of it can come back.
                assert_eq!(limiter.charge(1), Ok(Duration::ZERO));
                limiter.refund(1).unwrap();
                self.done.fetch_add(1, Ordering::Release);
            } else {
                idle_calls(limiter);
                self.idle_calls.fetch_add(1, Ordering::Release);
            }
        }
    }
}

impl Contended {
    fn wait_for(&self, counter: &AtomicU64, count: u64) {
        while counter.load(Ordering::Acquire) < count {
            let thread = self.thread.as_ref().expect("it runs until this is dropped");
            assert!(!thread.is_finished(), "the other thread has failed");
            thread::yield_now();
        }
    }
}

impl Subject for Contended {
    fn new(limiter: Limiter) -> Self {
        let other = Arc::new(Other::default());
        let thread = thread::spawn({
            let (limiter, other) = (limiter.clone(), Arc::clone(&other));
            move || other.run(&limiter)
        });
        let this = Self { limiter, other, thread: Some(thread) };
        this.wait_for(&this.other.idle_calls, 1);
        this
    }

    fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    fn take_with_ease(&mut self, n: Permits) -> Result<(), Denied> {
        let before = self.other.wanted.fetch_add(TIMES, Ordering::AcqRel);
        self.wait_for(&self.other.done, before + 1);
        let outcome = self.limiter.try_acquire_n(n);
        self.wait_for(&self.other.done, before + TIMES);
        DONE.set(DONE.get() + TIMES);
        outcome
    }
}

fn idle_calls(limiter: &Limiter) {
    // Of any quota that there may come.
    let too_many = u64::MAX;
    limiter.try_acquire_n(0).unwrap();
    limiter.try_acquire_n(too_many).unwrap_err();
    limiter.blocking_acquire_within(too_many, Duration::ZERO).unwrap_err();
    limiter.charge(0).unwrap();
    limiter.refund(0).unwrap();
    assert_eq!(limiter.try_acquire_up_to(0), 0);
    drop(limiter.try_reserve(0).unwrap());
    let _ = (limiter.available(), limiter.time_until(1), limiter.time_until_full(), limiter.waiting());
}

impl Drop for Contended {
    fn drop(&mut self) {
        self.other.over.store(true, Ordering::Release);
        let outcome = self.thread.take().map(thread::JoinHandle::join);
        assert!(thread::panicking() || matches!(outcome, Some(Ok(()))));
    }
}

/// A waiter for the whole burst, and another as soon as the first is granted or refused.
pub(crate) struct Queued {
    limiter: Limiter,
    waiter: Option<Waiter<ManualClock>>,
}

impl Queued {
    /// Grants the waiter if it is due, dated at the time it was due, and refuses the waiter if it asks for too much.
    fn serve(&mut self, oracle: &mut Oracle) {
        let Some(waiter) = &mut self.waiter else { return };
        let polled = waiter.poll();
        let (n, too_many) = (waiter.n * MILLION, waiter.n > self.limiter.quota().burst());
        match polled {
            Poll::Pending => {
                assert!(!too_many, "waits for more than a burst");
                assert!(oracle.agrees(n, false), "due, and not served");
                return;
            }
            Poll::Ready(Ok(())) => {
                assert!(oracle.agrees(n, true), "served, and not due");
                oracle.take_in_turn(n);
            }
            Poll::Ready(Err(denied)) => {
                assert!(too_many && matches!(denied, AcquireError::TooMany(_)), "{denied}");
            }
        }
        self.waiter = None;
    }
}

impl Subject for Queued {
    fn new(limiter: Limiter) -> Self {
        Self { limiter, waiter: None }
    }

    fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    fn ahead(&self) -> u64 {
        self.waiter.as_ref().map_or(0, |waiter| waiter.n * MILLION)
    }

    /// The clock has stopped on its way when the waiter was due.
    fn pass_to(&mut self, oracle: &mut Oracle, now_ns: u64) {
        oracle.set_now(now_ns);
        self.serve(oracle);
    }

    fn look(&mut self, oracle: &mut Oracle) {
        self.serve(oracle);
        while self.waiter.is_none() {
            let n = self.limiter.quota().burst();
            let mut waiter = Waiter::new(&self.limiter, n);
            let fits = waiter.poll().is_ready();
            assert!(oracle.agrees(n * MILLION, fits), "{} are there", oracle.available());
            if fits {
                oracle.take(n * MILLION);
            } else {
                self.waiter = Some(waiter);
            }
        }
        assert_eq!(self.limiter.waiting(), 1);
    }

    fn served(&mut self) -> Option<Log> {
        let mut log = Log::new();
        loop {
            let n = self.limiter.quota().burst();
            let waiter = self.waiter.get_or_insert_with(|| Waiter::new(&self.limiter, n));
            if waiter.poll().is_pending() {
                return Some(log);
            }
            log.push((waiter.told_at().unwrap(), waiter.n));
            self.waiter = None;
        }
    }
}

/// A slot for each of four threads, of which there is one.
pub(crate) struct InSlots(PerCore<ManualClock>);

impl Subject for InSlots {
    // What is parked, and moved to the word and back, is rounded down on its way.
    const PRICED: bool = false;

    fn new(limiter: Limiter) -> Self {
        Self(PerCore::builder(&limiter).slots(4).build().unwrap())
    }

    fn limiter(&self) -> &Limiter {
        self.0.limiter()
    }

    fn try_acquire_n(&mut self, n: Permits) -> Result<(), Denied> {
        self.0.try_acquire_n(n)
    }

    fn parked(&self) -> u64 {
        self.0.report().iter().map(|slot| millionths(slot.parked)).sum()
    }
}

/// A share in one `Local`.
pub(crate) struct InHand(Local<ManualClock>);

impl Subject for InHand {
    // What is parked, and moved to the word and back, is rounded down on its way.
    const PRICED: bool = false;

    fn new(limiter: Limiter) -> Self {
        Self(PerCore::builder(&limiter).slots(1).build().unwrap().local())
    }

    fn limiter(&self) -> &Limiter {
        self.0.limiter()
    }

    fn try_acquire_n(&mut self, n: Permits) -> Result<(), Denied> {
        self.0.try_acquire_n(n)
    }

    fn held(&self) -> u64 {
        millionths(self.0.held())
    }
}

fn millionths(permits: Permits) -> u64 {
    permits.whole() * MILLION + u64::from(permits.millionths())
}
