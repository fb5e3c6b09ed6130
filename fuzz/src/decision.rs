//! The decision alone, against exact arithmetic, for every quota that a limiter accepts: from one permit a year to a
//! trillion a second, from the smallest burst to the largest. The clock starts anywhere and advances by nothing or by
//! years.
//!
//! Where the scale is exact, every answer equals that of the model, to the nanosecond. Where it is not, an answer has
//! to be that of the model for a level that is off by less than a tick, however many calls there were before; and the
//! model goes on with what the limiter has decided. There a run keeps to one origin: each that is moved may put the
//! level off by one tick more.

use std::time::Duration;

use arbitrary::Arbitrary;
use num_bigint::BigInt;
use num_integer::Integer;
use tidegate::{ChargeError, Clock, Denied, ManualClock, Permits, Quota, QuotaError, RateLimiter};

use super::{
    decode,
    ops::permits,
    oracle::{MILLION, Oracle, Tick, grain, inexact_ticks},
};

/// The last clock reading but one, so that there is always a later one to come back at.
const LAST_NS: u64 = u64::MAX - 1;

const YEAR_NS: u64 = 31_557_600_000_000_000;

#[derive(Arbitrary, Debug)]
struct Input {
    rate: Rate,
    burst: Burst,
    /// In parts of 256 of the burst.
    initial: u8,
    start: Magnitude,
    ops: Vec<Op>,
}

/// A number of so many bits, so that small ones are as likely as large ones.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Magnitude {
    bits: u8,
    number: u64,
}

