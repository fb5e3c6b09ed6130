//! Random pauses between calls and waiters: the bucket is that of exact arithmetic, whose time stands still meanwhile.
//!
//! Textbook GCRA, without catch-up, so that each waiter is granted at the nanosecond at which it is due.

use std::{collections::VecDeque, task::Poll, time::Duration};

use num_bigint::BigInt;
use num_traits::ToPrimitive;
use proptest::prelude::*;
use tidegate::{Clock, Denied, ManualClock, Quota, RateLimiter};

use super::{
    oracle::{MILLION, Oracle},
    waiter::Waiter,
};
use crate::nanos;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// In thousandths of the time of one permit, and nanoseconds.
    Advance(u64, u64),
    Try(u64),
    Join(u64),
    Leave(usize),
    Charge(u64),
    Refund(u64),
    /// In thousandths of the time of one permit.
    PauseFor(u64),
    /// The same, from the start of the test.
    PauseUntil(u64),
    Resume,
    ResumeGently,
    SetAvailable(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (0..4_000_u64, 0..3_u64).prop_map(|(part, more)| Op::Advance(part, more)),
        4 => (0..8_u64).prop_map(Op::Try),
        4 => (1..6_u64).prop_map(Op::Join),
        1 => (0..4_usize).prop_map(Op::Leave),
        1 => (1..8_u64).prop_map(Op::Charge),
        1 => (1..8_u64).prop_map(Op::Refund),
        3 => (0..6_000_u64).prop_map(Op::PauseFor),
        1 => (0..60_000_u64).prop_map(Op::PauseUntil),
        1 => Just(Op::Resume),
        1 => Just(Op::ResumeGently),
        1 => (0..8_u64).prop_map(Op::SetAvailable),
    ];
    prop::collection::vec(op, 1..60)
}

const START_NS: u64 = 7_000_000_123;

struct Pair {
    quota: Quota,
    clock: ManualClock,
    limiter: RateLimiter<ManualClock>,
    /// It knows the time without the pauses.
    oracle: Oracle,
    bucket_ns: u64,
    paused_until_ns: u64,
    waiters: VecDeque<Waiter<ManualClock>>,
}

impl Pair {
    fn new(quota: Quota) -> Self {
        let clock = ManualClock::starting_at(START_NS);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let oracle = Oracle::new(&quota, START_NS);
        Self {
            quota,
            clock,
            limiter,
            oracle,
            bucket_ns: START_NS,
            paused_until_ns: 0,
            waiters: VecDeque::new(),
        }
    }

    fn thousandths(&self, count: u64) -> u64 {
        (self.quota.period().as_nanos() * u128::from(count) / u128::from(self.quota.permits() * 1_000)) as u64
    }

    fn pause_left_ns(&self) -> u64 {
        self.paused_until_ns.saturating_sub(self.clock.now())
    }

    /// How long until `permits` behind all waiters are due.
    fn wait_ns(&self, permits: u64) -> u64 {
        if permits == 0 {
            return 0;
        }
        let ahead: u64 = self.waiters.iter().map(|waiter| waiter.n).sum();
        self.pause_left_ns() + self.oracle.wait((ahead + permits) * MILLION).to_u64().unwrap()
    }

    fn first_due_ns(&self) -> Option<u64> {
        let first = self.waiters.front()?;
        let wait_ns = self.oracle.wait(first.n * MILLION).to_u64().unwrap();
        Some(self.clock.now() + self.pause_left_ns() + wait_ns)
    }

    fn pass_to(&mut self, now_ns: u64) {
        let before_ns = self.clock.now();
        self.clock.set(now_ns);
        self.bucket_ns += now_ns - before_ns.max(self.paused_until_ns).min(now_ns);
        self.oracle.set_now(self.bucket_ns);
    }

    /// Moves the clock, and stops when a waiter is due.
    fn advance(&mut self, by_ns: u64) -> Result<(), TestCaseError> {
        let until_ns = self.clock.now() + by_ns;
        while let Some(due_ns) = self.first_due_ns().filter(|&due_ns| due_ns <= until_ns) {
            self.pass_to(due_ns);
            self.serve()?;
        }
        self.pass_to(until_ns);
        self.serve()
    }

