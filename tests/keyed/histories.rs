//! Random histories of several keys of several classes, beside one `RateLimiter` for each of them: all answers are equal.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;
use tidegate::{Clock, Inherit, Keyed, ManualClock, Quota, RateLimiter, WhenFull};

use super::Users;

const KEYS: u64 = 5;
const CLASSES: usize = 3;

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
    Evict(u64),
    /// Another quota of a class.
    Quota(usize, usize),
    /// Another class of a key.
    Class(u64, usize),
    /// A quota of its own.
    Own(u64, usize),
}

const QUOTAS: [&str; 6] =
    ["10/s burst 4", "3/s burst 9", "1/h burst 2", "7/13s", "at most 5/s burst 3", "0/s"];

const OWN: [&str; 2] = ["50/s burst 6", "1/min burst 3"];

/// One key: its limiter alone, and what the table knows of it.
struct One {
    limiter: RateLimiter<ManualClock>,
    class: usize,
    /// Whether it has a quota of its own.
    own: bool,
    /// The burst of the quota that it had before it was blocked.
    burst: i64,
}

impl One {
    /// Gives the limiter a quota as a table does: a full bucket is full by the next quota, too.
    fn give(&mut self, quota: Quota) {
        let full = self.limiter.available() == self.burst;
        self.limiter.set_quota_with(quota, if full { Inherit::Reset } else { Inherit::AsIs }).unwrap();
        if quota != Quota::BLOCKED {
            self.burst = quota.burst() as i64;
        }
    }
}

/// The last quota of a class that was not blocked, and whether it is blocked.
#[derive(Clone, Copy)]
struct Class {
    quota: Quota,
    blocked: bool,
}

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
        1 => key.clone().prop_map(Step::Evict),
        1 => (0..CLASSES, 0..QUOTAS.len()).prop_map(|(class, i)| Step::Quota(class, i)),
        2 => (key.clone(), 0..CLASSES).prop_map(|(key, class)| Step::Class(key, class)),
        1 => (key, 0..OWN.len()).prop_map(|(key, i)| Step::Own(key, i)),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn each_key_behaves_as_a_limiter_of_its_own(
        steps in steps(),
        first in prop::array::uniform3(0..QUOTAS.len() - 1),
    ) {
        let clock = ManualClock::new();
        let quota = |i: usize| QUOTAS[i].parse::<Quota>().unwrap();
        let mut classes = first.map(|i| Class { quota: quota(i), blocked: false });
        let class_of: Arc<[AtomicUsize; KEYS as usize]> = Arc::default();
        let told = Arc::clone(&class_of);
        let keyed: Users = Keyed::builder(classes[0].quota)
            .classes(classes[1..].iter().map(|class| class.quota), move |key| {
                told.get(*key as usize).map_or(0, |class| class.load(Ordering::Relaxed))
            })
            .clock(clock.clone())
            .build()
            .unwrap();
        let first = classes[0].quota;
        let alone = || RateLimiter::with_clock(first, clock.clone());
        let one = |_| One { limiter: alone(), class: 0, own: false, burst: first.burst() as i64 };
        let mut ones: Vec<One> = (0..KEYS).map(one).collect();
        let mut held: Vec<Option<RateLimiter<ManualClock>>> = vec![None; KEYS as usize];
        for step in steps {
            match step {
                Step::Advance(ns) => clock.advance(Duration::from_nanos(ns)),
                Step::Try(key, n) => {
                    let one = &ones[key as usize].limiter;
                    // In a tick, or in all of them: a conversion of the word may round once.
                    prop_assert_eq!(keyed.try_acquire_n(&key, n), one.try_acquire_n(n), "key {} at {}", key, clock.now());
                }
                Step::Refund(key, n) => {
                    keyed.refund(&key, n).unwrap();
                    ones[key as usize].limiter.refund(n).unwrap();
                }
                Step::Hold(key) => held[key as usize] = Some(keyed.limiter(&key).unwrap()),
                Step::Release(key) => held[key as usize] = None,
                Step::Charge(key, n) => {
                    let charged = keyed.limiter(&key).unwrap().charge(n);
                    prop_assert_eq!(charged, ones[key as usize].limiter.charge(n));
                }
                Step::Pause(key, ns) => {
                    keyed.limiter(&key).unwrap().pause_for(Duration::from_nanos(ns));
                    ones[key as usize].limiter.pause_for(Duration::from_nanos(ns));
                }
                Step::Sweep => {
                    // Unknown keys sweep the table, and demote.
                    for key in 1_000..1_050 {
                        let _ = keyed.try_acquire(&key);
                    }
                    drop(keyed.limiter(&1_000));
                }
                Step::Evict(key) => {
                    let one = &mut ones[key as usize];
                    // A key that is removed has a full bucket by the quota of its class.
                    if keyed.remove(&key) {
                        one.limiter.set_quota_with(classes[one.class].quota, Inherit::Reset).unwrap();
                        one.burst = classes[one.class].quota.burst() as i64;
                        if classes[one.class].blocked {
                            one.limiter.set_quota(Quota::BLOCKED).unwrap();
                        }
                    }
                }
                Step::Quota(class, i) => {
                    keyed.set_class_quota(class, quota(i)).unwrap();
                    classes[class].blocked = quota(i) == Quota::BLOCKED;
                    if !classes[class].blocked {
                        classes[class].quota = quota(i);
                    }
                    for one in ones.iter_mut().filter(|one| one.class == class && !one.own) {
                        one.give(quota(i));
                    }
                }
                Step::Class(key, class) => {
                    let one = &mut ones[key as usize];
                    class_of[key as usize].store(class, Ordering::Relaxed);
                    if one.class != class && !one.own {
                        one.give(classes[class].quota);
                        if classes[class].blocked {
                            one.give(Quota::BLOCKED);
                        }
                    }
                    one.class = class;
                }
                Step::Own(key, i) => {
                    let one = &mut ones[key as usize];
                    let class = classes[one.class];
                    // A quota of its own, or again that of the class.
                    let next: Quota = if one.own && class.blocked {
                        continue;
                    } else if one.own {
                        class.quota
                    } else {
                        OWN[i].parse().unwrap()
                    };
                    keyed.limiter(&key).unwrap().set_quota(next).unwrap();
                    one.limiter.set_quota(next).unwrap();
                    (one.own, one.burst) = (!one.own, next.burst() as i64);
                }
            }
            for key in 0..KEYS {
                let (level, one) = (keyed.level(&key), &ones[key as usize].limiter);
                prop_assert_eq!(level.available(), one.available(), "key {} at {}", key, clock.now());
                prop_assert_eq!(level.time_until_full(), one.level().time_until_full(), "key {} at {}", key, clock.now());
                prop_assert_eq!(keyed.quota_of(&key), one.quota());
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
