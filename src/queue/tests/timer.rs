//! The two sleeps, under tokio's paused time.

use core::{task::Waker, time::Duration};
use std::{panic, sync::Arc, task::Wake, thread};

use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, advance},
};

use super::waiters::Counter;
use crate::queue::timer::{Armed, Bell, Delay, LONGEST, TICK, TOLERANCE, Timer};

const NANO: Duration = Duration::from_nanos(1);

pub(super) fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn set(deadline: Instant) -> Bell {
    let mut bell = Bell::new();
    assert!(bell.set(deadline, Waker::noop()).unwrap().is_pending());
    bell
}

#[test]
fn a_bell_serves_what_is_due_by_a_tick_later() {
    paused().block_on(async {
        let now = Instant::now();
        let (at, idle) = (now + 10 * TICK, Bell::new());
        let bell = set(at);
        assert_eq!((bell.pending(), bell.next_tick(), idle.pending()), (Some(at), None, None));
        assert!(bell.serves(at, &idle) && bell.serves(at + TICK, &idle));
        assert!(!bell.serves(at + TICK + NANO, &idle), "too early");
        assert!(bell.serves(at - TOLERANCE, &idle) && !bell.serves(at - TOLERANCE - NANO, &idle), "too late");
        assert!(!idle.serves(now, &bell));
    });
}

#[test]
fn a_bell_for_the_tick_after_one_that_has_rung_is_early_enough() {
    paused().block_on(async {
        let at = Instant::now() + 10 * TICK;
        let rung = set(at);
        let (next, later) = (set(at + TICK), set(at + TICK + NANO));
        let due = at + TICK / 2;
        assert!(!next.serves(due, &rung), "it has not rung");
        advance(10 * TICK).await;
        assert_eq!((rung.pending(), rung.next_tick()), (None, Some(at + TICK)));
        assert!(next.serves(due, &rung) && !later.serves(due, &rung));
        assert_eq!(Bell::new().next_tick(), None);
    });
}

#[test]
fn a_bell_that_has_rung_in_time_is_not_cut_short() {
    let runtime = paused();
    let (bell, later, start) = runtime.block_on(async {
        let start = Instant::now();
        let (bell, later) = (set(start + TICK), set(start + 5 * TICK));
        assert!(!bell.is_cut_short(start));
        advance(TICK).await;
        assert!(bell.pending().is_none());
        assert!(!bell.is_cut_short(start + TICK) && !bell.is_cut_short(start + 2 * TICK));
        (bell, later, start)
    });
    drop(runtime);
    assert!(!bell.is_cut_short(start + TICK) && later.is_cut_short(start + 4 * TICK));
    assert!(!later.is_cut_short(start + 5 * TICK));
}

/// What is set after each call, in ticks from the start, the first bell first.
fn ticks(timer: &Timer, start: Instant) -> [Option<u128>; 2] {
    timer.bells().map(|bell| bell.pending().map(|at| at.duration_since(start).as_nanos() / TICK.as_nanos()))
}

#[test]
fn the_one_after_the_next_is_set_too() {
    paused().block_on(async {
        let start = Instant::now();
        let rings = Arc::new(Counter::default());
        let alarm = Waker::from(Arc::clone(&rings));
        let mut timer = Timer::default();
        let delay = |due, then: Option<u32>| Delay { due: TICK * due, then: then.map(|then| TICK * then) };
        assert_eq!(timer.arm(delay(4, Some(6)), &alarm, false), Armed::Missing);
        assert!(!timer.is_set() && !timer.is_steady() && timer.fickle().is_none());
        assert_eq!(timer.arm(delay(4, Some(6)), &alarm, true), Armed::Pending);
        assert!(timer.is_set() && !timer.is_steady() && timer.fickle().is_some());
        assert_eq!(ticks(&timer, start), [Some(4), Some(6)]);
        // What is set stays set.
        assert_eq!(timer.arm(delay(4, Some(6)), &alarm, false), Armed::Pending);
        assert_eq!(ticks(&timer, start), [Some(4), Some(6)]);
        advance(4 * TICK).await;
        assert_eq!(rings.count(), 1);
        // The other is the next one now; the one after it is a tick later at the soonest.
        assert_eq!(timer.arm(delay(2, Some(2)), &alarm, false), Armed::Pending);
        assert_eq!(ticks(&timer, start), [Some(7), Some(6)]);
        // Nobody is to be woken at the end of time.
        let then = Some(LONGEST);
        assert_eq!(timer.arm(Delay { due: TICK * 2, then }, &alarm, false), Armed::Pending);
        assert_eq!(ticks(&timer, start), [Some(7), Some(6)]);
        assert_eq!(timer.arm(delay(0, None), &alarm, false), Armed::Elapsed);
    });
}

/// Of a runtime that is gone nothing is left, and nothing panics.
#[test]
fn a_timer_outlives_its_runtime() {
    let runtime = paused();
    let mut timer = Timer::default();
    let delay = Delay { due: TICK * 4, then: None };
    runtime.block_on(async {
        assert_eq!(timer.arm(delay, Waker::noop(), true), Armed::Pending);
    });
    drop(runtime);
    assert_eq!(timer.arm(delay, Waker::noop(), false), Armed::Missing);
    assert!(!timer.is_set());
}

/// Although its time had come when its runtime went down.
#[test]
fn a_bell_of_a_runtime_that_is_gone_is_not_polled() {
    let runtime = paused();
    let mut bell = runtime.block_on(async {
        let bell = set(Instant::now() + TICK);
        advance(2 * TICK).await;
        bell
    });
    drop(runtime);
    let panicked = Arc::new(Counter::default());
    let (thread, counted) = (thread::current().id(), Arc::clone(&panicked));
    let before = Arc::new(panic::take_hook());
    let others = Arc::clone(&before);
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == thread {
            counted.wake_by_ref();
        } else {
            others(info);
        }
    }));
    let outcome = bell.set(Instant::now() + 100 * TICK, Waker::noop());
    panic::set_hook(Box::new(move |info| before(info)));
    assert!(outcome.is_none());
    assert_eq!(panicked.count(), 0, "tokio has panicked");
}
