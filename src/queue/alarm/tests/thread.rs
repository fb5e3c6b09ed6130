//! The timer thread.

use super::*;

/// As in `thread.rs`.
const LEAST_BETWEEN: Duration = Duration::from_micros(500);

/// Waits until all that was due has been rung: an alarm for later, set now, has rung.
fn pass(wait: Duration) {
    let bells = Bells::new();
    let mut thread = ThreadAlarm::new();
    thread.set(wait, &bells.alarm_waker(0));
    bells.next();
}

#[test]
fn bells_ring_in_order_and_not_before_their_time() {
    let bells = Bells::new();
    let start = Instant::now();
    let waits = [30, 10, 50, 20, 40, 0];
    let mut alarms = waits.map(|_| ThreadAlarm::new());
    for ((thread, wait), number) in alarms.iter_mut().zip(waits).zip(0..) {
        thread.set(ms(wait), &bells.alarm_waker(number));
    }
    let all_set = start.elapsed() < ms(10);
    let rung: Vec<_> = waits.iter().map(|_| bells.next()).collect();
    for (number, at) in &rung {
        assert!(*at >= start + ms(waits[*number as usize]), "{number} has rung early");
    }
    // On a machine that is held up, one may be set when others are due already.
    let order: Vec<_> = rung.iter().map(|(number, _)| *number).filter(|&number| number != 5).collect();
    let by_time = |a: &u32, b: &u32| waits[*a as usize] < waits[*b as usize];
    assert!(!all_set || order.is_sorted_by(by_time), "{order:?}");
    assert!(bells.is_silent());
}

#[test]
fn a_ring_that_is_set_anew_rings_once() {
    let bells = Bells::new();
    let mut thread = ThreadAlarm::new();
    thread.set(LONG, &bells.alarm_waker(1));
    thread.set(LONG, &bells.alarm_waker(2));
    let start = Instant::now();
    thread.set(ms(10), &bells.alarm_waker(3));
    let (number, at) = bells.next();
    assert_eq!(number, 3);
    assert!(at >= start + ms(10));
    pass(ms(5));
    assert!(bells.is_silent());
    // Later is no different.
    let start = Instant::now();
    thread.set(ms(20), &bells.alarm_waker(4));
    thread.set(ms(40), &bells.alarm_waker(5));
    // On a machine that is held up the first may have rung before it was replaced.
    let mut rung = bells.next();
    if rung.0 == 4 {
        rung = bells.next();
    }
    assert_eq!(rung.0, 5);
    assert!(rung.1 >= start + ms(40));
}

#[test]
fn a_ring_that_is_dropped_does_not_ring() {
    let bells = Bells::new();
    let alarm_waker = Arc::new(AlarmWaker(1, bells.sender.clone()));
    let mut thread = ThreadAlarm::new();
    thread.set(LONG, &Waker::from(Arc::clone(&alarm_waker)));
    assert_eq!(Arc::strong_count(&alarm_waker), 2);
    drop(thread);
    assert_eq!(Arc::strong_count(&alarm_waker), 1, "nor is its alarm_waker kept");
    drop(ThreadAlarm::new());
    pass(ms(1));
    assert!(bells.is_silent());
}

/// An alarm that has rung leaves nothing behind.
#[test]
fn a_bell_is_let_go_when_it_has_rung() {
    let bells = Bells::new();
    let alarm_waker = Arc::new(AlarmWaker(1, bells.sender.clone()));
    let mut thread = ThreadAlarm::new();
    thread.set(ms(1), &Waker::from(Arc::clone(&alarm_waker)));
    bells.next();
    // The thread is done with one alarm waker before it wakes the next.
    pass(ms(1));
    assert_eq!(Arc::strong_count(&alarm_waker), 1);
    drop(thread);
}

#[test]
fn a_bell_that_panics_does_not_end_the_thread() {
    struct Panics(Sender<()>);

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
            panic!("a alarm_waker that panics, on purpose");
        }
    }

    /// A payload that panics, too.
    struct Payload;

    impl Drop for Payload {
        fn drop(&mut self) {
            panic!("a payload that panics, on purpose");
        }
    }

    struct Worse(Sender<()>);

    impl Wake for Worse {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
            std::panic::panic_any(Payload);
        }
    }

    let (sender, receiver) = channel();
    let mut alarms = [ThreadAlarm::new(), ThreadAlarm::new()];
    alarms[0].set(ms(1), &Waker::from(Arc::new(Panics(sender.clone()))));
    alarms[1].set(ms(1), &Waker::from(Arc::new(Worse(sender))));
    for _ in &alarms {
        receiver.recv_timeout(LONG).expect("no alarm has rung");
    }
    pass(ms(1));
    pass(Duration::ZERO);
}

/// Each is set anew as soon as it has rung, for a time that is over.
#[test]
fn there_is_some_time_between_two_rings() {
    let bells = Bells::new();
    let mut thread = ThreadAlarm::new();
    let mut set = Instant::now();
    thread.set(Duration::ZERO, &bells.alarm_waker(0));
    for number in 1..20 {
        let (_, at) = bells.next();
        assert!(at >= set);
        // It was for no earlier than it was set.
        let least = set + LEAST_BETWEEN;
        set = Instant::now();
        thread.set(Duration::ZERO, &bells.alarm_waker(number));
        let (rung, at) = bells.next();
        assert_eq!(rung, number);
        assert!(at >= least, "{:?} too early", least - at);
        thread.set(Duration::ZERO, &bells.alarm_waker(number));
    }
}

/// From the alarm waker itself, as a hand-off does.
#[test]
fn a_bell_may_set_the_next_alarm() {
    struct Again(crate::sync::plain::Mutex<(Alarm, u32)>, Sender<()>);

    impl Wake for Again {
        fn wake(self: Arc<Self>) {
            let mut inner = self.0.lock();
            inner.1 += 1;
            if inner.1 == 5 {
                self.1.send(()).unwrap();
            } else {
                let waker = Waker::from(Arc::clone(&self));
                assert_eq!(inner.0.set(&mut Home::default(), 1, 0, &waker), 1);
            }
        }
    }

    let (sender, receiver) = channel();
    let again = Arc::new(Again(crate::sync::plain::Mutex::new((Alarm::default(), 0)), sender));
    Arc::clone(&again).wake();
    receiver.recv_timeout(LONG).expect("no alarm has rung");
    again.0.lock().0 = Alarm::default();
}

#[test]
fn many_threads_set_alarms() {
    let alarms = if cfg!(miri) { 4 } else { 100 };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                let bells = Bells::new();
                let mut thread = ThreadAlarm::new();
                for number in 0..alarms {
                    let start = Instant::now();
                    let wait = Duration::from_micros(u64::from(number) * 7 % 50);
                    thread.set(wait, &bells.alarm_waker(number));
                    let (rung, at) = bells.next();
                    assert_eq!(rung, number);
                    assert!(at >= start + wait);
                }
            });
        }
    });
}

/// The hand-off looks again after a day.
#[test]
fn no_alarm_is_set_for_more_than_a_day() {
    let mut alarm = Alarm::default();
    let armed = alarm.set(&mut Home::default(), u64::MAX - 1, 7, Waker::noop());
    assert_eq!(armed, 7 + LONGEST_NS);
    assert_eq!(alarm.set(&mut Home::default(), 9, 7, Waker::noop()), 9);
    assert_eq!(alarm.set(&mut Home::default(), 3, 7, Waker::noop()), 7, "it rings at once");
}
