//! Random schedules of several slots, `Local`s, waiters and direct calls on one limiter, against exact arithmetic:
//! every decision, every level, every permit, also while the burst changes.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::prelude::*;

use super::shares::take_shared;
use crate::{
    AcquireNOwned, AllOf, ManualClock, PerCore, Permits, Quota, RateLimiter, per_core::Local, queue::Shares,
};

/// One call.
#[derive(Clone, Debug)]
enum Op {
    Advance(u64),
    /// On a slot.
    Slot(usize, u64),
    /// By one of the `Local`s.
    Hand(usize, u64),
    GiveBack(usize),
    /// On the limiter.
    Direct(u64),
    UpTo(u64),
    /// A caller begins to wait.
    Wait(u64),
    /// A waiter leaves.
    Leave(usize),
    /// With another limit, that never refuses.
    Both(u64),
    Charge(u64),
    Refund(u64),
    Reset,
    /// Another burst.
    SetQuota(u64),
}

const HANDS: usize = 3;

/// Mostly whole permits, in millionths.
fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => Just(Permits::MILLION),
        3 => (1..40_u64).prop_map(|n| n * Permits::MILLION),
        1 => 0..5_000_000_u64,
        1 => (1..3000_u64).prop_map(|n| n * Permits::MILLION),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop_oneof![0..2_000_u64, 0..10_000_000_u64, 0..2_000_000_000_u64].prop_map(Op::Advance),
        8 => (0..8_usize, amount()).prop_map(|(slot, n)| Op::Slot(slot, n)),
        5 => (0..HANDS, amount()).prop_map(|(hand, n)| Op::Hand(hand, n)),
        1 => (0..HANDS).prop_map(Op::GiveBack),
        3 => amount().prop_map(Op::Direct),
        1 => (0..50_u64).prop_map(Op::UpTo),
        1 => amount().prop_map(Op::Wait),
        1 => any::<usize>().prop_map(Op::Leave),
        1 => amount().prop_map(Op::Both),
        1 => burst().prop_map(Op::SetQuota),
    ]
}

/// Any call, including refunds, charges and resets.
fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => op(),
        1 => amount().prop_map(Op::Charge),
        1 => amount().prop_map(Op::Refund),
        1 => Just(Op::Reset),
    ]
}

fn burst() -> impl Strategy<Value = u64> {
    prop_oneof![1..64_u64, 64..10_000_u64]
}

type Limiter = RateLimiter<ManualClock>;
type Waiter = Pin<Box<AcquireNOwned<ManualClock>>>;

/// The bucket in exact arithmetic: in units of which there are `period` to a millionth of a permit.
struct Model {
    quota: Quota,
    period: i128,
    level: i128,
    cap: i128,
}

impl Model {
    fn new(quota: Quota, set_aside: u64) -> Self {
        let period = quota.period().as_nanos() as i128;
        let permit = period * i128::from(Permits::MILLION);
        let cap = i128::from(quota.burst() - set_aside) * permit;
        let level = (i128::from(quota.initial()) * permit).min(cap);
        Self { quota, period, level, cap }
    }

    /// The burst changes; the permits that are there stay.
    fn set_burst(&mut self, burst: u64, set_aside: u64) {
        let Self { quota, level, .. } = *self;
        *self = Self { level: 0, ..Self::new(quota.with_burst(burst), set_aside) };
        self.level = level.min(self.cap);
    }

    fn units(&self, millionths: u64) -> i128 {
        i128::from(millionths) * self.period
    }

    fn earned(&self, ns: u64) -> i128 {
        i128::from(ns) * i128::from(self.quota.permits()) * i128::from(Permits::MILLION)
    }
}

struct World {
    clock: ManualClock,
    limiter: Limiter,
    other: Limiter,
    per_core: PerCore<ManualClock>,
    hands: Vec<Local<ManualClock>>,
    waiters: Vec<(u64, Waiter)>,
    model: Model,
    now_ns: u64,
    /// The largest burst so far, and the most that was set aside.
    most: (u64, u64),
    /// Whether there were charges, without which there are no debts.
    charged: bool,
    /// What was admitted, and not before and not after when.
    log: Vec<(u64, u64, i128)>,
}

impl World {
    fn new(quota: Quota, slots: usize, share: Option<u64>) -> Self {
        let clock = ManualClock::new();
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let other = RateLimiter::with_clock(Quota::per_second(1000), clock.clone());
        let mut builder = PerCore::builder(&limiter).slots(slots);
        if let Some(share) = share {
            let largest = crate::shares::largest_share(quota.burst(), slots.next_power_of_two());
            builder = builder.share(share.min(largest));
        }
        let per_core = builder.build().unwrap();
        let hands = (0..HANDS).map(|_| per_core.local()).collect();
        let set_aside = per_core.shares.capacity_of(quota.burst());
        let model = Model::new(quota, set_aside);
        Self {
            clock,
            limiter,
            other,
            per_core,
            hands,
            waiters: Vec::new(),
            model,
            now_ns: 0,
            most: (quota.burst(), set_aside),
            charged: false,
            log: Vec::new(),
        }
    }

