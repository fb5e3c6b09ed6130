//! A clock that goes on where another one steps back.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    task::Waker,
    time::Duration,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use super::AlarmWaker;
use crate::{Clock, ManualClock, Monotonic};

#[test]
fn readings_never_go_back_and_the_way_forward_counts() {
    let wall = ManualClock::starting_at(1000);
    let clock = Monotonic::new(wall.clone());
    // What the inner clock shows, and what this one does.
    let steps = [
        (1000, 1000),
        (1500, 1500),
        // Back by 600, forward by 50 and by 2000.
        (900, 1500),
        (950, 1550),
        (2950, 3550),
        // Back to zero, twice.
        (0, 3550),
        (7, 3557),
        (0, 3557),
        (0, 3557),
        (1, 3558),
    ];
    for (inner, shown) in steps {
        wall.set(inner);
        assert_eq!(clock.now(), shown, "{inner}");
    }
    assert_eq!(clock.get_ref().now(), 1);
    assert_eq!(clock.into_inner().now(), 1);
}

#[test]
fn readings_saturate_at_the_end_of_time() {
    let wall = ManualClock::starting_at(u64::MAX);
    let clock = Monotonic::new(wall.clone());
    assert_eq!(clock.now(), u64::MAX);
    for inner in [u64::MAX - 10, 0, 5, u64::MAX, 3] {
        wall.set(inner);
        assert_eq!(clock.now(), u64::MAX);
    }
}

/// Each tick counts once, and no reading that is merely late counts as a step back.
#[test]
fn threads_do_not_make_time_of_their_own() {
    #[derive(Debug)]
    struct Ticks(AtomicU64);
    impl Clock for Ticks {
        fn now(&self) -> u64 {
            self.0.fetch_add(1, Ordering::SeqCst) + 1
        }
    }

    let rounds = if cfg!(miri) { 100 } else { 20_000 };
    let clock = &Monotonic::new(Ticks(AtomicU64::new(0)));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                let mut latest = 0;
                for _ in 0..rounds {
                    let reading = clock.now();
                    assert!(reading > latest);
                    latest = reading;
                }
            });
        }
    });
    assert_eq!(clock.now(), 4 * rounds + 1);
}

#[test]
fn a_panic_of_the_inner_clock_changes_nothing() {
    #[derive(Debug)]
    struct Panicking(ManualClock);
    impl Clock for Panicking {
        fn now(&self) -> u64 {
            let now = self.0.now();
            assert_ne!(now, 13, "unlucky");
            now
        }
    }

    let wall = ManualClock::starting_at(20);
    let clock = Monotonic::new(Panicking(wall.clone()));
    assert_eq!(clock.now(), 20);
    wall.set(13);
    catch_unwind(AssertUnwindSafe(|| clock.now())).unwrap_err();
    wall.set(15);
    assert_eq!(clock.now(), 20);
    wall.set(16);
    assert_eq!(clock.now(), 21);
}

#[test]
fn alarms_are_set_at_the_time_of_the_inner_clock() {
    let wall = ManualClock::starting_at(1000);
    let clock = Monotonic::new(wall.clone());
    assert_eq!(clock.now(), 1000);
    wall.set(400);
    let (alarm_waker, waker) = AlarmWaker::new();
    // It shows 1000, and 1100 when the wall shows 500.
    assert!(clock.wake_at(1100, &waker));
    wall.set(499);
    assert_eq!((clock.now(), alarm_waker.rings()), (1099, 0));
    wall.set(500);
    assert_eq!((clock.now(), alarm_waker.rings()), (1100, 1));
    // At once for a time that is over, before the steps as well.
    for deadline in [1100, 1050, 3, 0] {
        let rings = alarm_waker.rings();
        assert!(clock.wake_at(deadline, &waker));
        assert_eq!(alarm_waker.rings(), rings + 1, "{deadline}");
    }
    // A step back wakes, and the deadline can be set anew.
    assert!(clock.wake_at(1200, &waker));
    let rings = alarm_waker.rings();
    wall.set(0);
    assert_eq!((clock.now(), alarm_waker.rings()), (1100, rings + 1));
    assert!(clock.wake_at(1200, &waker));
    wall.advance(Duration::from_nanos(99));
    assert_eq!((clock.now(), alarm_waker.rings()), (1199, rings + 1));
    wall.advance(Duration::from_nanos(1));
    assert_eq!((clock.now(), alarm_waker.rings()), (1200, rings + 2));
}

#[test]
fn a_step_back_while_an_alarm_is_set_wakes() {
    /// Steps back just before it takes an alarm.
    #[derive(Debug)]
    struct Stepping(ManualClock);
    impl Clock for Stepping {
        fn now(&self) -> u64 {
            self.0.now()
        }

        fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
            self.0.set(self.0.now() - 100);
            self.0.wake_at(deadline, waker)
        }
    }

    let clock = Monotonic::new(Stepping(ManualClock::starting_at(1000)));
    let (alarm_waker, waker) = AlarmWaker::new();
    assert!(clock.wake_at(1010, &waker));
    assert_eq!((clock.now(), alarm_waker.rings()), (1000, 1));
}

#[test]
fn there_are_no_alarms_where_the_inner_clock_has_none() {
    #[derive(Debug)]
    struct Silent;
    impl Clock for Silent {
        fn now(&self) -> u64 {
            5
        }
    }

    let (alarm_waker, waker) = AlarmWaker::new();
    let clock = Arc::new(Monotonic::new(Silent));
    assert!(!clock.wake_at(3, &waker) && !clock.wake_at(7, &waker));
    assert_eq!(alarm_waker.rings(), 0);
}
