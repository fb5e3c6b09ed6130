//! The quota changes again and again, between calls, waiters, and waiters who leave: the level is what exact
//! arithmetic says, and no window sees more than the larger quota allows.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use num_rational::Ratio;
use proptest::prelude::*;
use tidegate::{AcquireNOwned, Clock, Inherit, ManualClock, Quota, RateLimiter};

use super::windows::{Log, check_windows};

type Exact = Ratio<i128>;
type Waiter = Pin<Box<AcquireNOwned<ManualClock>>>;

/// Permits in so many milliseconds, and a burst.
type Plain = (u64, u64, u64);

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    Try(u64),
    Charge(u64),
    Refund(u64),
    Change(Plain, Inherit),
    Join(u64),
    Drop(usize),
    Look(usize),
}

fn quota((permits, period_ms, burst): Plain) -> Quota {
    Quota::new(permits, Duration::from_millis(period_ms)).burst(burst).catch_up(Duration::ZERO)
}

fn plain() -> impl Strategy<Value = Plain> {
    (1_u64..8, prop_oneof![Just(1_000_u64), Just(700), Just(3_000)], 1_u64..12)
}

fn inherit() -> impl Strategy<Value = Inherit> {
    prop_oneof![
        Just(Inherit::AsIs),
        Just(Inherit::Additively),
        Just(Inherit::Proportionally),
        Just(Inherit::Reset),
    ]
}

/// What takes place without waiting.
fn calls() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..3_000).prop_map(Step::Advance),
        4 => (1_u64..12).prop_map(Step::Try),
        1 => (1_u64..12).prop_map(Step::Charge),
        1 => (1_u64..12).prop_map(Step::Refund),
        3 => (plain(), inherit()).prop_map(|(to, inherit)| Step::Change(to, inherit)),
    ];
    prop::collection::vec(step, 1..60)
}

/// With waiters, and with changes that keep what there is, or else what is missing.
fn waits() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![Just(Inherit::AsIs), Just(Inherit::Additively)].prop_flat_map(waits_with)
}

fn waits_with(inherit: Inherit) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_u64..2_000).prop_map(Step::Advance),
        2 => (0_u64..3).prop_map(|s| Step::Advance(s * 1_000)),
        2 => (1_u64..12).prop_map(Step::Try),
        4 => (1_u64..6).prop_map(Step::Join),
        3 => (0_usize..100).prop_map(Step::Drop),
        2 => (0_usize..100).prop_map(Step::Look),
        2 => plain().prop_map(move |to| Step::Change(to, inherit)),
    ];
    prop::collection::vec(step, 1..60)
}

fn whole(n: u64) -> Exact {
    Exact::from_integer(n.into())
}

/// A bucket in exact arithmetic.
struct Model {
    quota: Plain,
    level: Exact,
}

impl Model {
    fn advance(&mut self, ms: u64) {
        let (permits, period_ms, burst) = self.quota;
        let earned = whole(permits) * whole(ms) / whole(period_ms);
        self.level = self.level.max((self.level + earned).min(whole(burst)));
    }

    fn change(&mut self, to: Plain, inherit: Inherit) {
        let (old, new) = (whole(self.quota.2), whole(to.2));
        let level = match inherit {
            Inherit::AsIs => self.level,
            Inherit::Additively => self.level + new - old,
            Inherit::Proportionally => self.level * new / old,
            Inherit::Reset => new,
        };
        self.level = level.min(new);
        self.quota = to;
    }
}

/// Runs steps with waiters. What was used at once, and when; what waiters kept; what was earned.
fn run(first: Plain, steps: &[Step]) -> (RateLimiter<ManualClock>, Log, u64, Exact) {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota(first).initial(0), clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiters: Vec<(u64, Waiter)> = Vec::new();
    let (mut used, mut kept) = (Log::new(), 0);
    let (mut rate, mut earned) = (first, whole(0));
    for &step in steps {
        match step {
            Step::Advance(ms) => {
                clock.advance(Duration::from_millis(ms));
                earned += whole(rate.0) * whole(ms) / whole(rate.1);
            }
            Step::Try(n) if limiter.try_acquire_n(n).is_ok() => used.push((clock.now(), n)),
            Step::Change(to, inherit) => {
                limiter.set_quota_with(quota(to), inherit).unwrap();
                rate = to;
            }
            Step::Join(n) => {
                let mut waiter: Waiter = Box::pin(limiter.acquire_n_owned(n));
                match waiter.as_mut().poll(&mut cx) {
                    std::task::Poll::Ready(Ok(())) => used.push((clock.now(), n)),
                    std::task::Poll::Ready(Err(denied)) => assert!(denied.is_never()),
                    std::task::Poll::Pending => waiters.push((n, waiter)),
                }
            }
            Step::Drop(i) if !waiters.is_empty() => drop(waiters.remove(i % waiters.len())),
            Step::Look(i) if !waiters.is_empty() => {
                let i = i % waiters.len();
                if let std::task::Poll::Ready(outcome) = waiters[i].1.as_mut().poll(&mut cx) {
                    let (n, _) = waiters.remove(i);
                    if outcome.is_ok() {
                        kept += n;
                    }
                }
            }
            _ => {}
        }
    }
    drop(waiters);
    (limiter, used, kept, earned)
}

