//! The token bucket in exact arithmetic, as plainly as it can be put.
//!
//! Time is counted in units of 1 / (10^6 n) ns, in which the cost of a millionth of a permit, the period
//! divided by n, and every nanosecond are all whole numbers. Another rate divides the units further.

use std::collections::VecDeque;

use num_bigint::{BigInt, BigUint};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{ToPrimitive, Zero};

use super::timeline::{Acquired, N, Subject};

const MILLION: u64 = 1_000_000;

/// The exact limiter.
#[derive(Debug)]
pub(crate) struct Model {
    /// Units to a nanosecond.
    ns: BigInt,
    /// Units that a millionth of a permit costs.
    millionth: BigInt,
    burst: u64,
    now: BigInt,
    /// When the bucket will be full.
    full_at: BigInt,
    waiters: VecDeque<(String, BigInt)>,
    /// No waiter is granted before this.
    since: BigInt,
    grants: Vec<(String, u64)>,
}

impl Model {
    fn permit(&self) -> BigInt {
        &self.millionth * MILLION
    }

    /// What emptying a full bucket costs.
    fn depth(&self) -> BigInt {
        self.permit() * self.burst
    }

    /// The cost of an amount; `None` if there is no such amount.
    fn cost(&self, n: N) -> Option<BigInt> {
        let millionths = match n {
            N::Whole(n) => BigUint::from(n) * MILLION,
            // The decimal that was written, to the nearest millionth.
            N::Float(n) if (0.0..1e13).contains(&n) => BigUint::from((n * 1e6).round() as u64),
            N::Negative(_) | N::Float(_) => return None,
        };
        Some(BigInt::from(millionths) * &self.millionth)
    }

    fn fits(&self, n: N) -> Option<BigInt> {
        self.cost(n).filter(|cost| *cost <= self.depth())
    }

    /// From when on `cost` is there.
    fn due(&self, cost: &BigInt) -> BigInt {
        &self.full_at + cost - self.depth()
    }

    fn take_at(&mut self, at: &BigInt, cost: &BigInt) {
        self.full_at = at.max(&self.full_at) + cost;
    }

    fn missing(&self) -> BigInt {
        (&self.full_at - &self.now).max(BigInt::zero())
    }

    /// A span in nanoseconds, rounded up.
    fn nanos(&self, span: &BigInt) -> u64 {
        span.div_ceil(&self.ns).max(BigInt::zero()).to_u64().expect("a span beyond 64 bits")
    }

    /// Grants all due waiters. Each grant is dated at the time the waiter was due.
    fn grant_due(&mut self) {
        while let Some((_, cost)) = self.waiters.front() {
            let due = self.due(cost).max(self.since.clone());
            if due > self.now {
                return;
            }
            let (id, cost) = self.waiters.pop_front().expect("there is a front");
            self.take_at(&due, &cost);
            self.grants.push((id, self.nanos(&due)));
            self.since = due;
        }
    }

    /// Something other than time may have made the head due.
    fn changed(&mut self) {
        self.since = self.since.clone().max(self.now.clone());
        self.grant_due();
    }
}

impl Subject for Model {
    fn create(n: u64, period_ns: u64, burst: u64, created_ns: u64) -> Result<Self, String> {
        if n == 0 || period_ns == 0 || burst == 0 {
            return Err("no rate".to_owned());
        }
        let ns = BigInt::from(n) * MILLION;
        let now = &ns * created_ns;
        Ok(Self {
            ns,
            millionth: BigInt::from(period_ns),
            burst,
            now: now.clone(),
            full_at: now.clone(),
            waiters: VecDeque::new(),
            since: now,
            grants: Vec::new(),
        })
    }

    fn move_to(&mut self, t_ns: u64) {
        self.now = &self.ns * t_ns;
        self.grant_due();
    }

    fn try_acquire(&mut self, n: N) -> Result<bool, String> {
        let Some(cost) = self.fits(n) else { return Ok(false) };
        if cost.is_zero() {
            return Ok(true);
        }
        if !self.waiters.is_empty() || self.missing() + &cost > self.depth() {
            return Ok(false);
        }
        let now = self.now.clone();
        self.take_at(&now, &cost);
        Ok(true)
    }

