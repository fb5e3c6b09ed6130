//! The discipline with machines made up for it.

use core::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicU64, Ordering},
};
use std::{collections::VecDeque, thread};

use crate::clock::discipline::{Discipline, Sources, WINDOW};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

/// A machine with one thread; the test sets its time.
#[derive(Debug)]
struct Machine {
    /// The time by the system's clock.
    time: Cell<u64>,
    /// How far the counter is ahead of it, apart from the drift.
    ahead: Cell<i64>,
    /// How much faster the counter is.
    ppm: i64,
    /// How long the next readings of the system's clock take.
    delays: RefCell<VecDeque<u64>>,
    /// How many readings of the system's clock there have been.
    system_readings: Cell<u64>,
}

impl Machine {
    fn new(ppm: i64) -> Self {
        Self {
            time: Cell::new(1000 * SECOND),
            ahead: Cell::new(0),
            ppm,
            delays: RefCell::default(),
            system_readings: Cell::new(0),
        }
    }

    fn pass(&self, ns: u64) {
        self.time.set(self.time.get() + ns);
    }
}

impl Sources for Machine {
    fn counter(&self) -> u64 {
        let time = self.time.get() as i64;
        (time + time / 1_000_000 * self.ppm + self.ahead.get()) as u64
    }

    fn system(&self) -> u64 {
        self.system_readings.set(self.system_readings.get() + 1);
        let delay = self.delays.borrow_mut().pop_front().unwrap_or(0);
        self.pass(delay);
        self.time.get()
    }
}

#[test]
fn a_steady_counter_is_all_that_is_read_within_a_window() {
    let machine = Machine::new(0);
    let discipline = Discipline::new(&machine);
    for _ in 0..10 {
        machine.pass(WINDOW / 10 - 1);
        assert_eq!(discipline.now(&machine), machine.time.get());
    }
    assert_eq!(machine.system_readings.get(), 1);
    machine.pass(10);
    assert_eq!(discipline.now(&machine), machine.time.get());
    assert_eq!(machine.system_readings.get(), 2);
}

#[test]
fn a_counter_that_starts_again_at_zero_goes_on_from_the_system_clock() {
    let machine = Machine::new(0);
    let discipline = Discipline::new(&machine);
    machine.pass(WINDOW / 2);
    assert_eq!(discipline.now(&machine), machine.time.get());
    machine.pass(3600 * SECOND);
    machine.ahead.set(-(machine.time.get() as i64));
    assert_eq!(machine.counter(), 0);
    assert_eq!(discipline.now(&machine), machine.time.get());
    // And from here on by the counter again.
    let readings = machine.system_readings.get();
    for _ in 0..10 {
        machine.pass(WINDOW / 11);
        assert_eq!(discipline.now(&machine), machine.time.get());
    }
    assert_eq!(machine.system_readings.get(), readings);
}

#[test]
fn jumps_of_the_counter_are_seen_in_less_than_a_window() {
    let jumps = [1, 999_999, 1_000_000, 1_000_001, 8 * MS, 3600 * SECOND].map(|by| by as i64);
    for jump in jumps.into_iter().flat_map(|by| [by, -by]) {
        let machine = Machine::new(0);
        let discipline = Discipline::new(&machine);
        machine.pass(WINDOW / 2);
        let earlier = discipline.now(&machine);
        machine.ahead.set(jump);
        let reading = discipline.now(&machine);
        assert!(reading + WINDOW > earlier, "{jump}: {reading} after {earlier}");
        assert!(reading < machine.time.get() + WINDOW, "{jump}: {reading} at {}", machine.time.get());
        machine.pass(2 * WINDOW);
        assert_eq!(discipline.now(&machine), machine.time.get(), "{jump}");
    }
}

#[test]
fn processors_whose_counters_differ_by_seconds_show_one_time() {
    let machine = Machine::new(0);
    let discipline = Discipline::new(&machine);
    let processors = [0, 3 * SECOND as i64, -7 * SECOND as i64];
    for round in 0..10_000 {
        machine.pass(round * 37 % 5000);
        machine.ahead.set(processors[round as usize % 3]);
        assert_eq!(discipline.now(&machine), machine.time.get());
    }
}

