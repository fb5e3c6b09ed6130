//! Random histories of several keys, beside one `RateLimiter` for each of them: all answers are equal.

use std::time::Duration;

use proptest::prelude::*;
use tidegate::{Clock, Inherit, Keyed, ManualClock, Quota, RateLimiter, WhenFull};

use super::Users;

const KEYS: u64 = 5;

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Try(u64, u64),
    Refund(u64, u64),
    /// Takes or drops a handle on the limiter of the key.
    Hold(u64),
    Release(u64),
    Charge(u64, u64),
    Pause(u64, u64),
    Sweep,
    Quota(usize),
}

const QUOTAS: [&str; 6] =
    ["10/s burst 4", "3/s burst 9", "1/h burst 2", "7/13s", "at most 5/s burst 3", "0/s"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS;
    let step = prop_oneof![
        4 => prop_oneof![0u64..500_000_000, 0u64..20_000_000_000, Just(8_000 * 3_600_000_000_000)].prop_map(Step::Advance),
        8 => (key.clone(), 0u64..5).prop_map(|(key, n)| Step::Try(key, n)),
        2 => (key.clone(), 0u64..3).prop_map(|(key, n)| Step::Refund(key, n)),
        2 => key.clone().prop_map(Step::Hold),
        2 => key.clone().prop_map(Step::Release),
        1 => (key.clone(), 0u64..12).prop_map(|(key, n)| Step::Charge(key, n)),
        1 => (key.clone(), 0u64..3_000_000_000).prop_map(|(key, ns)| Step::Pause(key, ns)),
        1 => Just(Step::Sweep),
        1 => (0..QUOTAS.len()).prop_map(Step::Quota),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn each_key_behaves_as_a_limiter_of_its_own(steps in steps(), first in 0..QUOTAS.len() - 1) {
        let clock = ManualClock::new();
        let quota = |i: usize| QUOTAS[i].parse::<Quota>().unwrap();
        let keyed: Users = Keyed::builder(quota(first)).clock(clock.clone()).build().unwrap();
        let alone: Vec<_> = (0..KEYS).map(|_| RateLimiter::with_clock(quota(first), clock.clone())).collect();
        let mut burst = quota(first).burst() as i64;
        let mut held: Vec<Option<RateLimiter<ManualClock>>> = vec![None; KEYS as usize];
        for step in steps {
            match step {
                Step::Advance(ns) => clock.advance(Duration::from_nanos(ns)),
                Step::Try(key, n) => {
                    let one = &alone[key as usize];
                    // In a tick, or in all of them: a conversion of the word may round once.
                    prop_assert_eq!(keyed.try_acquire_n(&key, n), one.try_acquire_n(n), "key {} at {}", key, clock.now());
                }
                Step::Refund(key, n) => {
                    keyed.refund(&key, n).unwrap();
                    alone[key as usize].refund(n).unwrap();
                }
                Step::Hold(key) => held[key as usize] = Some(keyed.limiter(&key).unwrap()),
                Step::Release(key) => held[key as usize] = None,
                Step::Charge(key, n) => {
                    let charged = keyed.limiter(&key).unwrap().charge(n);
                    prop_assert_eq!(charged, alone[key as usize].charge(n));
                }
                Step::Pause(key, ns) => {
                    keyed.limiter(&key).unwrap().pause_for(Duration::from_nanos(ns));
                    alone[key as usize].pause_for(Duration::from_nanos(ns));
                }
                Step::Sweep => {
                    // Unknown keys sweep the table, and demote.
                    for key in 1_000..1_050 {
                        let _ = keyed.try_acquire(&key);
                    }
                    drop(keyed.limiter(&1_000));
                }
                Step::Quota(i) => {
                    keyed.set_quota(quota(i)).unwrap();
                    let before = burst;
                    if quota(i) != Quota::BLOCKED {
                        burst = quota(i).burst() as i64;
                    }
                    for one in &alone {
                        // A full bucket, of a known key or not, is full by the next quota.
                        let full = one.available() == before;
                        one.set_quota_with(quota(i), if full { Inherit::Reset } else { Inherit::AsIs }).unwrap();
                    }
                }
            }
            for key in 0..KEYS {
                let (level, one) = (keyed.level(&key), alone[key as usize].level());
                prop_assert_eq!(level.available(), one.available(), "key {} at {}", key, clock.now());
                prop_assert_eq!(level.time_until_full(), one.time_until_full(), "key {} at {}", key, clock.now());
            }
        }
    }

    /// Whatever the clock does, a step back grants no more than the way forward does, and time goes on from there.
    #[test]
    fn a_clock_that_steps_back_grants_nothing(
        steps in prop::collection::vec((any::<bool>(), 0u64..100_000_000_000, 1u64..4), 1..60),
    ) {
        let clock = ManualClock::starting_at(1_000_000_000_000);
        let keyed: Users = Keyed::builder(Quota::per_second(1).with_burst(3)).clock(clock.clone()).build().unwrap();
        let (mut taken, mut forward_ns) = (0, 0);
        for (back, ns, n) in steps {
            if back {
                clock.set(clock.now().saturating_sub(ns));
            } else {
                clock.advance(Duration::from_nanos(ns));
                forward_ns += ns;
            }
            for _ in 0..n {
                taken += u64::from(keyed.try_acquire(&7).is_ok());
            }
            prop_assert!(taken <= 3 + forward_ns / 1_000_000_000, "{taken} in {forward_ns} ns");
        }
        // It recovers: after the time that a full bucket takes there is one again.
        clock.advance(Duration::from_secs(3));
        prop_assert!(keyed.try_acquire_n(&7, 3).is_ok() || keyed.try_acquire(&7).is_ok());
    }
}

#[test]
fn policies_have_no_effect_before_the_table_is_full() {
    for when_full in [WhenFull::EvictFullest, WhenFull::RefuseNew, WhenFull::ShareOverflow] {
        let keyed =
            Keyed::<u64>::builder(Quota::per_hour(1)).max_keys(10_000).when_full(when_full).build().unwrap();
        assert!((0..5_000).all(|key| keyed.try_acquire(&key).is_ok() && keyed.try_acquire(&key).is_err()));
        assert_eq!((keyed.len(), keyed.evicted_live()), (5_000, 0));
    }
}