    fn available(&mut self) -> i64 {
        let level = self.exact_level().expect("known");
        level.floor().to_integer().to_i64().expect("a level beyond 64 bits")
    }

    fn exact_level(&self) -> Option<BigRational> {
        Some(BigRational::new(self.depth() - self.missing(), self.permit()))
    }

    fn wait_needed(&mut self, n: N) -> Option<u64> {
        let cost = self.fits(n)?;
        if cost.is_zero() {
            return Some(0);
        }
        let ahead: BigInt = self.waiters.iter().map(|(_, cost)| cost).sum();
        Some(self.nanos(&(self.missing() + ahead + cost - self.depth())))
    }

    fn time_to_full(&mut self) -> u64 {
        self.nanos(&self.missing())
    }

    fn take_up_to(&mut self, n: u64) -> u64 {
        if !self.waiters.is_empty() {
            return 0;
        }
        let count = n.min(u64::try_from(self.available()).unwrap_or(0));
        let (now, cost) = (self.now.clone(), self.permit() * count);
        if count > 0 {
            self.take_at(&now, &cost);
        }
        count
    }

    fn force_take(&mut self, n: N) -> Result<u64, String> {
        let cost = self.cost(n).ok_or("no such amount")?;
        let now = self.now.clone();
        if !cost.is_zero() {
            self.take_at(&now, &cost);
        }
        Ok(self.nanos(&(self.missing() - self.depth())))
    }

    fn refund(&mut self, n: N) -> Result<(), String> {
        let cost = self.cost(n).ok_or("no such amount")?;
        // Not beyond a full bucket; one that is full already stays as it is.
        let least = self.now.clone().min(self.full_at.clone());
        self.full_at = (&self.full_at - cost).max(least);
        self.changed();
        Ok(())
    }

    fn reset(&mut self) {
        self.full_at = self.full_at.clone().min(self.now.clone());
        self.changed();
    }

    fn set_rate(&mut self, n: u64, period_ns: u64) -> Result<(), String> {
        if n == 0 || period_ns == 0 {
            return Err("no rate".to_owned());
        }
        // In so much smaller units, what was a whole number of the old ones is one at either rate.
        let in_time = BigInt::from(n) * MILLION * &self.millionth;
        let in_permits = BigInt::from(period_ns) * &self.ns;
        let missing = self.missing() * &in_permits;
        self.ns *= &in_time;
        self.now *= &in_time;
        self.since *= &in_time;
        self.millionth *= &in_permits;
        for (_, cost) in &mut self.waiters {
            *cost *= &in_permits;
        }
        self.full_at = &self.now + missing;
        self.changed();
        Ok(())
    }

    fn set_burst(&mut self, burst: u64) -> Result<(), String> {
        if burst == 0 {
            return Err("no burst".to_owned());
        }
        let more = self.permit() * (BigInt::from(burst) - self.burst);
        self.full_at = &self.now + (self.missing() + more).max(BigInt::zero());
        self.burst = burst;
        if self.waiters.iter().any(|(_, cost)| *cost > self.depth()) {
            return Err("the format cannot say what becomes of a waiter for more than the burst".to_owned());
        }
        self.changed();
        Ok(())
    }

    fn acquire(&mut self, id: &str, n: N, max_wait_ns: Option<u64>) -> Acquired {
        let Some(cost) = self.fits(n) else { return Acquired::Error };
        if self.try_acquire(n) == Ok(true) {
            return Acquired::Ready;
        }
        if max_wait_ns.is_some_and(|most| self.wait_needed(n) > Some(most)) {
            return Acquired::Late;
        }
        if self.waiters.is_empty() {
            self.since = self.now.clone();
        }
        self.waiters.push_back((id.to_owned(), cost));
        Acquired::Pending
    }

    fn cancel(&mut self, id: &str) -> bool {
        let before = self.waiters.len();
        self.waiters.retain(|(waiter, _)| waiter != id);
        self.changed();
        self.waiters.len() < before
    }

    fn grants(&mut self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.grants)
    }
}