impl Magnitude {
    fn value(self) -> u64 {
        self.number >> (self.bits % 64)
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Rate {
    AYear(u8),
    TrillionASecond,
    /// About a million a second, where the scales stop being exact.
    ASecond(u32),
    Any(Magnitude, Magnitude),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Burst {
    Any(Magnitude),
    /// The largest that is accepted, less so many.
    Largest(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Acquire(Weight),
    Charge(Weight),
    Refund(Weight),
    Advance(Magnitude),
    /// To just before, at, or just after the time that was named last.
    AdvanceToRetry(i8),
    Years(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Weight {
    /// So many millionths, rounded down to what is a whole number of ticks.
    Part(u32),
    Whole(Magnitude),
    /// The permits available, and so many more.
    There(i8),
    /// The burst, and so many more.
    Burst(i8),
}

impl Rate {
    fn quota(self) -> Option<Quota> {
        let (permits, period_ns) = match self {
            Self::AYear(n) => (u64::from(n) + 1, YEAR_NS),
            Self::TrillionASecond => (1_000_000_000_000, 1_000_000_000),
            Self::ASecond(n) => (u64::from(n) + 1, 1_000_000_000),
            Self::Any(permits, period) => (permits.value(), period.value()),
        };
        Quota::try_new(permits, Duration::from_nanos(period_ns)).ok()
    }
}

impl Burst {
    fn of(self, quota: Quota) -> Option<Quota> {
        let burst = match self {
            Self::Any(burst) => burst.value(),
            Self::Largest(less) => {
                let all = quota.with_burst(u64::MAX);
                match RateLimiter::try_with_clock(all, ManualClock::new()) {
                    Err(QuotaError::BurstTooDeep { max, .. }) => {
                        let above =
                            RateLimiter::try_with_clock(quota.with_burst(max + 1), ManualClock::new());
                        assert!(above.is_err(), "a burst above the largest");
                        max.saturating_sub(less.into()).max(1)
                    }
                    _ => return None,
                }
            }
        };
        quota.try_with_burst(burst).ok()
    }
}

/// An amount as the limiter and as the model take it.
#[derive(Clone, Copy, Debug)]
struct Cost {
    permits: Permits,
    millionths: u128,
}

impl Cost {
    fn whole(permits: u64) -> Self {
        Self { permits: permits.into(), millionths: u128::from(permits) * u128::from(MILLION) }
    }

    fn millionths(millionths: u64) -> Self {
        Self { permits: permits(millionths), millionths: millionths.into() }
    }
}

struct Run {
    limiter: RateLimiter<ManualClock>,
    clock: ManualClock,
    oracle: Oracle,
    burst: u64,
    /// Ticks to a permit, where the scale is not exact.
    ticks: Option<u64>,
    /// How long such a scale lasts.
    horizon_ns: u64,
    /// The last clock reading that is surely by the first origin, which is no more than half of that before the start.
    last_ns: u64,
    /// The smallest amount that is a whole number of ticks, in millionths.
    finest: u64,
    retry_ns: u64,
}

impl Run {
    fn new(input: &Input) -> Option<Self> {
        let quota = input.burst.of(input.rate.quota()?)?;
        let burst = quota.burst();
        let initial = u128::from(burst) * u128::from(input.initial) / 255;
        let quota = quota.with_initial(initial as u64);
        let start_ns = input.start.value().min(LAST_NS);
        let clock = ManualClock::starting_at(start_ns);
        let grain = grain(&quota);
        let ticks = if grain.is_some() { None } else { inexact_ticks(&quota) };
        let limiter = match RateLimiter::try_with_clock(quota, clock.clone()) {
            Ok(limiter) => limiter,
            Err(error) => {
                assert!(grain.is_none() && ticks.is_none(), "{quota} has a scale: {error}");
                return None;
            }
        };
        let finest = MILLION / grain.or(ticks.map(|ticks| ticks.gcd(&MILLION)))?;
        let oracle = Oracle::new(&quota, start_ns);
        let horizon_ns = ticks.map_or(u64::MAX, |ticks| inexact_horizon_ns(&quota, ticks));
        let last_ns = match ticks {
            Some(_) => start_ns.saturating_add(horizon_ns.saturating_sub(2) / 2).min(LAST_NS),
            None => LAST_NS,
        };
        Some(Self { limiter, clock, oracle, burst, ticks, horizon_ns, last_ns, finest, retry_ns: 0 })
    }

    fn cost(&self, weight: Weight) -> Cost {
        let about = |permits: u64, more: i8| Cost::whole(permits.saturating_add_signed(more.into()));
        match weight {
            Weight::Part(n) => Cost::millionths(u64::from(n) / self.finest * self.finest),
            Weight::Whole(permits) => Cost::whole(permits.value()),
            Weight::There(more) => about(self.limiter.available().max(0) as u64, more),
            Weight::Burst(more) => about(self.burst, more),
        }
    }

    fn forward(&mut self, ns: u64) {
        self.clock.set(self.clock.now().saturating_add(ns).min(self.last_ns));
        self.oracle.set_now(self.clock.now());
    }

    /// The tick of a scale that is not exact, for what is to come after so many nanoseconds.
    fn tick(&self, wait_ns: u64) -> Option<Tick> {
        let far_ns = self.horizon_ns.min(self.clock.now()).saturating_add(wait_ns);
        self.ticks.map(|parts| Tick { parts, far_ns })
    }

    fn is_right(&self, told: Duration, millionths: impl Into<BigInt>, what: &str) {
        let (least, most) = match self.tick(told.as_nanos() as u64) {
            None => {
                let wait = self.oracle.wait_for_level(millionths);
                (wait.clone(), wait)
            }
            Some(tick) => self.oracle.clone().within(tick).wait_within(millionths, tick),
        };
        // It need not be told beyond the end of time.
        let now = self.clock.now();
        let least = least.min(BigInt::from(u64::MAX - now));
        let told = BigInt::from(told.as_nanos());
        let right = least <= told && told <= most;
        assert!(right, "{what}: {told} ns, not {least} to {most}; {:?} at {now}", self.limiter);
    }

    fn acquire(&mut self, cost: Cost) {
        let never = cost.millionths > u128::from(self.burst) * u128::from(MILLION);
        match self.limiter.try_acquire_n(cost.permits) {
            Ok(()) => {
                assert!(!never, "admitted more than a burst");
                if cost.millionths > 0 {
                    self.is_right(Duration::ZERO, cost.millionths, "admitted too early");
                }
                self.oracle.take(cost.millionths);
            }
            Err(Denied::TooMany(_)) => assert!(never, "never, but it is no more than a burst"),
            Err(Denied::NotYet(not_yet)) => {
                let retry_after = not_yet.retry_after();
                assert!(!never, "not yet, but it is never");
                assert!(!retry_after.is_zero(), "to come back at once");
                self.is_right(retry_after, cost.millionths, "to retry after");
                self.retry_ns = retry_after.as_nanos() as u64;
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn charge(&mut self, cost: Cost) {
        let mut charged = self.oracle.clone();
        charged.take(cost.millionths);
        let deepest = -BigInt::from(self.burst);
        if self.ticks.is_some() && charged.available() <= deepest {
            // For more than that the origin may be moved.
            return;
        }
        match self.limiter.charge(cost.permits) {
            Ok(paid) => {
                self.oracle = charged;
                self.is_right(paid, 0, "until the debt is paid");
                self.retry_ns = paid.as_nanos() as u64;
            }
            Err(ChargeError::DebtTooDeep { .. }) => {
                assert!(charged.available() < deepest, "there is room for a burst of debt");
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// The reports, which take nothing.
    fn check(&self) {
        let there = BigInt::from(self.limiter.available());
        let (least, most) = match self.tick(0) {
            None => (self.oracle.available(), self.oracle.available()),
            Some(tick) => self.oracle.clone().within(tick).available_within(0),
        };
        assert!(least <= there && there <= most, "{there} are there, not {least} to {most}");
        let burst = Cost::whole(self.burst);
        self.is_right(self.limiter.time_until_full(), burst.millionths, "until the burst is full");
        for cost in [Cost::millionths(self.finest), Cost::whole(1), burst] {
            let told = self.limiter.time_until(cost.permits).expect("no more than a burst");
            self.is_right(told, cost.millionths, "time until");
            assert_eq!(self.limiter.has_capacity(cost.permits), told.is_zero(), "{cost:?}");
        }
    }
}

/// How long a word of so many ticks to a permit lasts. It says again what `gcra.rs` promises.
fn inexact_horizon_ns(quota: &Quota, ticks: u64) -> u64 {
    let room = (1_u128 << 62) - 1 - 2 * u128::from(quota.burst()) * u128::from(ticks);
    let ns = BigInt::from(room) * quota.period().as_nanos() / (BigInt::from(quota.permits()) * ticks);
    u64::try_from(ns).unwrap_or(u64::MAX)
}

/// Runs the calls that these bytes stand for.
pub fn run(bytes: &[u8]) {
    let Some(input) = decode::<Input>(bytes) else { return };
    let Some(mut run) = Run::new(&input) else { return };
    run.check();
    for &op in input.ops.iter().take(200) {
        match op {
            Op::Acquire(weight) => run.acquire(run.cost(weight)),
            Op::Charge(weight) => run.charge(run.cost(weight)),
            Op::Refund(weight) => {
                let cost = run.cost(weight);
                run.limiter.refund(cost.permits).expect("a positive number");
                run.oracle.refund(cost.millionths);
            }
            Op::Advance(ns) => run.forward(ns.value()),
            Op::AdvanceToRetry(off) => run.forward(run.retry_ns.saturating_add_signed(off.signum().into())),
            Op::Years(years) => run.forward(u64::from(years) * YEAR_NS),
        }
        run.check();
    }
}
