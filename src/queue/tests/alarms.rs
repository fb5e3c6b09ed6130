//! Whose alarm is relied on.

use core::{
    future::Future,
    task::{Context, Waker},
    time::Duration,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use tokio::{task::yield_now, time::sleep};

use super::{giving_back::Fragile, timer::paused};
use crate::{
    AllOf, Clock, ManualClock, Quota, RateLimiter,
    gcra::Scale,
    queue::{
        AcquireOwned, WaitQueue,
        hand_off::By,
        inner::{HandOff, NEVER, Request},
    },
    word::Mode,
};

pub(super) const SECOND: u64 = 1_000_000_000;

/// A clock without alarms that moves only when it is set.
#[derive(Debug, Default)]
pub(super) struct Dial(pub(super) AtomicU64);

impl Clock for Dial {
    fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn wake_at(&self, _: u64, _: &Waker) -> bool {
        false
    }
}

pub(super) fn queue(quota: Quota) -> Arc<WaitQueue<Dial>> {
    WaitQueue::new(quota, Scale::new(&quota).unwrap(), Dial::default())
}

/// A thread that kept the time is served before its alarm, and nobody is left: nor is its alarm.
#[test]
fn the_alarm_of_a_thread_leaves_with_it() {
    let queue = queue(Quota::new(1, Duration::from_secs(10)).initial(0));
    thread::scope(|scope| {
        scope.spawn(|| queue.wait_blocking(1.into(), None).unwrap());
        loop {
            let inner = queue.inner.lock();
            if inner.keeper.is_some() && inner.armed.is_some() {
                break;
            }
            drop(inner);
            thread::yield_now();
        }
        queue.clock.0.store(SECOND, Relaxed);
        queue.reset();
    });
    paused().block_on(async {
        let next = tokio::spawn(AcquireOwned::new(queue.clone(), Ok(1.into()), None));
        yield_now().await;
        queue.clock.0.store(12 * SECOND, Relaxed);
        sleep(Duration::from_secs(12)).await;
        assert!(next.is_finished(), "it relies on the alarm of a thread that has left");
    });
}

/// One was waited for long ago; since then there has been enough for everybody.
#[test]
fn who_need_not_wait_does_without_the_lock() {
    let queue = queue(Quota::per_second(10_000).burst(1_000_000));
    queue.locked(|locked| locked.inner.rounds.released(0));
    for _ in 0..if cfg!(miri) { 20 } else { 1_000 } {
        queue.clock.0.fetch_add(400_000, Relaxed);
        queue.wait_blocking(1.into(), None).unwrap();
    }
    assert!(!queue.meter.word.load().is(Mode::Queued));
}

/// A hand-off that a panic has ended can be begun anew, by whoever comes.
#[test]
fn a_clock_that_panics_ends_the_hand_off() {
    let quota = Quota::per_second(1).initial(0);
    let queue = WaitQueue::new(quota, Scale::new(&quota).unwrap(), Fragile::default());
    let place = Box::pin(queue.place());
    let request = Request { permits: 1.into(), max_wait: None, thread: true, gate: None };
    queue.enter(place.as_ref(), request, Waker::noop(), 0).unwrap();
    queue.inner.lock().armed = Some(SECOND);
    queue.clock.0.store(1, Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| queue.drive(By::Other))).is_err());
    let (hand_off, armed) = {
        let inner = queue.inner.lock();
        (inner.hand_off, inner.armed)
    };
    assert_eq!((hand_off, armed), (HandOff::Idle, None));
    queue.leave(place.as_ref());
}

/// A clock that has come to its end shows no later reading: who would be due by one waits for good, and nobody looks
/// for it again and again.
#[test]
fn nobody_is_woken_for_a_time_that_no_clock_shows() {
    for (start_ns, waiters) in [(u64::MAX - 5, 1), (0, 2)] {
        let (done, ends) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let clock = ManualClock::starting_at(start_ns);
            // Once in three hundred years.
            let quota = Quota::new(1, Duration::from_secs(86_400 * 365 * 300));
            let limiter = RateLimiter::with_clock(quota, clock.clone());
            limiter.try_acquire().unwrap();
            let mut all: Vec<_> = (0..waiters).map(|_| Box::pin(limiter.acquire())).collect();
            for waiter in &mut all {
                assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            clock.advance(Duration::MAX);
            let armed = limiter.queue().inner.lock().armed;
            done.send((limiter.waiting(), armed)).unwrap();
        });
        let still = ends.recv_timeout(Duration::from_secs(60)).expect("it goes round and round");
        assert_eq!(still, (1, Some(NEVER)), "from {start_ns}");
    }
}

/// Nor is a promise made for the end of time: it would be broken as soon as it is made.
#[test]
fn nobody_is_promised_the_end_of_time() {
    let (done, ends) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let second = Duration::from_secs(1);
        let clock = ManualClock::starting_at(u64::MAX - 2_500_000_000);
        let [fast, slow] =
            [1, 2].map(|n| RateLimiter::with_clock(Quota::new(1, second * n).burst(1), clock.clone()));
        slow.try_acquire().unwrap();
        let mut both = Box::pin(AllOf::new().and(&fast, 1).and(&slow, 1).acquire());
        assert!(both.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        // Half a second before the end it is due in one of them, and in the other after it.
        clock.advance(second * 19 / 10);
        fast.try_acquire().unwrap();
        clock.advance(Duration::MAX);
        assert!(both.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        done.send((fast.waiting(), slow.waiting())).unwrap();
    });
    let still = ends.recv_timeout(Duration::from_secs(60)).expect("it goes round and round");
    assert_eq!(still, (1, 1));
}