    /// Grants the waiters that are due.
    fn serve(&mut self) -> Result<(), TestCaseError> {
        let now_ns = self.clock.now();
        while self.first_due_ns() == Some(now_ns) {
            let mut first = self.waiters.pop_front().unwrap();
            prop_assert_eq!(first.told_at(), Some(now_ns), "due at {}", now_ns);
            prop_assert_eq!(first.poll(), Poll::Ready(Ok(())));
            self.oracle.take(first.n * MILLION);
        }
        prop_assert!(self.waiters.iter().all(|waiter| !waiter.is_told()), "granted too early");
        Ok(())
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Advance(part, more_ns) => self.advance(self.thousandths(part) + more_ns)?,
            Op::Try(n) => {
                let wait_ns = self.wait_ns(n);
                match self.limiter.try_acquire_n(n) {
                    Err(Denied::TooMany(_)) => prop_assert!(n > self.quota.burst()),
                    Err(denied) => prop_assert_eq!(denied.retry_after().map(nanos), Some(wait_ns.into())),
                    Ok(()) => {
                        prop_assert_eq!(wait_ns, 0);
                        self.oracle.take(n * MILLION);
                    }
                }
            }
            Op::Join(n) => {
                let n = n.min(self.quota.burst());
                let mut waiter = Waiter::new(&self.limiter, n);
                let due = self.wait_ns(n) == 0;
                prop_assert_eq!(waiter.poll().is_ready(), due);
                if due {
                    self.oracle.take(n * MILLION);
                } else {
                    self.waiters.push_back(waiter);
                }
            }
            Op::Leave(which) => drop(self.waiters.remove(which)),
            Op::Charge(n) => {
                let paid = self.limiter.charge(n).unwrap();
                self.oracle.take(n * MILLION);
                let debt_ns = self.oracle.wait_until_paid().to_u64().unwrap();
                let in_debt = debt_ns > 0 || self.pause_left_ns() > 0 || !self.waiters.is_empty();
                prop_assert!(in_debt || paid.is_zero(), "{:?}", paid);
                prop_assert_eq!(nanos(paid), BigInt::from(self.pause_left_ns() + debt_ns));
            }
            Op::Refund(n) => {
                self.limiter.refund(n).unwrap();
                self.oracle.refund(n * MILLION);
            }
            Op::PauseFor(part) => {
                let pause_ns = self.thousandths(part);
                self.limiter.pause_for(Duration::from_nanos(pause_ns));
                self.paused_until_ns = self.paused_until_ns.max(self.clock.now() + pause_ns);
            }
            Op::PauseUntil(part) => {
                let until_ns = START_NS + self.thousandths(part);
                self.limiter.pause_until(until_ns);
                self.paused_until_ns = self.paused_until_ns.max(until_ns);
            }
            Op::Resume => {
                self.limiter.resume();
                self.paused_until_ns = 0;
            }
            Op::ResumeGently => {
                self.limiter.resume_gently();
                if self.pause_left_ns() > 0 {
                    self.oracle.drain();
                }
                self.paused_until_ns = 0;
            }
            Op::SetAvailable(n) => {
                self.limiter.set_available(n);
                self.oracle.set_level(n);
            }
        }
        self.serve()?;
        self.compare()
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let until = Some(self.paused_until_ns).filter(|&until_ns| until_ns > self.clock.now());
        prop_assert_eq!(self.limiter.paused_until(), until);
        prop_assert_eq!(BigInt::from(self.limiter.available()), self.oracle.available());
        prop_assert_eq!(nanos(self.limiter.time_until(1).unwrap()), BigInt::from(self.wait_ns(1)));
        let full_ns = self.oracle.wait_until_full() + self.pause_left_ns();
        prop_assert_eq!(nanos(self.limiter.time_until_full()), full_ns);
        Ok(())
    }
}

fn quota() -> impl Strategy<Value = Quota> {
    let period_ms = prop_oneof![Just(1_000_u64), Just(700), Just(86_400_000)];
    (1_u64..20, period_ms, 1_u64..8).prop_map(|(permits, ms, burst)| {
        let quota = Quota::new(permits, Duration::from_millis(ms)).with_burst(burst);
        quota.with_catch_up(Duration::ZERO)
    })
}

proptest! {
    #[test]
    fn time_stands_still_in_a_pause(quota in quota(), ops in ops()) {
        let mut pair = Pair::new(quota);
        for op in ops {
            let text = format!("{op:?}");
            pair.apply(op).map_err(|error| TestCaseError::fail(format!("{error} after {text}")))?;
        }
    }
}