    /// The permits parked in slots and held by `Local`s, in millionths.
    fn elsewhere(&self) -> (u64, u64) {
        let parked = self.per_core.shares.parked();
        (parked, self.hands.iter().map(|hand| hand.share.held).sum())
    }

    /// Polls all waiters. Returns the permits granted; the granted waiters must be the first in the queue.
    fn granted(&mut self) -> Result<u64, TestCaseError> {
        let mut cx = Context::from_waker(Waker::noop());
        // Waiters for more than a new burst are refused.
        let mut outcomes = Vec::new();
        self.waiters.retain_mut(|(n, waiter)| {
            let outcome = waiter.as_mut().poll(&mut cx);
            let denied = matches!(outcome, Poll::Ready(Err(_)));
            if !denied {
                outcomes.push(outcome.is_ready().then_some(*n));
            }
            !denied
        });
        let served = outcomes.iter().take_while(|outcome| outcome.is_some()).count();
        prop_assert!(outcomes[served..].iter().all(Option::is_none), "out of turn: {outcomes:?}");
        self.waiters.drain(..served);
        Ok(outcomes.into_iter().flatten().sum())
    }

    /// Makes one call: whether it should be admitted, and whether it was; how much.
    fn call(&mut self, op: &Op) -> Result<(bool, bool, u64), TestCaseError> {
        let (parked, _) = self.elsewhere();
        let there = self.model.level + self.model.units(parked);
        let nobody_waits = self.waiters.is_empty();
        let fits = |n: u64| n == 0 || (nobody_waits && there >= self.model.units(n));
        Ok(match *op {
            Op::Advance(ns) => {
                self.now_ns += ns;
                self.clock.advance(Duration::from_nanos(ns));
                (true, true, 0)
            }
            Op::Slot(slot, n) => {
                let slot = slot % self.per_core.slots.len();
                let taken = take_shared(&self.per_core, slot, Permits::of_millionths(n));
                (fits(n) && self.model.units(n) <= self.model.cap, taken.is_ok(), n)
            }
            Op::Hand(hand, n) => {
                let own = self.hands[hand].share.held;
                let taken = self.hands[hand].try_acquire_n(Permits::of_millionths(n)).is_ok();
                let missing = n.saturating_sub(own);
                // What it takes over from an idle slot need not go through the word.
                let through = self.model.units(missing) <= self.model.cap || taken;
                (fits(missing) && through, taken, n)
            }
            Op::GiveBack(hand) => {
                let held = self.hands[hand].share.held;
                self.hands[hand].give_back();
                // It does not overflow; what is not there any more is seen below.
                let level = (self.model.level + self.model.units(held)).min(self.model.cap);
                self.model.level = level - self.model.units(held);
                (true, true, 0)
            }
            Op::Direct(n) => {
                let taken = self.limiter.try_acquire_n(Permits::of_millionths(n));
                (fits(n) && self.model.units(n) <= self.model.cap, taken.is_ok(), n)
            }
            Op::UpTo(most) => {
                let taken = self.limiter.try_acquire_up_to(most);
                (true, true, taken * Permits::MILLION)
            }
            Op::Wait(n) => {
                if self.model.units(n) <= self.model.cap {
                    let waiter = self.limiter.acquire_n_owned(Permits::of_millionths(n));
                    self.waiters.push((n, Box::pin(waiter)));
                }
                (true, true, 0)
            }
            Op::Leave(which) => {
                if !self.waiters.is_empty() {
                    let which = which % self.waiters.len();
                    drop(self.waiters.remove(which));
                }
                (true, true, 0)
            }
            Op::Both(n) => {
                let both = AllOf::new().and(&self.limiter, Permits::of_millionths(n)).and(&self.other, 1);
                (fits(n) && self.model.units(n) <= self.model.cap, both.try_acquire().is_ok(), n)
            }
            Op::Charge(n) => {
                self.charged = true;
                let paid = self.limiter.charge(Permits::of_millionths(n)).unwrap();
                prop_assert_eq!(paid.is_zero(), there >= self.model.units(n), "{:?}: {:?}", op, paid);
                (true, true, n)
            }
            Op::Refund(n) => {
                self.limiter.refund(Permits::of_millionths(n)).unwrap();
                self.model.level = (self.model.level + self.model.units(n)).min(self.model.cap);
                (true, true, 0)
            }
            Op::Reset => {
                self.limiter.reset();
                self.model.level = self.model.cap;
                (true, true, 0)
            }
            Op::SetQuota(burst) => {
                self.limiter.set_quota(self.model.quota.with_burst(burst)).unwrap();
                let set_aside = self.per_core.shares.capacity_of(burst);
                self.most = (self.most.0.max(burst), self.most.1.max(set_aside));
                let moved = self.model.units(parked) - self.model.units(self.elsewhere().0);
                self.model.level += moved;
                self.model.set_burst(burst, set_aside);
                self.model.level -= moved;
                (true, true, 0)
            }
        })
    }

