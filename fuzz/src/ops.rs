//! Any sequence of calls that do not wait, against the exact model.
//!
//! While the clock goes forward, or back by less than the skew that is allowed for, every answer equals that
//! of the model. Once it has stepped back further, the model goes on with the time that the clock has moved
//! forward in all, and what the limiter admits, the model must admit too: a clock that steps back admits
//! nothing extra. And the limiter must come back within the time that its bucket takes to fill.

use std::time::Duration;

use arbitrary::Arbitrary;
use tidegate::{Clock, Denied, ManualClock, Permits, Quota, RateLimiter};

use super::{decode, model::Model};

/// How far back a clock reading may lie without being doubted.
const SKEW_NS: u64 = 1_000_000;

/// A day and an hour: beyond the horizon of the finest scales.
const LONGEST_STEP_NS: u64 = 90_000_000_000_000;

#[derive(Arbitrary, Debug)]
struct Input {
    permits: u16,
    period: Period,
    burst: u16,
    initial: u16,
    start: u32,
    ops: Vec<Op>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Period {
    /// Millionths of a permit are exact then.
    Milliseconds(u16),
    Nanoseconds(u32),
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
    /// In millionths. Bounded, so that no debt fills the word.
    fn millionths(self, fractions: bool) -> u64 {
        match self {
            Self::One => 1_000_000,
            Self::Whole(n) => u64::from(n % 2048) * 1_000_000,
            Self::Millionths(n) if fractions => u64::from(n),
            Self::Millionths(n) => u64::from(n) / 1_000_000 * 1_000_000,
        }
    }
}

/// So many millionths of a permit; fractions only below 2^32 of them.
pub(super) fn permits(millionths: u64) -> Permits {
    if millionths.is_multiple_of(1_000_000) {
        return Permits::from(millionths / 1_000_000);
    }
    // The nearest millionth to the quotient is the one meant: it is below 2^32 / 10^6.
    let amount = Permits::try_from(millionths as f64 / 1e6).expect("a positive number");
    assert_eq!(amount.whole() * 1_000_000 + u64::from(amount.millionths()), millionths);
    amount
}

struct Run {
    limiter: RateLimiter<ManualClock>,
    clock: ManualClock,
    model: Model,
    start_ns: u64,
    highest_ns: u64,
    /// The time that the clock has moved forward in all, once it has stepped back too far.
    progress_ns: Option<u64>,
    retry_ns: u64,
    /// The sum of the charges, in millionths: no debt was ever deeper.
    charged: u64,
}

impl Run {
    fn new(input: &Input) -> Option<(Self, bool)> {
        let count = u64::from(input.permits) % 1000 + 1;
        let (period_ns, fractions) = match input.period {
            Period::Milliseconds(n) => ((u64::from(n) + 1) * 1_000_000, true),
            Period::Nanoseconds(n) => (u64::from(n) + 1, false),
        };
        let burst = u64::from(input.burst) % 1000 + 1;
        let initial = u64::from(input.initial) % (burst + 1);
        let start_ns = u64::from(input.start);
        let quota = Quota::try_new(count, Duration::from_nanos(period_ns)).ok()?;
        let quota = quota.burst(burst).initial(initial);
        let clock = ManualClock::starting_at(start_ns);
        let limiter = RateLimiter::try_with_clock(quota, clock.clone()).expect("a small quota");
        let model = Model::new(count, period_ns, burst, initial, start_ns);
        let run = Self {
            limiter,
            clock,
            model,
            start_ns,
            highest_ns: start_ns,
            progress_ns: None,
            retry_ns: 0,
            charged: 0,
        };
        Some((run, fractions))
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
            *progress_ns += ns;
        }
    }

    fn back(&mut self, ns: u64) {
        let now = self.clock.now();
        let then = now.saturating_sub(ns);
        self.clock.set(then);
        if self.exact() && (self.highest_ns - then >= SKEW_NS || then < self.start_ns) {
            // What was admitted at the highest reading must stay admissible: the model goes on from there.
            self.progress_ns = Some(self.highest_ns);
        }
    }

