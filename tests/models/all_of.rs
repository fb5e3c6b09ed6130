//! Several limits at once: the bound by the time of use, no caller starves or is stuck, and no permit is lost.

mod world;

use self::world::{How, World};
use crate::{Outcome, each_seed, ensure, failures, percent, pick, random::Random};

const HISTORIES: u64 = 4_000;
/// Enough for the wrong rule.
const FEW: u64 = 400;

const MS: u64 = 1_000_000;

/// So many permits of two or three of the limits.
fn parts(random: &mut Random, limits: &[(u64, u64)]) -> Vec<(usize, u64)> {
    let left_out = random.below(limits.len() as u64 + 1) as usize;
    let named = (0..limits.len()).filter(|&i| i != left_out || limits.len() == 2);
    let mut parts: Vec<_> = named.map(|i| (i, 1 + random.below(limits[i].1))).collect();
    if percent(random, 50) {
        parts.reverse();
    }
    parts
}

/// One random step: time passes, or a caller leaves, comes back, or tries.
fn step(random: &mut Random, world: &mut World, limits: &[(u64, u64)]) -> Outcome {
    let doom = percent(random, 30);
    match random.below(100) {
        0..50 => {
            let (permit_ns, _) = pick(random, limits);
            let ns = pick(random, &[0, permit_ns, permit_ns, 5 * permit_ns, 20 * permit_ns]);
            if percent(random, 20) {
                world.clock.advance_silently(ns);
                world.clock.ring();
                world.run(|| doom && percent(random, 20))?;
            }
            world.advance(ns, || doom && percent(random, 20))
        }
        50..60 => {
            let parts = parts(random, limits);
            if world.all_of(&parts).try_acquire().is_ok() {
                world.used(&parts);
            }
            world.run(|| false)
        }
        60..65 => {
            let limit = random.below(limits.len() as u64) as usize;
            if world.limits[limit].limiter.try_acquire().is_ok() {
                world.used(&[(limit, 1)]);
            }
            world.run(|| false)
        }
        _ => {
            let number = random.below(world.callers.len() as u64) as usize;
            if world.callers[number].is_asking() {
                world.cancel(number);
            } else {
                world.ask(number)?;
            }
            world.run(|| doom && percent(random, 20))
        }
    }
}

fn history(random: &mut Random, how: How) -> Outcome {
    let limits: Vec<_> = (0..2 + random.below(2))
        .map(|_| (pick(random, &[MS, 3 * MS, 10 * MS, 50 * MS]), 1 + random.below(10)))
        .collect();
    let catch_up_ns = pick(random, &[0, MS, 10 * MS]);
    let mut world = World::new(&limits, catch_up_ns);
    for _ in 0..random.below(21) {
        let limit = random.below(limits.len() as u64) as usize;
        let n = 1 + random.below(limits[limit].1);
        world.join(How::Waits, &[(limit, pick(random, &[1, n]))])?;
    }
    for _ in 0..=random.below(4) {
        world.join(how, &parts(random, &limits))?;
    }
    for i in 0..10 + random.below(40) {
        step(random, &mut world, &limits).map_err(|why| format!("{why}, in step {i}"))?;
    }
    world.keeps_the_bound()?;
    world.fills_again()
}

#[test]
fn what_is_used_of_each_limit_is_within_its_bound_and_nothing_is_lost() {
    each_seed(HISTORIES, |random| history(random, How::Waits));
}

#[test]
fn permits_that_are_used_late_are_found() {
    let found = failures(FEW, |random| history(random, How::OneByOne));
    assert!(found > 0, "to wait for one limit after the other passes");
}

/// Two limits by the time of a permit and the burst.
type Limits = [(u64, u64); 2];

/// How often a caller of two limits is served in 120 s, beside twenty callers of each.
fn served_beside_hungry_callers(how: How, limits: Limits, costs: [u64; 2]) -> Outcome<u64> {
    let mut world = World::new(&limits, 10 * MS);
    for _ in 0..20 {
        world.join(How::Waits, &[(0, 1)])?;
        world.join(How::Waits, &[(1, 1)])?;
    }
    world.join(how, &[(0, costs[0]), (1, costs[1])])?;
    for _ in 0..120 {
        world.advance(1_000 * MS, || false)?;
    }
    world.keeps_the_bound()?;
    let served = world.callers[40].served;
    for caller in &world.callers[..40] {
        ensure!(caller.is_single() && caller.served > 0, "a caller of one limit starves");
    }
    world.fills_again()?;
    Ok(served)
}

/// Ten a second and a hundred a second; as many as the burst, and fewer.
const HUNGRY: [(Limits, [u64; 2]); 4] = [
    ([(100 * MS, 10), (100 * MS, 10)], [10, 10]),
    ([(100 * MS, 10), (100 * MS, 10)], [3, 10]),
    ([(10 * MS, 5), (10 * MS, 5)], [5, 5]),
    ([(10 * MS, 20), (50 * MS, 10)], [20, 1]),
];

#[test]
fn a_caller_of_two_limits_does_not_starve_beside_hungry_callers() {
    for (limits, costs) in HUNGRY {
        let served = served_beside_hungry_callers(How::Waits, limits, costs).unwrap();
        assert!(served >= 10, "{costs:?} of {limits:?} are served {served} times");
    }
}

#[test]
fn a_caller_that_only_tries_starves() {
    for (limits, costs) in HUNGRY {
        let served = served_beside_hungry_callers(How::Tries, limits, costs).unwrap();
        assert!(served < 10, "{costs:?} of {limits:?} are served {served} times");
    }
}

/// For each of two callers another limit is the scarce one, which it waits for first.
fn opposite(random: &mut Random) -> Outcome {
    let limits = [0, 1].map(|_| (pick(random, &[10 * MS, 50 * MS, 100 * MS]), 2 + random.below(9)));
    let mut world = World::new(&limits, pick(random, &[0, 10 * MS]));
    let [(_, first), (_, second)] = limits;
    for _ in 0..=random.below(3) {
        world.join(How::Waits, &[(0, first), (1, 1)])?;
        world.join(How::Waits, &[(0, 1), (1, second)])?;
    }
    let round_ns: u64 = limits.iter().map(|(permit_ns, burst)| permit_ns * (burst + 1)).sum();
    let turns_ns = round_ns * world.callers.len() as u64;
    for round in 0..30 {
        let before: Vec<_> = world.callers.iter().map(|caller| caller.served).collect();
        // The waits of a caller for its two limits add up, and what it gives back it waits for once more.
        world.advance(3 * turns_ns, || false)?;
        for (number, caller) in world.callers.iter().enumerate() {
            ensure!(caller.served > before[number], "caller {number} is stuck in round {round}, {limits:?}");
        }
    }
    world.keeps_the_bound()?;
    world.fills_again()
}

#[test]
fn callers_with_opposite_scarcities_are_never_stuck() {
    each_seed(60, opposite);
}
