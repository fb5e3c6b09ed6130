//! What a listener is told.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Waker},
    time::Duration,
};

use tidegate::{Event, Listener, ManualClock, Quota, RateLimiter};

/// Keeps all events, and calls the limiter at each, which would deadlock if a lock were held.
#[derive(Default)]
struct Log {
    events: Mutex<Vec<Event>>,
    limiter: OnceLock<RateLimiter<ManualClock>>,
}

impl Listener for Log {
    fn on_event(&self, limiter: &str, event: &Event) {
        assert_eq!(limiter, "api");
        self.events.lock().unwrap().push(*event);
        if let Some(limiter) = self.limiter.get() {
            let _ = (limiter.stats(), limiter.available(), limiter.has_capacity(1));
        }
    }
}

impl Log {
    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

#[test]
fn a_listener_is_told_each_step_with_no_lock_held() {
    let (clock, log) = (ManualClock::new(), Arc::new(Log::default()));
    let limiter = RateLimiter::with_clock(Quota::per_second(1).with_burst(2), clock.clone());
    let limiter = limiter.watched_by("api", Arc::clone(&log));
    assert!(log.limiter.set(limiter.clone()).is_ok());
    let mut cx = Context::from_waker(Waker::noop());

    limiter.try_acquire_n(2).unwrap();
    assert_eq!(log.take(), [], "admissions are only counted");

    let denied = limiter.try_acquire().unwrap_err();
    assert_eq!(log.take(), [Event::Refused(denied)]);

    {
        let mut granted = pin!(limiter.acquire());
        let mut late = Box::pin(limiter.acquire_within(1, Duration::from_secs(3)));
        let mut cancelled = Box::pin(limiter.acquire());
        for future in [granted.as_mut() as std::pin::Pin<&mut dyn Future<Output = ()>>, cancelled.as_mut()] {
            assert!(future.poll(&mut cx).is_pending());
        }
        assert!(late.as_mut().poll(&mut cx).is_pending());
        drop(cancelled);
        assert_eq!(log.take(), [Event::Joined, Event::Joined, Event::Joined, Event::Cancelled]);

        clock.advance(Duration::from_secs(1));
        assert!(granted.as_mut().poll(&mut cx).is_ready());
        assert_eq!(log.take(), [Event::Granted { waited: Duration::from_secs(1) }]);

        limiter.charge(5).unwrap();
        assert!(late.as_mut().poll(&mut cx).is_ready());
        let events = log.take();
        assert_eq!(events[0], Event::Charged(5.into()));
        assert!(
            matches!(events[1], Event::TooLate { waited, denied } if waited == Duration::from_secs(1)
                && denied.retry_after() > Some(Duration::ZERO)),
            "{events:?}"
        );
    }

    limiter.refund(5).unwrap();
    limiter.pause_for(Duration::from_secs(4));
    limiter.resume();
    limiter.set_quota(Quota::per_second(7)).unwrap();
    limiter.close();
    assert_eq!(
        log.take(),
        [
            Event::GivenBack(5.into()),
            Event::Paused { pause: Some(Duration::from_secs(4)) },
            Event::Resumed,
            Event::QuotaSet(Quota::per_second(7)),
            Event::Closed,
        ]
    );
}

#[test]
fn a_listener_that_panics_leaves_the_limiter_as_it_was() {
    struct Panics;
    impl Listener for Panics {
        fn on_event(&self, _: &str, event: &Event) {
            assert!(!matches!(event, Event::Joined | Event::Refused(_)), "as the test wants");
        }
    }
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(1), clock.clone()).watched_by("api", Panics);
    limiter.try_acquire().unwrap();
    let joins = || {
        let mut waiter = Box::pin(limiter.acquire());
        let _ = waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(joins)).is_err());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| limiter.try_acquire())).is_err());
    assert_eq!(limiter.waiting(), 0, "the waiter has left");
    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.try_acquire(), Ok(()));
}
