//! Waiters of two runtimes, one of which stalls.

use std::sync::mpsc::{Sender, channel};

use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::AllOf;

const MS: u64 = 1_000_000;

/// Longer than anything takes on a slow machine.
const LONG: Duration = Duration::from_secs(60);

type Action = Box<dyn FnOnce() + Send>;

/// A clock without alarms, which moves only when it is set. What the test gives it runs just before the alarm is set.
#[derive(Default)]
struct Alarmless(Dial, Mutex<Option<Action>>);

impl fmt::Debug for Alarmless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Clock for Alarmless {
    fn now(&self) -> u64 {
        self.0.now()
    }

    fn wake_at(&self, _: u64, _: &Waker) -> bool {
        let action = self.1.lock().take();
        if let Some(action) = action {
            action();
        }
        false
    }
}

/// A limiter that has an alarm only by a runtime or by the timer thread.
fn alarmless(quota: &str) -> (RateLimiter<Arc<Alarmless>>, Arc<Alarmless>) {
    let clock = Arc::new(Alarmless::default());
    clock.0.set(START);
    (RateLimiter::with_clock(quota.parse().unwrap(), Arc::clone(&clock)), clock)
}

/// Whether the alarm is a timer of the runtime that the test is inside.
fn is_served_here(limiter: &RateLimiter<Arc<Alarmless>>) -> bool {
    let home = limiter.driver().lock().home;
    home != Home::default() && home == Home::of_caller()
}

fn one_worker() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// A runtime whose only worker stalls until the sender is dropped, and one that nobody drives.
fn stalled(several_threads: bool) -> (Runtime, Sender<()>) {
    let (goes_on, stalls) = channel();
    if !several_threads {
        return (one_thread(), goes_on);
    }
    let runtime = one_worker();
    let (tells, told) = channel();
    runtime.spawn(async move {
        tells.send(()).unwrap();
        stalls.recv()
    });
    told.recv().unwrap();
    (runtime, goes_on)
}

/// The alarm is just being set on the runtime of the first waiter, which stalls.
#[test]
fn one_that_joins_from_elsewhere_while_the_alarm_is_set_does_not_depend_on_the_first() {
    for several_threads in [true, false] {
        // The sender is dropped first, also by a panic.
        let (a, _goes_on) = stalled(several_threads);
        let b = one_thread();
        let (limiter, clock) = alarmless("1000/s burst 1 initial 0");

        let (granted, grants) = channel();
        let second = Arc::new(Mutex::new(None));
        let (joins, elsewhere, joined) = (limiter.clone(), b.handle().clone(), Arc::clone(&second));
        *clock.1.lock() = Some(Box::new(move || {
            let _inside = elsewhere.enter();
            assert_eq!(state(&joins), (true, HandOff::Running, Some(START + MS)), "it is being set");
            let mut waiter = Box::pin(joins.acquire_n_owned(1));
            // The test may be over.
            assert!(poll_with(&mut waiter, &waker(move || _ = granted.send(()))).is_pending());
            *joined.lock() = Some(waiter);
        }));
        let mut first = {
            let _inside = a.enter();
            queued(&limiter, 1)
        };
        let mut second = second.lock().take().expect("it has joined");
        assert_eq!(state(&limiter), (true, HandOff::Idle, Some(START + MS)), "one is set that serves both");

        clock.0.set(START + 2 * MS);
        grants.recv_timeout(LONG).expect("the second waits for the runtime of the first");
        assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
    }
}

#[test]
fn tasks_of_one_runtime_are_served_by_its_timer() {
    let (runtime, other) = (one_worker(), one_worker());
    let (limiter, _) = alarmless("1/s burst 2 initial 0");
    let inside = runtime.enter();
    let mut first = queued(&limiter, 1);
    let _second = queued(&limiter, 1);
    assert!(is_served_here(&limiter));
    drop(inside);
    // It moves to another runtime.
    let _inside = other.enter();
    assert!(poll(&mut first).is_pending());
    assert_eq!(limiter.driver().lock().home, Home::default());
}

/// The call waits for one limit, then for the other, and then at the front of both.
#[test]
fn a_final_round_is_served_by_the_timer_of_its_runtime() {
    let runtime = one_worker();
    let _inside = runtime.enter();
    let (slow, slow_clock) = alarmless("36/h burst 1 initial 0");
    let (fast, fast_clock) = alarmless("360/h burst 1");
    let mut call = Box::pin(AllOf::new().and(&slow, 1).and(&fast, 1).acquire());
    assert!(poll(&mut call).is_pending());
    let pass = |seconds: u64| {
        for (limiter, clock) in [(&slow, &slow_clock), (&fast, &fast_clock)] {
            clock.0.set(START + seconds * SECOND);
            limiter.driver().drive();
        }
    };
    pass(100);
    fast.try_acquire().unwrap();
    assert!(poll(&mut call).is_pending());
    assert_eq!((slow.waiting(), fast.waiting()), (0, 1), "it holds what it has from the first");
    pass(110);
    slow.charge(1).unwrap();
    assert!(poll(&mut call).is_pending());
    assert_eq!((slow.waiting(), fast.waiting()), (1, 1), "a part of that has overflowed meanwhile");
    assert!(is_served_here(&slow) && is_served_here(&fast));
}
