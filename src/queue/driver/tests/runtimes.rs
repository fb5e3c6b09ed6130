//! Waiters of two runtimes, one of which stalls.

use std::sync::mpsc::{Sender, channel};

use tokio::runtime::{Builder, Runtime};

use super::*;

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

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// A runtime whose only worker stalls until the sender is dropped, and one that nobody drives.
fn stalled(several_threads: bool) -> (Runtime, Sender<()>) {
    let (goes_on, stalls) = channel();
    if !several_threads {
        return (one_thread(), goes_on);
    }
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
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
        let clock = Arc::new(Alarmless::default());
        clock.0.set(START);
        let limiter =
            RateLimiter::with_clock("1000/s burst 1 initial 0".parse().unwrap(), Arc::clone(&clock));

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
