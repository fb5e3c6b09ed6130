//! The alarms of a manual clock.

use core::time::Duration;

use super::AlarmWaker;
use crate::{Clock, ManualClock};

/// The thread that sets it may have read the clock just before another thread moved it.
#[test]
fn an_alarm_for_a_reading_that_is_over_rings_at_once() {
    let clock = ManualClock::starting_at(10);
    for (deadline, rings) in [(9, 1), (10, 1), (11, 0)] {
        let (counter, waker) = AlarmWaker::new();
        assert!(clock.wake_at(deadline, &waker));
        assert_eq!(counter.rings(), rings, "set for {deadline}");
    }
}

#[test]
fn an_alarm_that_is_set_again_rings_once() {
    let clock = ManualClock::new();
    let (counter, waker) = AlarmWaker::new();
    assert!(clock.wake_at(5, &waker) && clock.wake_at(7, &waker));
    clock.advance(Duration::from_nanos(6));
    assert_eq!(counter.rings(), 0);
    clock.advance(Duration::from_nanos(6));
    assert_eq!(counter.rings(), 1);
}

/// What it was set for may be much further off now.
#[test]
fn a_step_back_rings_every_alarm() {
    let clock = ManualClock::starting_at(10);
    let alarms = [20, 30].map(|deadline| {
        let (counter, waker) = AlarmWaker::new();
        assert!(clock.wake_at(deadline, &waker));
        counter
    });
    clock.set(9);
    assert_eq!(alarms.map(|counter| counter.rings()), [1, 1]);
}