#[test]
fn a_counter_that_drifts_is_kept_to_the_system_clock() {
    for ppm in [100, -100, 5000, -5000] {
        let machine = Machine::new(ppm);
        let discipline = Discipline::new(&machine);
        let end = machine.time.get() + 3600 * SECOND;
        let (mut furthest, mut latest, mut step) = (0, 0, 1);
        while machine.time.get() < end {
            // From a nanosecond to three windows.
            step = step * 48_271 % 2_147_483_647;
            machine.pass(step % (3 * WINDOW));
            let (reading, time) = (discipline.now(&machine), machine.time.get());
            assert!(reading < time + WINDOW, "{ppm} ppm: {reading} at {time}");
            assert!(reading + WINDOW > latest, "{ppm} ppm: {reading} after {latest}");
            latest = latest.max(reading);
            furthest = furthest.max(reading.abs_diff(time));
        }
        // Only what the drift is within a window, and what this machine's counter is rounded by.
        assert!(
            furthest <= WINDOW * ppm.unsigned_abs() / 990_000 + ppm.unsigned_abs(),
            "{ppm} ppm: {furthest} ns"
        );
        assert!(machine.system_readings.get() > 1_000_000);
    }
}

/// A thread that is preempted after it has read the system's clock, for that long each time.
struct Preempted<'a>(&'a Machine, RefCell<VecDeque<u64>>);
impl Sources for Preempted<'_> {
    fn counter(&self) -> u64 {
        self.0.counter()
    }

    fn system(&self) -> u64 {
        let time = self.0.system();
        self.0.pass(self.1.borrow_mut().pop_front().unwrap_or(0));
        time
    }
}

#[test]
fn a_sample_with_a_wide_bracket_is_dropped() {
    let machine = Machine::new(0);
    let readings = |delays: &[u64]| {
        let before = machine.system_readings.get();
        let preempted = Preempted(&machine, RefCell::new(delays.iter().copied().collect()));
        let discipline = Discipline::new(&preempted);
        let behind = machine.time.get() - machine.counter().wrapping_add(discipline.offset.into_inner());
        (machine.system_readings.get() - before, behind)
    };
    // A narrow one is taken at once, with what it is behind by.
    assert_eq!(readings(&[]), (1, 0));
    assert_eq!(readings(&[20_000]), (1, 20_000));
    // Wide ones are dropped for a narrow one, or else for the narrowest.
    assert_eq!(readings(&[20_001]), (2, 0));
    assert_eq!(readings(&[5 * MS, MS, 300]), (3, 300));
    assert_eq!(readings(&[5 * MS, 40_000, MS, 2 * MS, 0]), (4, 40_000));
}

#[test]
fn a_call_that_was_preempted_returns_the_latest_reading_of_the_system_clock() {
    let machine = Machine::new(0);
    let discipline = Discipline::new(&machine);
    machine.pass(2 * WINDOW);
    machine.delays.borrow_mut().extend([100_000, 50_000, 200_000, 300_000]);
    assert_eq!(discipline.now(&machine), machine.time.get());
}

#[test]
fn a_system_clock_that_steps_back_is_not_followed() {
    let machine = Machine::new(0);
    let discipline = Discipline::new(&machine);
    machine.pass(2 * WINDOW);
    let latest = discipline.now(&machine);
    machine.time.set(machine.time.get() - WINDOW);
    assert_eq!(discipline.now(&machine), latest);
}

/// A processor of a machine with several threads.
struct Processor<'a> {
    time: &'a AtomicU64,
    ahead: Cell<u64>,
}

impl Sources for Processor<'_> {
    fn counter(&self) -> u64 {
        self.system().wrapping_add(self.ahead.get())
    }

    fn system(&self) -> u64 {
        self.time.load(Ordering::SeqCst)
    }
}

/// Real threads: each has a counter of its own, and all of them jump.
#[test]
fn threads_agree_to_within_a_window() {
    let time = &AtomicU64::new(1000 * SECOND);
    let discipline = &Discipline::new(&Processor { time, ahead: Cell::new(0) });
    let latest = &AtomicU64::new(0);
    let rounds: u64 = if cfg!(miri) { 100 } else { 50_000 };
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                let processor = Processor { time, ahead: Cell::new(thread * 400_000) };
                for round in 0..rounds {
                    time.fetch_add(round * 7919 % 3000, Ordering::SeqCst);
                    if round % 1000 == thread {
                        processor.ahead.set(processor.ahead.get().wrapping_sub(round * 1511));
                    }
                    let earlier = latest.load(Ordering::SeqCst);
                    let reading = discipline.now(&processor);
                    assert!(reading + WINDOW > earlier, "{reading} after {earlier}");
                    assert!(reading < time.load(Ordering::SeqCst) + WINDOW);
                    latest.fetch_max(reading, Ordering::SeqCst);
                }
            });
        }
    });
}
