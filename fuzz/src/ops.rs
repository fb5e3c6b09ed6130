//! Any sequence of calls that do not wait, and of changes of quota, against exact arithmetic.
//!
//! While the clock goes forward, or back by less than the skew that is allowed for, every answer equals that
//! of the model. Once it has stepped back further, the model goes on with the time that the clock has moved
//! forward in all, and what the limiter admits, the model must admit too: a clock that steps back admits
//! nothing extra. And the limiter goes on from an empty bucket at the latest.
//!
//! A change of quota may cut off less than a tick of the new scale, and a scale that is not exact counts each reading
//! of the clock to less than a tick: by no more than these may an answer then differ.

use std::time::Duration;

use arbitrary::Arbitrary;
use num_bigint::BigInt;
use num_traits::Zero;
use tidegate::{ChargeError, Clock, Denied, Inherit, ManualClock, Permits, QuotaError, RateLimiter};

use super::{
    Extended, decode,
    oracle::{MILLION, Oracle},
};

mod quotas;

use quotas::{Change, Period, earned, fill_ns, finest, pay_ns, plain, with_burst};

/// How far back a clock reading may lie without counting as a step back.
const SKEW_NS: u64 = 1_000_000;

/// A day and an hour: beyond the horizon of the finest scales.
const LONGEST_STEP_NS: u64 = 90_000_000_000_000;

/// With each the numbers of the model become longer.
const MOST_CHANGES: usize = 8;

