//! The limiter of the crate as the subject of a timeline, through its public API.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use num_rational::BigRational;
use tidegate::{AcquireError, Amount, Clock, Denied, ManualClock, Permits, Quota, RateLimiter};

use super::timeline::{Acquired, N, Subject};

type Log = Arc<Mutex<Vec<(String, u64)>>>;
type Waiting = (Pin<Box<dyn Future<Output = Result<(), Denied>>>>, Waker);

/// A waker that records which waiter was woken, and the clock reading.
struct Recorder {
    id: String,
    clock: ManualClock,
    log: Log,
}

impl Wake for Recorder {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = (self.id.clone(), self.clock.now());
        self.log.lock().expect("the log").push(woken);
    }
}

/// The limiter, its clock, and its waiters.
///
/// A timeline may give times that are older than one before. A clock of the crate does not go back, so there are two
/// ways to play that. The clock steps back with it; or `LATEST`: the limiter is given the latest time so far, as
/// `Monotonic` does for a caller whose readings may be old, and waits are counted from the older time.
pub(crate) struct Limiter<const LATEST: bool> {
    handle: RateLimiter<ManualClock>,
    clock: ManualClock,
    /// How far the time that was given lies behind the clock.
    behind_ns: u64,
    /// The latest time so far: cross-checks make sense only where the clock has not stepped back.
    latest_ns: u64,
    waiting: BTreeMap<String, Waiting>,
    woken: Log,
}

impl N {
    /// The amount by the type of the API that fits it.
    fn permits(self) -> Result<Permits, Denied> {
        Ok(match self {
            Self::Whole(n) => n.permits()?,
            Self::Negative(n) => n.permits()?,
            Self::Float(n) => n.permits()?,
        })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a wait beyond 64 bits")
}

impl<const LATEST: bool> Limiter<LATEST> {
    /// A refusal says how long, the other reports agree with it, and "never" is said of the impossible only.
    fn check_refusal(&self, n: Permits, denied: &Denied) -> Result<(), String> {
        let never = n > Permits::from(self.handle.quota().burst());
        if denied.is_never() != never {
            return Err(format!("refused with {denied:?}"));
        }
        let stepped_back = self.clock.now() < self.latest_ns;
        if never || stepped_back {
            return Ok(());
        }
        let told = denied.retry_after().ok_or("no time was told")?;
        if told.is_zero() || self.handle.time_until(n) != Ok(told) || self.handle.has_capacity(n) {
            return Err(format!("told {told:?}, but time_until says {:?}", self.handle.time_until(n)));
        }
        Ok(())
    }

    /// A wait from the clock's reading, counted from the reading that the caller gave.
    const fn since_asked(&self, wait_ns: u64) -> u64 {
        if wait_ns == 0 { 0 } else { wait_ns + self.behind_ns }
    }

    /// Another quota; the limiter then reports it.
    fn set_quota(&self, n: u64, period: Duration, burst: u64) -> Result<(), String> {
        let quota = Quota::try_new(n, period).and_then(|quota| quota.try_with_burst(burst));
        let quota = quota.map_err(|error| error.to_string())?;
        self.handle.set_quota(quota).map_err(|error| error.to_string())?;
        let told = self.handle.quota();
        if told == quota { Ok(()) } else { Err(format!("set {quota:?}, but it is {told:?}")) }
    }

    fn poll(&mut self, id: &str) -> Option<Result<(), Denied>> {
        let (future, waker) = self.waiting.get_mut(id)?;
        match future.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Pending => None,
            Poll::Ready(outcome) => {
                self.waiting.remove(id);
                Some(outcome)
            }
        }
    }
}