    /// Makes one call, and keeps the books.
    fn run(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let before_ns = self.now_ns;
        let (parked, held) = self.elsewhere();
        let nobody_waits = self.waiters.is_empty();
        let (expected, admitted, n) = self.call(op)?;
        prop_assert_eq!(admitted, expected, "{:?}", op);
        let granted = self.granted()?;
        let taken = self.model.units(if admitted { n } else { 0 } + granted);
        if taken > 0 {
            self.log.push((before_ns, self.now_ns, taken));
        }
        // All that was there is there, or was admitted.
        let (parked_now, held_now) = self.elsewhere();
        let earned = if let Op::Advance(ns) = *op { self.model.earned(ns) } else { 0 };
        let moved = self.model.units(parked) + self.model.units(held)
            - self.model.units(parked_now)
            - self.model.units(held_now);
        self.model.level = (self.model.level + earned + moved - taken).min(self.model.cap);
        prop_assert!(self.charged || self.model.level >= 0, "{:?} took {} too many", op, -self.model.level);
        let all = self.model.level + self.model.units(parked_now);
        let permit = self.model.units(Permits::MILLION);
        prop_assert_eq!(i128::from(self.limiter.available()), all.div_euclid(permit), "{:?}", op);
        if let Op::UpTo(most) = *op {
            let left = all.div_euclid(permit) > 0 && n < most * Permits::MILLION;
            prop_assert!(!left || !nobody_waits, "{} of {} taken", n, most);
        }
        self.check_claims()
    }

    /// No permits are parked beyond a claim, or claimed beyond the capacity, and none are parked while there are
    /// waiters.
    fn check_claims(&self) -> Result<(), TestCaseError> {
        let slots = &self.per_core.shares;
        let mut claims = 0;
        for slot in slots.all().iter() {
            let account = slot.account();
            prop_assert!(account.parked <= account.claim * Permits::MILLION, "{:?}", account);
            claims += account.claim;
        }
        for hand in &self.hands {
            prop_assert!(hand.share.held <= hand.share.demand.claim * Permits::MILLION, "{:?}", hand.share);
            claims += hand.share.demand.claim;
        }
        prop_assert_eq!(claims, slots.pool().claimed());
        prop_assert!(claims <= self.most.1);
        if !self.waiters.is_empty() {
            prop_assert_eq!(slots.parked(), 0, "somebody waits");
        }
        Ok(())
    }

    /// No window has more than `burst + rate * w`, by the largest burst.
    fn check_windows(&self) -> Result<(), TestCaseError> {
        let burst = self.model.units(self.most.0 * Permits::MILLION);
        for (i, (from, ..)) in self.log.iter().enumerate() {
            let mut sum = 0;
            for (_, to, n) in &self.log[i..] {
                sum += n;
                prop_assert!(sum <= burst + self.model.earned(to - from), "from {} to {} ns", from, to);
            }
        }
        Ok(())
    }

    /// All give back, and the burst is whole again.
    fn end(mut self) -> Result<(), TestCaseError> {
        self.hands.clear();
        self.waiters.clear();
        self.limiter.reset();
        let burst = self.model.quota.burst();
        let parked = self.per_core.shares.parked();
        let set_aside = self.per_core.shares.capacity_of(burst);
        drop(self.per_core);
        let whole = burst - set_aside + parked / Permits::MILLION;
        prop_assert_eq!(self.limiter.available(), i64::try_from(whole).unwrap());
        self.limiter.reset();
        prop_assert_eq!(self.limiter.try_acquire_n(burst), Ok(()), "the whole burst");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn every_decision_is_exact(
        permits in prop_oneof![1..20_u64, 1..100_000_u64],
        burst in burst(),
        slots in 1..9_usize,
        share in prop::option::of(0..200_u64),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut world = World::new(Quota::per_second(permits).with_burst(burst), slots, share);
        for op in &ops {
            world.run(op)?;
        }
        world.check_windows()?;
        world.end()?;
    }

    #[test]
    fn so_it_is_with_debts_and_gifts(
        permits in prop_oneof![1..20_u64, 1..100_000_u64],
        burst in burst(),
        slots in 1..9_usize,
        share in prop::option::of(0..200_u64),
        ops in prop::collection::vec(any_op(), 1..120),
    ) {
        let mut world = World::new(Quota::per_second(permits).with_burst(burst), slots, share);
        for op in &ops {
            world.run(op)?;
        }
        world.end()?;
    }
}
