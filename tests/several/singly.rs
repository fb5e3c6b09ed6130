//! Calls for two limits leave each of them as the same calls on single limiters do, and take from both or from none.

use proptest::prelude::*;
use tidegate::{Reservation, ReservationAll};

use super::{AllOf, Duration, Limiter, ManualClock, limiter, ms};

/// No limiter can hold a debt of so many.
const TOO_MANY: u64 = u64::MAX;

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    /// By a caller of one limit.
    TakeOne(usize, u64),
    Reserve([u64; 2]),
    Acquire([u64; 2]),
    Settle(usize, [u64; 2]),
    Spend(usize),
    Drop(usize),
    Charge([u64; 2]),
    Refund([u64; 2]),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let amount = || prop_oneof![2 => Just(0u64), 6 => 1u64..5];
    let amounts = move || prop::array::uniform2(amount());
    let or_too_many =
        || prop::array::uniform2(prop_oneof![2 => Just(0u64), 6 => 1u64..8, 1 => Just(TOO_MANY)]);
    let step = prop_oneof![
        4 => prop_oneof![0u64..900, 0u64..6_000].prop_map(Step::Advance),
        2 => (0usize..2, 1u64..4).prop_map(|(i, n)| Step::TakeOne(i, n)),
        6 => amounts().prop_map(Step::Reserve),
        2 => amounts().prop_map(Step::Acquire),
        3 => (any::<usize>(), or_too_many()).prop_map(|(i, cost)| Step::Settle(i, cost)),
        1 => any::<usize>().prop_map(Step::Spend),
        2 => any::<usize>().prop_map(Step::Drop),
        2 => or_too_many().prop_map(Step::Charge),
        1 => amounts().prop_map(Step::Refund),
    ];
    prop::collection::vec(step, 1..80)
}

/// One call's reservation of both limits, and the two of the single limiters.
type Held = (ReservationAll, [Reservation<ManualClock>; 2]);

struct World {
    clock: ManualClock,
    both: [Limiter; 2],
    single: [Limiter; 2],
    held: Vec<Held>,
}

impl World {
    fn call(&self, amounts: [u64; 2]) -> AllOf {
        // In either order.
        let [i, j] = if amounts[0] % 2 == 0 { [0, 1] } else { [1, 0] };
        AllOf::new().and(&self.both[i], amounts[i]).and(&self.both[j], amounts[j])
    }

    fn take(&mut self, at: usize) -> Option<Held> {
        let count = self.held.len();
        (count > 0).then(|| self.held.swap_remove(at % count))
    }

    /// Whether each single limiter would admit its part. All limits together have to say the same.
    fn admits(&self, amounts: [u64; 2]) -> bool {
        let all = (0..2).all(|i| self.single[i].has_capacity(amounts[i]));
        let longest = (0..2).map(|i| self.single[i].time_until(amounts[i]).unwrap()).max();
        assert_eq!(self.call(amounts).time_until().ok(), longest);
        assert_eq!(self.call(amounts).has_capacity(), all);
        all
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Advance(by) => self.clock.advance(ms(by)),
            Step::TakeOne(i, n) => {
                assert_eq!(self.both[i].try_acquire_n(n), self.single[i].try_acquire_n(n));
            }
            Step::Reserve(amounts) => {
                let admits = self.admits(amounts);
                match self.call(amounts).try_reserve() {
                    Ok(both) => {
                        assert!(admits);
                        let single = [0, 1].map(|i| self.single[i].try_reserve(amounts[i]).unwrap());
                        self.held.push((both, single));
                    }
                    Err(denied) => {
                        assert!(!admits);
                        assert_eq!(denied.retry_after(), self.call(amounts).time_until().ok());
                    }
                }
            }
            Step::Acquire(amounts) => {
                let admits = self.admits(amounts);
                assert_eq!(self.call(amounts).try_acquire().is_ok(), admits);
                if admits {
                    (0..2).for_each(|i| self.single[i].try_acquire_n(amounts[i]).unwrap());
                }
            }
            Step::Settle(at, cost) => {
                let Some((both, [first, second])) = self.take(at) else { return };
                let settled = both.settle(&self.call(cost));
                let single = [first.settle(cost[0]), second.settle(cost[1])];
                assert_eq!(settled.is_ok(), single.iter().all(Result::is_ok));
                if let Err(error) = settled {
                    assert!(single.contains(&Err(error.error())));
                }
            }
            Step::Spend(at) => {
                if let Some((both, single)) = self.take(at) {
                    both.spend();
                    single.into_iter().for_each(Reservation::spend);
                }
            }
            Step::Drop(at) => drop(self.take(at)),
            Step::Charge(amounts) => {
                let charged = self.call(amounts).charge();
                assert_eq!(charged.is_err(), amounts.contains(&TOO_MANY));
                if let Ok(paid) = charged {
                    let single = [0, 1].map(|i| self.single[i].charge(amounts[i]).unwrap());
                    // A limit of which zero permits are taken does not take part.
                    let parts = single.into_iter().zip(amounts).filter(|&(_, n)| n > 0);
                    assert_eq!(paid, parts.map(|(paid, _)| paid).max().unwrap_or_default());
                }
            }
            Step::Refund(amounts) => {
                self.call(amounts).refund().unwrap();
                (0..2).for_each(|i| self.single[i].refund(amounts[i]).unwrap());
            }
        }
    }

    /// Each takes its lock: a call without the lock is dated by the next one with it.
    fn take_locks(&self) {
        for limiter in self.both.iter().chain(&self.single) {
            drop(limiter.try_reserve(0).unwrap());
        }
    }
}

proptest! {
    #[test]
    fn two_limits_together_are_like_two_by_themselves(
        bursts in prop::array::uniform2(4u64..12),
        steps in steps(),
    ) {
        let clock = ManualClock::new();
        let two = || [limiter(&clock, 1, bursts[0], bursts[0]), limiter(&clock, 3, bursts[1], 0)];
        let mut world = World { clock: clock.clone(), both: two(), single: two(), held: Vec::new() };
        for step in &steps {
            world.take_locks();
            world.run(step);
            world.take_locks();
            for i in 0..2 {
                let [both, single] = [&world.both[i], &world.single[i]].map(Limiter::time_until_full);
                prop_assert_eq!(both, single, "limit {} after {:?}", i, step);
            }
        }
        // What is still held goes back in the same way, and nothing else is held.
        world.held.clear();
        world.take_locks();
        for i in 0..2 {
            prop_assert_eq!(world.both[i].time_until_full(), world.single[i].time_until_full());
        }
        clock.advance(Duration::from_secs(1_000));
        prop_assert_eq!(world.both.map(|limiter| limiter.available()), bursts.map(|burst| burst as i64));
    }
}
