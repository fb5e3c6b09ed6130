//! The discipline in random histories, in which the accesses of several calls interleave in any order.
//!
//! It is the real code that runs here, one access at a time. A step of a call runs the code from the beginning: the
//! accesses of earlier steps return what they returned then, one more access takes place, and the accesses after
//! that return zero and do nothing. What the code returns counts only if no access was of the last kind.

use core::cell::{Cell, RefCell};

use crate::clock::discipline::{Discipline, Sources, WINDOW, Word};

const US: i64 = 1000;
const HISTORIES: u64 = if cfg!(miri) { 20 } else { 20_000 };

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// The machine, and what the discipline keeps.
#[derive(Debug)]
struct World {
    /// The time by the system's clock.
    time: i64,
    /// How far the counter of each processor is ahead, apart from the drift.
    processors: [i64; 3],
    ppm: i64,
    offset: u64,
    last: u64,
}

impl World {
    fn random(random: &mut Random) -> Self {
        let spread = |random: &mut Random, by: i64| (random.next() as i64) % (by + 1);
        let processors = [(); 3].map(|()| match random.below(5) {
            0 | 1 => 0,
            2 => spread(random, 3000 * US),
            3 => spread(random, 9000 * US),
            _ => 5_000_000 * US,
        });
        // 18 minutes: the counters of this machine start again an hour back, below zero.
        let mut world = Self { time: 1 << 40, processors, ppm: 0, offset: 0, last: 1 << 40 };
        world.ppm = random.one_of(&[0, 0, 100, -100, 5000]);
        world.offset = (world.time as u64).wrapping_sub(world.counter(0));
        world
    }

    fn counter(&self, processor: usize) -> u64 {
        (self.time + self.time / 1_000_000 * self.ppm + self.processors[processor]) as u64
    }
}

/// One call on its way.
#[derive(Debug)]
struct Call {
    processor: usize,
    /// The latest reading that had been returned before the call began.
    floor: u64,
    /// What its accesses so far have returned.
    seen: Vec<u64>,
}

/// One step of a call.
struct Step<'a> {
    world: RefCell<&'a mut World>,
    call: RefCell<&'a mut Call>,
    /// The number of accesses up to this step.
    accesses: Cell<usize>,
    /// How many of them come from earlier steps.
    earlier: usize,
}

impl<'a> Step<'a> {
    /// Takes the step. Returns what the call has returned, if that was its last.
    fn take(world: &'a mut World, call: &'a mut Call) -> Option<u64> {
        let earlier = call.seen.len();
        let step =
            Self { world: RefCell::new(world), call: RefCell::new(call), accesses: Cell::new(0), earlier };
        let discipline = Discipline {
            offset: Shared { step: &step, word: |world| &mut world.offset },
            last: Shared { step: &step, word: |world| &mut world.last },
        };
        let reading = discipline.now(&step);
        (step.accesses.get() <= earlier + 1).then_some(reading)
    }

    fn access(&self, access: impl FnOnce(&mut World, usize) -> u64) -> u64 {
        let at = self.accesses.replace(self.accesses.get() + 1);
        let mut call = self.call.borrow_mut();
        if at == self.earlier {
            let value = access(&mut self.world.borrow_mut(), call.processor);
            call.seen.push(value);
        }
        call.seen.get(at).copied().unwrap_or(0)
    }
}

impl Sources for Step<'_> {
    fn counter(&self) -> u64 {
        self.access(|world, processor| world.counter(processor))
    }

    fn system(&self) -> u64 {
        self.access(|world, _| world.time as u64)
    }
}

/// A word of the world, as a step sees it.
struct Shared<'s, 'a> {
    step: &'s Step<'a>,
    word: fn(&mut World) -> &mut u64,
}

impl Word for Shared<'_, '_> {
    fn load(&self) -> u64 {
        self.step.access(|world, _| *(self.word)(world))
    }

    fn store(&self, value: u64) {
        self.step.access(|world, _| {
            *(self.word)(world) = value;
            0
        });
    }

    fn fetch_max(&self, value: u64) -> u64 {
        self.step.access(|world, _| {
            let word = (self.word)(world);
            core::mem::replace(word, value.max(*word))
        })
    }
}

#[derive(Debug, Default)]
struct Seen {
    by_counter: u64,
    by_system: u64,
    retried: u64,
    furthest_back: u64,
    furthest_ahead: u64,
}

fn history(seed: u64, seen: &mut Seen) {
    let random = &mut Random(seed);
    let world = &mut World::random(random);
    let mut calls = [const { None::<Call> }; 3];
    let mut latest = 0;
    for _ in 0..400 {
        match random.below(1000) {
            0..200 => world.time += US * random.one_of(&[1, 3, 10, 100, 300, 500, 990, 3000, 20_000]),
            200..205 => {
                let jump = random.one_of(&[-8000, 8000, -900, 900, -3_600_000_000, 3_600_000_000]);
                world.processors[random.below(3)] += US * jump;
            }
            205..210 => {
                let jump = random.one_of(&[-8000, 5000, -10_000_000]);
                world.processors = world.processors.map(|ahead| ahead + US * jump);
            }
            _ => {
                let place = random.below(3);
                let begun = || Call { processor: place, floor: latest, seen: Vec::with_capacity(20) };
                let call = calls[place].get_or_insert_with(begun);
                if random.below(20) == 0 {
                    // The thread moves to another processor in the middle of its call.
                    call.processor = random.below(3);
                }
                let Some(reading) = Step::take(world, call) else { continue };
                let (back, ahead) =
                    (call.floor.saturating_sub(reading), reading.saturating_sub(world.time as u64));
                assert!(back < WINDOW && ahead < WINDOW, "seed {seed}: {reading}, {call:?}, {world:?}");
                seen.furthest_back = seen.furthest_back.max(back);
                seen.furthest_ahead = seen.furthest_ahead.max(ahead);
                match call.seen.len() {
                    3 => seen.by_counter += 1,
                    8 => seen.by_system += 1,
                    _ => seen.retried += 1,
                }
                latest = latest.max(reading);
                calls[place] = None;
            }
        }
    }
}

#[test]
fn no_reading_lies_a_window_behind_an_earlier_one_in_any_history() {
    let mut seen = Seen::default();
    for seed in 0..HISTORIES {
        history(seed, &mut seen);
    }
    // The histories are worth their while: all ways through a call were taken, and the bounds were nearly reached.
    assert!(
        [seen.by_counter, seen.by_system, seen.retried].into_iter().all(|n| n > 5 * HISTORIES),
        "{seen:?}"
    );
    if !cfg!(miri) {
        assert!(seen.furthest_back > WINDOW * 9 / 10 && seen.furthest_ahead > WINDOW * 9 / 10, "{seen:?}");
    }
}