impl<const LATEST: bool> Subject for Limiter<LATEST> {
    fn create(n: u64, period_ns: u64, burst: u64, created_ns: u64) -> Result<Self, String> {
        let clock = ManualClock::starting_at(created_ns);
        let limiter = Quota::try_new(n, Duration::from_nanos(period_ns))
            .and_then(|quota| quota.try_with_burst(burst))
            .and_then(|quota| RateLimiter::try_with_clock(quota, clock.clone()))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            handle: limiter,
            clock,
            behind_ns: 0,
            latest_ns: created_ns,
            waiting: BTreeMap::new(),
            woken: Log::default(),
        })
    }

    fn move_to(&mut self, t_ns: u64) {
        let now = self.clock.now();
        if t_ns >= now {
            self.behind_ns = 0;
            self.clock.advance(Duration::from_nanos(t_ns - now));
        } else if LATEST {
            self.behind_ns = now - t_ns;
        } else {
            self.clock.set(t_ns);
        }
        self.latest_ns = self.latest_ns.max(t_ns);
    }

    fn try_acquire(&mut self, n: N) -> Result<bool, String> {
        let Ok(n) = n.permits() else { return Ok(false) };
        let fits = self.handle.has_capacity(n);
        let outcome =
            if n == Permits::from(1) { self.handle.try_acquire() } else { self.handle.try_acquire_n(n) };
        match outcome {
            Ok(()) if !fits => Err("admitted, but has_capacity says no".to_owned()),
            Ok(()) => Ok(true),
            Err(denied) => self.check_refusal(n, &denied).map(|()| false),
        }
    }

    /// From several threads: the sum does not depend on the order of the threads.
    fn try_acquire_repeat(&mut self, n: N, count: u64) -> Result<u64, String> {
        let threads = count.min(15);
        let limiter = &self.handle;
        let Ok(n) = n.permits() else { return Ok(0) };
        thread::scope(|scope| {
            let calls = (0..threads).map(|thread| {
                let calls = count / threads + u64::from(thread < count % threads);
                scope.spawn(move || (0..calls).filter(|_| limiter.try_acquire_n(n).is_ok()).count() as u64)
            });
            let calls: Vec<_> = calls.collect();
            Ok(calls.into_iter().map(|thread| thread.join().expect("a thread that calls")).sum())
        })
    }

    fn available(&mut self) -> i64 {
        self.handle.available()
    }

    fn exact_level(&self) -> Option<BigRational> {
        None
    }

    fn wait_needed(&mut self, n: N) -> Option<u64> {
        match self.handle.time_until(n.permits().ok()?) {
            Ok(wait) => Some(self.since_asked(nanos(wait))),
            Err(AcquireError::TooMany(_)) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    fn time_to_full(&mut self) -> u64 {
        self.since_asked(nanos(self.handle.time_until_full()))
    }

    fn take_up_to(&mut self, n: u64) -> u64 {
        self.handle.try_acquire_up_to(n)
    }

    fn force_take(&mut self, n: N) -> Result<u64, String> {
        let n = n.permits().map_err(|denied| denied.to_string())?;
        let paid = self.handle.charge(n).map_err(|error| error.to_string())?;
        Ok(self.since_asked(nanos(paid)))
    }

    fn refund(&mut self, n: N) -> Result<(), String> {
        let n = n.permits().map_err(|denied| denied.to_string())?;
        self.handle.refund(n).map_err(|invalid| invalid.to_string())
    }

    fn reset(&mut self) {
        self.handle.reset();
    }

    fn set_rate(&mut self, n: u64, period_ns: u64) -> Result<(), String> {
        self.set_quota(n, Duration::from_nanos(period_ns), self.handle.quota().burst())
    }

    fn set_burst(&mut self, burst: u64) -> Result<(), String> {
        let quota = self.handle.quota();
        self.set_quota(quota.permits(), quota.period(), burst)
    }

    fn acquire(&mut self, id: &str, n: N, max_wait_ns: Option<u64>) -> Acquired {
        let Ok(n) = n.permits() else { return Acquired::Error };
        let max_wait = max_wait_ns.map(Duration::from_nanos);
        // A refusal says when the same call would do.
        let retry_after = max_wait.and_then(|most| self.handle.time_until(n).ok()?.checked_sub(most));
        let recorder = Recorder { id: id.to_owned(), clock: self.clock.clone(), log: self.woken.clone() };
        let waker = Waker::from(Arc::new(recorder));
        let future: Pin<Box<dyn Future<Output = _>>> = if let Some(max_wait) = max_wait {
            Box::pin(self.handle.acquire_within_owned(n, max_wait))
        } else if n == Permits::from(1) {
            let one = self.handle.acquire_owned();
            Box::pin(async {
                one.await;
                Ok(())
            })
        } else {
            let call = self.handle.acquire_n_owned(n);
            Box::pin(async { call.await.map_err(Denied::from) })
        };
        self.waiting.insert(id.to_owned(), (future, waker));
        match self.poll(id) {
            None => Acquired::Pending,
            Some(Ok(())) => Acquired::Ready,
            Some(Err(denied @ Denied::NotYet(_))) => {
                assert_eq!(denied.retry_after(), retry_after, "{denied:?}");
                Acquired::Late
            }
            Some(Err(denied)) => {
                assert!(denied.is_never(), "{denied:?}");
                Acquired::Error
            }
        }
    }

    fn cancel(&mut self, id: &str) -> bool {
        self.waiting.remove(id).is_some()
    }

    fn grants(&mut self) -> Vec<(String, u64)> {
        let woken = std::mem::take(&mut *self.woken.lock().expect("the log"));
        let mut granted = Vec::new();
        for (id, time) in woken {
            // A wake-up is a grant if the waiter, polled again, is done.
            if let Some(outcome) = self.poll(&id) {
                assert_eq!(outcome, Ok(()));
                granted.push((id, time));
            }
        }
        granted
    }
}