    /// What the limiter admitted, the model takes too, if it can; refusals must be those of the model.
    fn acquire(&mut self, millionths: u64) {
        let wait = self.model.time_until(millionths, self.now());
        match self.limiter.try_acquire_n(permits(millionths)) {
            Ok(()) => {
                assert!(!self.model.is_never(millionths), "admitted more than a burst");
                assert_eq!(wait, 0, "admitted too early, in ns");
                self.model.charge(millionths, self.now());
            }
            Err(Denied::Never { .. }) => assert!(self.model.is_never(millionths)),
            Err(Denied::NotYet { retry_after }) => {
                assert!(!self.model.is_never(millionths), "not yet, but it is never");
                self.retry_ns = retry_after.as_nanos() as u64;
                if self.exact() {
                    assert!(wait > 0, "refused, but it is there");
                    assert_eq!(i128::from(self.retry_ns), wait, "another time to retry after");
                }
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn up_to(&mut self, most: u64) {
        let there = self.model.available(self.now()).max(0) as u64;
        let taken = self.limiter.try_acquire_up_to(most);
        assert!(taken <= most && taken <= there, "{taken} taken of {there}");
        assert!(!self.exact() || taken == most.min(there), "{taken} taken of {there}");
        self.model.charge(taken * 1_000_000, self.now());
    }

    fn charge(&mut self, millionths: u64) {
        match self.limiter.charge(permits(millionths)) {
            Ok(wait) => {
                self.model.charge(millionths, self.now());
                self.charged += millionths;
                if self.exact() {
                    let paid = self.model.time_until_paid(self.now());
                    assert_eq!(wait.as_nanos() as i128, paid, "another time until the debt is paid");
                }
            }
            // A limiter whose clock is behind by hours may have no room in its word.
            Err(Denied::DebtTooDeep { .. }) if !self.exact() => {}
            // Just before its origin is moved, the limiter may refuse a debt that it takes elsewhere.
            Err(Denied::DebtTooDeep { .. }) => {
                let mut charged = self.model.clone();
                charged.charge(millionths, self.now());
                assert!(charged.available(self.now()) < 0, "refused, but it is no debt");
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// The reports, which take nothing.
    fn check(&self, fractions: bool) {
        if !self.exact() {
            return;
        }
        let now = self.now();
        assert_eq!(i128::from(self.limiter.available()), self.model.available(now), "available");
        let full = self.limiter.time_until_full().as_nanos() as i128;
        assert_eq!(full, self.model.time_until_full(now), "time until full");
        for millionths in [1_000_000, u64::from(fractions)] {
            let wait = self.model.time_until(millionths, now);
            let told = self.limiter.time_until(permits(millionths)).expect("less than a burst");
            assert_eq!(told.as_nanos() as i128, wait, "time until {millionths} millionths");
            assert_eq!(self.limiter.has_capacity(permits(millionths)), wait == 0);
        }
    }

    /// However the clock stepped, somebody who comes back when told to is admitted within the time that a
    /// bucket takes to fill, twice that of the deepest debt, that of one permit, and twice the skew: until its
    /// clock is trusted again, and then until there is one. Each of the two is rounded up by itself.
    fn comes_back(&mut self) {
        let longest_ns = self.model.time_to_fill(2 * self.charged + 1_000_000) as u64 + 2 * SKEW_NS;
        let mut left_ns = longest_ns + 2;
        while let Err(denied) = self.limiter.try_acquire() {
            let retry_ns = denied.retry_after().expect("no more than a burst").as_nanos() as u64;
            assert!(retry_ns > 0 && retry_ns <= left_ns, "{denied}; {left_ns} ns left: {:?}", self.limiter);
            left_ns -= retry_ns;
            self.forward(retry_ns);
        }
    }
}

/// Runs the calls that these bytes stand for.
pub fn run(bytes: &[u8]) {
    let Some(input) = decode::<Input>(bytes) else { return };
    let Some((mut run, fractions)) = Run::new(&input) else { return };
    for &op in input.ops.iter().take(200) {
        match op {
            Op::Acquire(weight) => run.acquire(weight.millionths(fractions)),
            Op::UpTo(most) => run.up_to(most.into()),
            Op::Charge(weight) => run.charge(weight.millionths(fractions)),
            Op::Refund(weight) => {
                let millionths = weight.millionths(fractions);
                run.limiter.refund(permits(millionths)).expect("a positive number");
                let now = run.now();
                run.model.refund(millionths, now);
            }
            Op::Reset => {
                run.limiter.reset();
                let now = run.now();
                run.model.reset(now);
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
        run.check(fractions);
    }
    run.comes_back();
}
