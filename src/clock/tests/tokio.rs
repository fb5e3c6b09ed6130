//! The clock of a runtime, inside and outside of it.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    task::Waker,
    time::Duration,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    task::Wake,
    thread,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::{advance, sleep},
};

use super::AlarmWaker;
use crate::{Clock, Quota, RateLimiter, TokioClock};

const SECOND: u64 = 1_000_000_000;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn real(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_time().build().unwrap()
}

#[test]
fn the_time_of_its_runtime_is_shown_everywhere() {
    let runtime = paused();
    let inside = runtime.block_on(async { TokioClock::new() });
    let outside = TokioClock::with_handle(runtime.handle().clone());
    runtime.block_on(async { sleep(seconds(7)).await });
    let check = |time: u64| {
        let readings = [&inside, &outside, &inside.clone()].map(Clock::now);
        assert_eq!(readings, [time; 3]);
    };
    runtime.block_on(async { check(7 * SECOND) });
    check(7 * SECOND);
    thread::scope(|scope| scope.spawn(|| check(7 * SECOND)).join().unwrap());
    let other = paused();
    other.block_on(async {
        sleep(seconds(100)).await;
        check(7 * SECOND);
    });
    runtime.block_on(advance(seconds(2)));
    check(9 * SECOND);
    drop(runtime);
    check(9 * SECOND);
}

#[test]
fn a_clock_without_a_runtime_goes_by_the_one_in_which_it_is_read() {
    let clock = TokioClock::new();
    let (alarm_waker, waker) = AlarmWaker::new();
    let runtime = paused();
    runtime.block_on(async {
        let start = clock.now();
        sleep(seconds(7)).await;
        assert_eq!(clock.now(), start + 7 * SECOND);
        // It has no alarms, not even at once.
        assert!(!clock.wake_at(clock.now() + 1, &waker) && !clock.wake_at(0, &waker));
    });
    assert_eq!((alarm_waker.rings(), clock.alarms()), (0, 0));
    assert_eq!(format!("{clock:?}"), "TokioClock { runtime: None, .. }");
}

/// Notes at what times it is woken.
#[derive(Debug)]
struct Noting(TokioClock, Mutex<Vec<u64>>);

impl Noting {
    fn new(clock: &TokioClock) -> (Arc<Self>, Waker) {
        let noting = Arc::new(Self(clock.clone(), Mutex::default()));
        (Arc::clone(&noting), noting.into())
    }

    fn times(&self) -> Vec<u64> {
        core::mem::take(&mut self.1.lock().unwrap())
    }
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        let now = self.0.now();
        self.1.lock().unwrap().push(now);
    }
}

#[test]
fn alarms_stop_the_automatic_advance_of_paused_time() {
    paused().block_on(async {
        let clock = TokioClock::new();
        let ((one, first), (other, second)) = (Noting::new(&clock), Noting::new(&clock));
        assert!(clock.wake_at(30 * SECOND, &first));
        // By another clone as well, in any order, and not rounded to less than is asked for.
        assert!(clock.clone().wake_at(20 * SECOND + 1, &second));
        assert_eq!(clock.alarms(), 2);
        sleep(seconds(100)).await;
        assert_eq!(one.times(), [30 * SECOND]);
        assert_eq!(other.times(), [20 * SECOND + 1_000_000]);
        assert_eq!(clock.alarms(), 0);
    });
}

#[test]
fn alarms_ring_before_an_advance_of_paused_time_returns() {
    paused().block_on(async {
        let clock = TokioClock::new();
        let (noting, waker) = Noting::new(&clock);
        assert!(clock.wake_at(3 * SECOND, &waker));
        advance(seconds(10)).await;
        assert_eq!((noting.times(), clock.alarms()), (vec![10 * SECOND], 0));
    });
}