proptest! {
    /// Each change rounds down by less than a tick, which is below a millionth of a permit here.
    #[test]
    fn the_level_is_that_of_the_exact_model(first in plain(), steps in calls()) {
        let clock = ManualClock::new();
        let limiter = RateLimiter::with_clock(quota(first), clock.clone());
        let mut model = Model { quota: first, level: whole(first.2) };
        let mut slack = Exact::from_integer(0);
        for step in steps {
            match step {
                Step::Advance(ms) => {
                    clock.advance(Duration::from_millis(ms));
                    model.advance(ms);
                }
                Step::Try(n) => {
                    let admitted = limiter.try_acquire_n(n).is_ok();
                    let fits = n <= model.quota.2 && whole(n) <= model.level;
                    let close = n <= model.quota.2 && whole(n) <= model.level && whole(n) > model.level - slack;
                    prop_assert!(admitted == fits || close, "{n} of {}: {admitted}", model.level);
                    if admitted {
                        model.level -= whole(n);
                    }
                }
                Step::Charge(n) => {
                    limiter.charge(n).unwrap();
                    model.level -= whole(n);
                }
                Step::Refund(n) => {
                    limiter.refund(n).unwrap();
                    let burst = whole(model.quota.2);
                    model.level = model.level.max((model.level + whole(n)).min(burst));
                }
                Step::Change(to, inherit) => {
                    limiter.set_quota_with(quota(to), inherit).unwrap();
                    prop_assert_eq!(limiter.quota(), quota(to));
                    model.change(to, inherit);
                    slack = slack * 12 + Exact::new(1, 1_000_000);
                    // Enough for the many that a test makes, and never a whole permit.
                    slack = slack.min(Exact::new(1, 2));
                }
                _ => {}
            }
            let level = limiter.available();
            let (most, least) = (model.level.floor(), (model.level - slack).floor());
            prop_assert!(
                Exact::from_integer(level.into()) <= most && Exact::from_integer(level.into()) >= least,
                "{level} of {} after {step:?}", model.level
            );
        }
    }

    /// However often the quota changes, if always in the same way.
    #[test]
    fn no_window_sees_more_than_the_larger_quota_allows(first in plain(), steps in waits()) {
        let (_, used, ..) = run(first, &steps);
        let quotas = steps.iter().filter_map(|step| match step {
            Step::Change(to, _) => Some(*to),
            _ => None,
        });
        let all: Vec<_> = quotas.chain([first]).collect();
        let rate = |&(permits, period_ms, _): &Plain| whole(permits) / whole(period_ms);
        let (permits, period_ms, _) = all.iter().copied().max_by_key(rate).unwrap();
        let burst = all.iter().map(|&(.., burst)| burst).max().unwrap();
        check_windows(&quota((permits, period_ms, burst)), 0, &used)?;
    }

    /// A bucket too large to fill keeps its books through changes and cancellations.
    #[test]
    fn nothing_is_lost_where_the_bucket_is_never_full(first in plain(), steps in waits()) {
        let large = |(permits, period_ms, _): Plain| (permits, period_ms, 1_000_000);
        let steps: Vec<_> = steps
            .iter()
            .map(|step| match *step {
                Step::Change(to, _) => Step::Change(large(to), Inherit::AsIs),
                other => other,
            })
            .collect();
        let (limiter, used, kept, earned) = run(large(first), &steps);
        prop_assert_eq!(limiter.waiting(), 0);
        let taken = kept + used.iter().map(|(_, n)| n).sum::<u64>();
        let level = earned - whole(taken);
        let slack = Exact::new(steps.len() as i128, 1_000);
        let found = Exact::from_integer(limiter.available().into());
        prop_assert!(found <= level && found >= (level - slack).floor(), "{found} of {level}");
    }
}
