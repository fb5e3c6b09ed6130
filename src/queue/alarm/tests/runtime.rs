//! Timers of runtimes, and the choice between them and the timer thread.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::runtime::{Builder, Runtime};

use super::*;

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Whether the alarm goes by the timer of a runtime, or by the timer thread.
fn by_runtime(alarm: &Alarm) -> bool {
    assert!(alarm.runtime.is_some() != alarm.thread.is_some(), "by one of the two");
    alarm.runtime.is_some()
}

/// A home at that runtime.
fn at(runtime: &Runtime) -> Home {
    let _inside = runtime.enter();
    let mut home = Home::default();
    assert!(home.note(Home::of_caller(), true));
    home
}

#[test]
fn a_timer_of_a_multi_thread_runtime_serves() {
    let runtime = multi_thread();
    let (bells, mut alarm, mut home) = (Bells::new(), Alarm::default(), at(&runtime));
    let start = Instant::now();
    let armed = {
        let _inside = runtime.enter();
        alarm.set(&mut home, 10_000_000, 0, &bells.alarm_waker(1))
    };
    assert_eq!(armed, 10_000_000);
    assert!(by_runtime(&alarm) && home == at(&runtime));
    let (number, rung) = bells.next();
    assert_eq!(number, 1);
    assert!(rung >= start + ms(10));
    // It may be set anew from anywhere: it is that runtime's.
    let start = Instant::now();
    let armed = alarm.set(&mut home, 20_000_000, 0, &bells.alarm_waker(2));
    assert!(armed == 20_000_000 && by_runtime(&alarm));
    let (number, rung) = bells.next();
    assert_eq!(number, 2);
    assert!(rung >= start + ms(20));
    assert!(bells.is_silent());
}

#[test]
fn an_alarm_for_a_time_that_is_over_rings() {
    let runtime = multi_thread();
    let (bells, mut alarm, mut home) = (Bells::new(), Alarm::default(), at(&runtime));
    let _inside = runtime.enter();
    // Some of the sleeps are over when they are polled, and none of them has to wait for its runtime then. One whose
    // time comes during the poll may ring twice.
    for number in 0..100 {
        assert_eq!(alarm.set(&mut home, 5, 5, &bells.alarm_waker(number)), 5);
        while bells.next().0 != number {}
    }
}

/// Its timer is let go, and the alarm that it had set is set elsewhere.
#[test]
fn the_timer_thread_takes_over_from_a_runtime_that_goes_down() {
    let runtime = multi_thread();
    let (bells, mut alarm, mut home) = (Bells::new(), Alarm::default(), at(&runtime));
    {
        let _inside = runtime.enter();
        alarm.set(&mut home, 60_000_000_000, 0, &bells.alarm_waker(1));
    }
    assert!(by_runtime(&alarm) && bells.is_silent());
    drop(runtime);
    // It wakes the alarm waker, so that the hand-off looks for another alarm.
    assert_eq!(bells.next().0, 1);
    let start = Instant::now();
    assert_eq!(alarm.set(&mut home, 10_000_000, 0, &bells.alarm_waker(2)), 10_000_000);
    assert!(!by_runtime(&alarm) && home == Home::default());
    let (number, at) = bells.next();
    assert_eq!(number, 2);
    assert!(at >= start + ms(10));
}

#[test]
fn a_timer_of_a_runtime_that_is_gone_cannot_be_set() {
    let runtime = multi_thread();
    let id = runtime.handle().id();
    let mut timer = {
        let _inside = runtime.enter();
        RuntimeAlarm::new(id).unwrap()
    };
    assert!(timer.set(LONG, Waker::noop()).unwrap().is_pending());
    drop(runtime);
    assert!(timer.set(LONG, Waker::noop()).is_none());
    assert!(timer.set(LONG, Waker::noop()).is_none());
    // Nor is another made by a caller that is elsewhere.
    assert!(RuntimeAlarm::new(id).is_none());
    let other = multi_thread();
    let _inside = other.enter();
    assert!(RuntimeAlarm::new(id).is_none());
}