#[test]
fn a_later_alarm_of_the_same_waker_replaces_the_earlier() {
    paused().block_on(async {
        let clock = TokioClock::new();
        let (noting, waker) = Noting::new(&clock);
        for deadline in [30, 50, 10, 20] {
            assert!(clock.wake_at(deadline * SECOND, &waker));
            assert_eq!(clock.alarms(), 1);
        }
        sleep(seconds(100)).await;
        assert_eq!((noting.times(), clock.alarms()), (vec![20 * SECOND], 0));
        // A deadline that is over replaces as well.
        assert!(clock.wake_at(200 * SECOND, &waker));
        assert!(clock.wake_at(100 * SECOND, &waker));
        assert_eq!((noting.times(), clock.alarms()), (vec![100 * SECOND], 0));
        sleep(seconds(900)).await;
        assert!(noting.times().is_empty());
    });
}

#[test]
fn no_alarm_is_set_for_a_time_that_the_system_cannot_show() {
    paused().block_on(async {
        let clock = TokioClock::new();
        let (alarm_waker, waker) = AlarmWaker::new();
        assert!(clock.wake_at(u64::MAX, &waker));
        sleep(seconds(1_000_000)).await;
        assert_eq!(alarm_waker.rings(), 0);
    });
}

#[test]
fn a_thread_outside_sets_alarms() {
    struct Unpark(thread::Thread, AtomicU64);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.1.store(1, Ordering::SeqCst);
            self.0.unpark();
        }
    }

    let runtime = real(1);
    let clock = TokioClock::with_handle(runtime.handle().clone());
    let unpark = Arc::new(Unpark(thread::current(), AtomicU64::new(0)));
    let deadline = clock.now() + 5_000_000;
    assert!(clock.wake_at(deadline, &Arc::clone(&unpark).into()));
    while unpark.1.load(Ordering::SeqCst) == 0 {
        thread::park();
    }
    assert!(clock.now() >= deadline);
    assert_eq!(clock.alarms(), 0);
}

#[test]
fn a_runtime_that_has_shut_down_takes_no_alarms() {
    for runtime in [paused(), real(1)] {
        let clock = TokioClock::with_handle(runtime.handle().clone());
        drop(runtime);
        let (alarm_waker, waker) = AlarmWaker::new();
        assert!(!clock.wake_at(clock.now() + 1_000_000 * SECOND, &waker));
        assert_eq!((alarm_waker.rings(), clock.alarms()), (0, 0));
        // What is due is due.
        assert!(clock.wake_at(clock.now(), &waker));
        assert_eq!(alarm_waker.rings(), 1);
    }
}

#[test]
fn a_runtime_that_shuts_down_wakes_those_that_wait() {
    for runtime in [paused(), real(2)] {
        let clock = TokioClock::with_handle(runtime.handle().clone());
        let ((alarm_waker, waker), (late, tardy)) = (AlarmWaker::new(), AlarmWaker::new());
        assert!(clock.wake_at(clock.now() + 1_000_000 * SECOND, &waker));
        runtime.block_on(tokio::task::yield_now());
        // And one that the runtime has not been driven since.
        assert!(clock.wake_at(clock.now() + 1_000_000 * SECOND, &tardy));
        assert_eq!((alarm_waker.rings(), late.rings(), clock.alarms()), (0, 0, 2));
        drop(runtime);
        assert_eq!((alarm_waker.rings(), late.rings(), clock.alarms()), (1, 1, 0));
    }
}

#[test]
fn the_last_clone_calls_its_alarms_off() {
    let runtime = paused();
    runtime.block_on(async {
        let clock = TokioClock::new();
        let (alarm_waker, waker) = AlarmWaker::new();
        assert!(clock.wake_at(10 * SECOND, &waker));
        drop(waker);
        drop(clock.clone());
        assert_eq!(Arc::strong_count(&alarm_waker), 2);
        drop(clock);
        assert_eq!(Arc::strong_count(&alarm_waker), 1);
        sleep(seconds(20)).await;
        assert_eq!(alarm_waker.rings(), 0);
    });
}