#[derive(Arbitrary, Debug)]
struct Input {
    permits: u16,
    period: Period,
    burst: u16,
    initial: u16,
    start: u32,
    ops: Vec<Extended<Op, Change>>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Acquire(Weight),
    UpTo(u16),
    Charge(Weight),
    Refund(Weight),
    Reset,
    Advance(u32),
    /// To just before, at, or just after the time that was named last.
    AdvanceToRetry(i8),
    AdvanceFar(u64),
    BackALittle(u16),
    Back(u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Weight {
    One,
    Whole(u16),
    Millionths(u32),
}

impl Weight {
    /// In millionths, of which so many are the least amount. Bounded, so that no debt fills the word.
    fn millionths(self, finest: u64) -> u64 {
        match self {
            Self::One => MILLION,
            Self::Whole(n) => u64::from(n % 2048) * MILLION,
            Self::Millionths(n) => u64::from(n) / finest * finest,
        }
    }
}

/// So many millionths of a permit; fractions only below 2^32 of them.
pub(super) fn permits(millionths: u64) -> Permits {
    if millionths % MILLION == 0 {
        return Permits::from(millionths / MILLION);
    }
    // The nearest millionth to the quotient is the one meant: it is below 2^32 / 10^6.
    let amount = Permits::try_from(millionths as f64 / 1e6).expect("a positive number");
    assert_eq!(amount.whole() * MILLION + u64::from(amount.millionths()), millionths);
    amount
}

struct Run {
    limiter: RateLimiter<ManualClock>,
    clock: ManualClock,
    oracle: Oracle,
    /// The least amount that is asked for, in millionths.
    finest: u64,
    /// Whether the scale is not exact.
    inexact: bool,
    changes: usize,
    /// No reading before this is surely by the present origin.
    start_ns: u64,
    highest_ns: u64,
    /// The time that the clock has moved forward in all, once it has stepped back too far.
    progress_ns: Option<u64>,
    retry_ns: u64,
    /// In millionths: no debt was ever deeper.
    deepest: BigInt,
    /// By how much the clock has stepped back in steps that a limiter does not notice: that time passes twice.
    unnoticed_ns: u64,
}

impl Run {
    fn new(input: &Input) -> Option<Self> {
        let quota = with_burst(plain(input.permits, input.period)?, input.burst, input.initial);
        // Millionths of a permit are exact then.
        let fractions = matches!(input.period, Period::Milliseconds(_));
        let start_ns = u64::from(input.start);
        let clock = ManualClock::starting_at(start_ns);
        let limiter = RateLimiter::try_with_clock(quota, clock.clone()).expect("a small quota");
        Some(Self {
            limiter,
            clock,
            oracle: Oracle::new(&quota, start_ns),
            finest: if fractions { finest(&quota).0 } else { MILLION },
            inexact: false,
            changes: 0,
            start_ns,
            highest_ns: start_ns,
            progress_ns: None,
            retry_ns: 0,
            deepest: BigInt::zero(),
            unnoticed_ns: 0,
        })
    }

    /// The time by which the model goes.
    fn now(&self) -> u64 {
        self.progress_ns.unwrap_or_else(|| self.clock.now())
    }

    fn exact(&self) -> bool {
        self.progress_ns.is_none()
    }

    fn forward(&mut self, ns: u64) {
        self.clock.advance(Duration::from_nanos(ns));
        self.highest_ns = self.highest_ns.max(self.clock.now());
        if let Some(progress_ns) = &mut self.progress_ns {
            *progress_ns = progress_ns.saturating_add(ns);
        }
        self.oracle.set_now(self.now());
    }

    fn back(&mut self, ns: u64) {
        let now = self.clock.now();
        let then = now.saturating_sub(ns);
        let far = self.highest_ns - then >= SKEW_NS || then < self.start_ns;
        if far && self.inexact {
            // The origin may be moved, each time by less than a tick.
            return;
        }
        self.clock.set(then);
        if now - then <= SKEW_NS {
            self.unnoticed_ns += now - then;
        }
        if self.exact() && far {
            // What was admitted at the highest reading must stay admissible: the model goes on from there.
            self.progress_ns = Some(self.highest_ns);
        }
        self.oracle.set_now(self.now());
    }

    /// Whether the limiter may tell this time until there are so many.
    fn is_right(&self, told: Duration, millionths: u64, what: &str) {
        let (least, most) = self.oracle.wait_with_within(0, millionths, told);
        let told = told.as_nanos();
        let right = least <= told.into() && most >= told.into();
        assert!(right, "{what}: {told} ns, not {least} to {most}");
    }

    /// The model takes whatever the limiter admitted, if it can. The limiter must refuse what the model refuses.
    fn acquire(&mut self, millionths: u64) {
        let never = millionths > self.limiter.quota().burst() * MILLION;
        let agrees = |fits| millionths == 0 || self.oracle.agrees(millionths, fits);
        match self.limiter.try_acquire_n(permits(millionths)) {
            Ok(()) => {
                assert!(!never, "admitted more than a burst");
                assert!(agrees(true), "admitted too early");
                self.oracle.take(millionths);
            }
            Err(Denied::TooMany(_)) => assert!(never, "never, but it is no more than a burst"),
            Err(Denied::NotYet(not_yet)) => {
                let retry_after = not_yet.retry_after();
                assert!(!never, "not yet, but it is never");
                if self.exact() {
                    assert!(agrees(false), "refused, but it is there");
                    self.is_right(retry_after, millionths, "to retry after");
                }
                self.retry_ns = retry_after.as_nanos() as u64;
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn up_to(&mut self, most: u64) {
        let (least, there) = self.oracle.available_within(0);
        let taken = self.limiter.try_acquire_up_to(most);
        let bound = there.clone().max(BigInt::zero()).min(most.into());
        assert!(BigInt::from(taken) <= bound, "{taken} taken of {there}");
        assert!(
            !self.exact() || BigInt::from(taken) >= least.clone().min(most.into()),
            "{taken} taken of {least}"
        );
        self.oracle.take(taken * MILLION);
    }

    fn charge(&mut self, millionths: u64) {
        match self.limiter.charge(permits(millionths)) {
            Ok(wait) => {
                self.oracle.take(millionths);
                self.deepest += millionths;
                if self.exact() {
                    self.is_right(wait, 0, "until the debt is paid");
                }
            }
            // A limiter whose clock is behind by hours may have no room in its word.
            Err(ChargeError::DebtTooDeep { .. }) if !self.exact() => {}
            // Just before its origin is moved, the limiter may refuse a debt that it takes elsewhere.
            Err(ChargeError::DebtTooDeep { .. }) => {
                let mut charged = self.oracle.clone();
                charged.take(millionths);
                assert!(charged.available() < BigInt::zero(), "refused, but it is no debt");
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn change(&mut self, change: Change) {
        let from = self.limiter.quota();
        let Some((to, inherit)) = change.from(from) else { return };
        let (finest, inexact) = finest(&to);
        // What a clock that is behind makes look like debt is none for the limiter, once that is in other ticks.
        let behind = self.highest_ns > self.clock.now() && self.oracle.available() < BigInt::zero();
        let is_behind = behind || !self.exact();
        if self.changes == MOST_CHANGES || (is_behind && (self.inexact || inexact)) {
            return;
        }
        self.changes += 1;
        if behind && self.exact() {
            self.progress_ns = Some(self.highest_ns);
            self.oracle.set_now(self.highest_ns);
        }
        let mut changed = self.oracle.clone();
        changed.change(&from, &to, to.burst(), inherit);
        match self.limiter.set_quota_with(to, inherit) {
            Ok(()) => {}
            Err(QuotaError::DebtTooDeep { .. }) => {
                let debt = changed.available() < BigInt::zero();
                assert!(!self.exact() || debt, "refused, but it is no debt");
                assert_eq!(self.limiter.quota(), from, "refused, and made");
                return;
            }
            Err(other) => panic!("{other}"),
        }
        assert_eq!(self.limiter.quota(), to);
        (self.oracle, self.finest, self.inexact) = (changed, finest, inexact);
        if self.highest_ns > self.clock.now() {
            // A step back that is no longer than the skew looks like a debt, which is kept in permits.
            self.deepest += earned(&from, SKEW_NS);
        }
        // A permit more, for what is cut off.
        let (old, new) = (from.burst(), to.burst());
        self.deepest = MILLION
            + match inherit {
                Inherit::Additively => &self.deepest + old.saturating_sub(new) * MILLION,
                Inherit::Proportionally => (&self.deepest * new / old).max(self.deepest.clone()),
                _ => self.deepest.clone(),
            };
        // The origin is a burst back.
        self.start_ns = self.clock.now().saturating_sub(fill_ns(&to));
    }

    /// The reports, which take nothing.
    fn check(&self) {
        if !self.exact() {
            return;
        }
        let there = BigInt::from(self.limiter.available());
        let (least, most) = self.oracle.available_within(0);
        assert!(least <= there && there <= most, "{there} are there, not {least} to {most}");
        let burst = self.limiter.quota().burst() * MILLION;
        self.is_right(self.limiter.time_until_full(), burst, "time until full");
        for millionths in [MILLION, self.finest] {
            let told = self.limiter.time_until(permits(millionths)).expect("less than a burst");
            self.is_right(told, millionths, "time until");
            assert_eq!(self.limiter.has_capacity(permits(millionths)), told.is_zero());
        }
    }

    /// However the clock stepped, a caller that comes back when told to is admitted within the time that the deepest
    /// debt and one permit take to come, the skew, and the steps back that were not noticed.
    ///
    /// The same goes for a caller that only looks.
    fn comes_back(&mut self, looks: bool) {
        let longest_ns = pay_ns(&self.limiter.quota(), &self.deepest + MILLION);
        let mut left_ns = longest_ns.saturating_add(SKEW_NS + 2 + self.unnoticed_ns);
        loop {
            let told = if looks {
                self.limiter.time_until(1).expect("no more than a burst")
            } else if let Err(denied) = self.limiter.try_acquire() {
                denied.retry_after().expect("no more than a burst")
            } else {
                return;
            };
            let told_ns = told.as_nanos() as u64;
            if looks && told_ns == 0 {
                return self.limiter.try_acquire().expect("it is there");
            }
            assert!(told_ns > 0 && told_ns <= left_ns, "{told:?}; {left_ns} ns left: {:?}", self.limiter);
            left_ns -= told_ns;
            self.forward(told_ns);
        }
    }
}

/// Runs the calls that these bytes stand for.
pub fn run(bytes: &[u8]) {
    let Some(input) = decode::<Input>(bytes) else { return };
    let Some(mut run) = Run::new(&input) else { return };
    for &op in input.ops.iter().take(200) {
        let op = match op {
            Extended::First(op) => op,
            Extended::Added(change) => {
                run.change(change);
                run.check();
                continue;
            }
        };
        match op {
            Op::Acquire(weight) => run.acquire(weight.millionths(run.finest)),
            Op::UpTo(most) => run.up_to(most.into()),
            Op::Charge(weight) => run.charge(weight.millionths(run.finest)),
            Op::Refund(weight) => {
                let millionths = weight.millionths(run.finest);
                run.limiter.refund(permits(millionths)).expect("a positive number");
                run.oracle.refund(millionths);
            }
            Op::Reset => {
                run.limiter.reset();
                run.oracle.reset();
            }
            Op::Advance(ns) => run.forward(ns.into()),
            Op::AdvanceToRetry(off) => {
                let ns = run.retry_ns.saturating_add_signed(off.signum().into());
                run.forward(ns.min(LONGEST_STEP_NS));
            }
            Op::AdvanceFar(ns) => run.forward(ns % LONGEST_STEP_NS),
            Op::BackALittle(ns) => run.back(ns.into()),
            Op::Back(ns) => run.back(ns % LONGEST_STEP_NS),
        }
        run.check();
    }
    run.comes_back(input.initial & 1 > 0);
}