/// To ask it is a panic that is caught, and tells so on standard error. So it is asked once.
#[test]
fn a_runtime_without_timers_is_done_without() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let _inside = runtime.enter();
    let (bells, mut alarm) = (Bells::new(), Alarm::default());
    for (number, panics) in [(1, 1), (2, 0), (3, 0)] {
        let mut home = at(&runtime);
        let set = || assert_eq!(alarm.set(&mut home, 1_000, 0, &bells.alarm_waker(number)), 1_000);
        assert_eq!(panics_of(set), panics);
        assert!(!by_runtime(&alarm) && home == Home::default());
        assert_eq!(bells.next().0, number);
    }
}

/// How often this thread panics meanwhile.
fn panics_of(run: impl FnOnce()) -> u32 {
    let (count, thread) = (Arc::new(AtomicU32::new(0)), std::thread::current().id());
    let before = Arc::new(std::panic::take_hook());
    let (counter, others) = (Arc::clone(&count), Arc::clone(&before));
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == thread {
            counter.fetch_add(1, Ordering::SeqCst);
        } else {
            others(panic);
        }
    }));
    run();
    std::panic::set_hook(Box::new(move |panic| before(panic)));
    count.load(Ordering::SeqCst)
}

/// Its thread may not be driving it.
#[test]
fn a_runtime_of_one_thread_is_no_home() {
    let runtime = current_thread();
    let _inside = runtime.enter();
    let mut home = Home::default();
    assert!(!home.note(Home::of_caller(), true) && home == Home::default());
    assert!(super::super::runtime::current().is_none());
}

#[test]
fn callers_from_two_runtimes_have_no_home_until_the_queue_is_empty() {
    let (one, two) = (multi_thread(), multi_thread());
    let note = |home: &mut Home, runtime: Option<&Runtime>, first| {
        let _inside = runtime.map(Runtime::enter);
        home.note(Home::of_caller(), first)
    };
    for elsewhere in [Some(&two), None] {
        let mut home = at(&one);
        assert!(!note(&mut home, Some(&one), false), "all are here");
        assert_eq!(home, at(&one));
        assert!(note(&mut home, elsewhere, false));
        assert_eq!(home, Home::default());
        for runtime in [Some(&one), elsewhere] {
            assert!(!note(&mut home, runtime, false), "for good");
            assert_eq!(home, Home::default());
        }
        // The next is the first again.
        assert!(note(&mut home, Some(&two), true));
        assert_eq!(home, at(&two));
        assert!(note(&mut home, Some(&one), true), "the queue was empty in between");
        assert_eq!(home, at(&one));
    }
}

#[test]
fn another_home_has_another_timer() {
    let (one, two) = (multi_thread(), multi_thread());
    let (bells, mut alarm) = (Bells::new(), Alarm::default());
    for (runtime, number) in [(&one, 1), (&two, 2), (&one, 3)] {
        let mut home = at(runtime);
        let _inside = runtime.enter();
        alarm.set(&mut home, 60_000_000_000, 0, &bells.alarm_waker(number));
        assert_eq!(alarm.runtime.as_ref().map(RuntimeAlarm::runtime), Some(runtime.handle().id()));
    }
    // The first is gone with its timer.
    drop(two);
    assert!(bells.is_silent());
    drop(one);
    assert_eq!(bells.next().0, 3);
    // From outside it cannot be made.
    let three = multi_thread();
    let mut home = at(&three);
    alarm.set(&mut home, 1_000_000, 0, &bells.alarm_waker(4));
    assert!(!by_runtime(&alarm) && home == Home::default());
    assert_eq!(bells.next().0, 4);
}

/// A limiter on the default clock, from everywhere.
#[test]
fn waiters_of_all_kinds_are_served_in_one_queue() {
    let limiter = crate::RateLimiter::new("1000/s burst 1 initial 0".parse().unwrap());
    let (multi, current) = (multi_thread(), current_thread());
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let limiter = limiter.clone();
            multi.spawn(async move { limiter.acquire().await })
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| limiter.blocking_acquire());
        }
        scope.spawn(|| current.block_on(limiter.acquire()));
    });
    current.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(limiter.waiting(), 0);
}