#[test]
fn a_runtime_without_time_panics_and_leaves_nothing_behind() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let clock = TokioClock::with_handle(runtime.handle().clone());
    let (alarm_waker, waker) = AlarmWaker::new();
    let deadline = clock.now() + 1_000_000 * SECOND;
    catch_unwind(AssertUnwindSafe(|| clock.wake_at(deadline, &waker))).unwrap_err();
    assert_eq!((alarm_waker.rings(), clock.alarms()), (0, 0));
    // What is due needs no timer.
    assert!(clock.wake_at(0, &waker));
    assert_eq!(alarm_waker.rings(), 1);
}

/// Sets the next alarm as it is woken, and as it is dropped: a clock that holds its lock meanwhile would never return.
#[derive(Debug)]
struct Reentrant {
    clock: TokioClock,
    alarm_waker: Waker,
    woken: AtomicU64,
}

impl Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        if self.woken.fetch_add(1, Ordering::SeqCst) < 3 {
            let again = self.clock.now() + SECOND;
            // In vain if it was woken because the runtime shuts down.
            self.clock.wake_at(again, &Arc::clone(&self).into());
        }
    }
}

impl Drop for Reentrant {
    fn drop(&mut self) {
        self.clock.wake_at(self.clock.now() + SECOND, &self.alarm_waker);
    }
}

#[test]
fn wakers_may_use_the_clock() {
    let runtime = paused();
    let (alarm_waker, waker) = AlarmWaker::new();
    let clock = TokioClock::with_handle(runtime.handle().clone());
    let reentrant = || {
        Arc::new(Reentrant { clock: clock.clone(), alarm_waker: waker.clone(), woken: AtomicU64::new(0) })
            .into()
    };
    let start = clock.now();
    runtime.block_on(async {
        // Woken at 1, 2, 3 and 4 seconds, and then dropped; the alarm waker rings a second later.
        assert!(clock.wake_at(SECOND, &reentrant()));
        sleep(seconds(4)).await;
        assert_eq!((alarm_waker.rings(), clock.alarms()), (0, 1));
        sleep(seconds(2)).await;
        assert_eq!((alarm_waker.rings(), clock.alarms()), (1, 0));
    });
    assert_eq!(clock.now(), start + 6 * SECOND);
    // Woken because its deadline is over, again because the runtime shuts down, and then dropped.
    let replaced = reentrant();
    assert!(clock.wake_at(100 * SECOND, &replaced));
    assert!(clock.wake_at(0, &replaced));
    drop(replaced);
    drop(runtime);
    assert_eq!((alarm_waker.rings(), clock.alarms()), (1, 0));
}

#[test]
fn threads_that_share_a_waker_leave_nothing_behind() {
    let runtime = real(2);
    let clock = TokioClock::with_handle(runtime.handle().clone());
    let (alarm_waker, waker) = AlarmWaker::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..if cfg!(miri) { 10 } else { 500 } {
                    assert!(clock.wake_at(clock.now() + round * 1000, &waker));
                }
            });
        }
    });
    // The last of all to be set rings.
    while clock.alarms() > 0 {
        thread::yield_now();
    }
    assert!(alarm_waker.rings() > 0);
}

/// A limiter that is waited for on one runtime, by the time of another.
#[test]
fn waiters_on_another_runtime_go_by_the_clock_s_time() {
    let runtime = paused();
    let clock = TokioClock::with_handle(runtime.handle().clone());
    let limiter = RateLimiter::with_clock(Quota::per_hour(1).with_burst(1).with_initial(0), clock.clone());
    let (send, served) = oneshot::channel();
    let other = real(1);
    other.spawn(async move {
        limiter.acquire().await;
        send.send(clock.now()).unwrap();
    });
    // Nothing else has a timer here: the hour passes when the waiter has set its alarm.
    let served = runtime.block_on(served).unwrap();
    assert!((3600 * SECOND..3601 * SECOND).contains(&served), "{served}");
}
