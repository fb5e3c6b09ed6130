//! A clock that is set back and forth, by far more than one thread's reading may lie behind another's, for all the ways
//! in which one thread uses a limiter: it admits nothing extra, and comes back into use.

use std::time::Duration;

use proptest::prelude::*;
use tidegate::{Clock, Denied, ManualClock, Quota, RateLimiter};

use super::{
    subjects::{Alone, InHand, InSlots, Queued, Subject},
    windows::{Log, check_windows},
};

const MS: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    /// By less than is noticed, and by more.
    Back(u64),
    /// To half of what it shows.
    FarBack,
    Take(u64),
    TakeUpTo(u64),
}

fn back() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_000 * MS).prop_map(Step::Back),
        2 => (0..MS).prop_map(Step::Back),
        1 => Just(Step::FarBack),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..2_000 * MS).prop_map(Step::Advance),
        2 => back(),
        3 => (1..6_u64).prop_map(Step::Take),
        1 => (1..6_u64).prop_map(Step::TakeUpTo),
    ];
    prop::collection::vec(step, 1..120)
}

fn quota() -> impl Strategy<Value = Quota> {
    // Some with a burst of which a part is set aside where permits are parked.
    (1..50_u64, prop_oneof![1..10_u64, 10..80_u64], prop::sample::select(vec![0, 10])).prop_map(
        |(permits, burst, catch_up_ms)| {
            Quota::per_second(permits).with_burst(burst).with_catch_up(Duration::from_millis(catch_up_ms))
        },
    )
}

/// The subject and what it has admitted, by the time that has really passed: what the clock went forward. A step back
/// takes none.
struct Run<S> {
    subject: S,
    clock: ManualClock,
    passed_ns: u64,
    log: Log,
}

impl<S: Subject> Run<S> {
    fn new(quota: Quota) -> Self {
        let clock = ManualClock::starting_at(3_600_000 * MS);
        let subject = S::new(RateLimiter::with_clock(quota, clock.clone()));
        let mut this = Self { subject, clock, passed_ns: 0, log: Log::new() };
        this.look();
        this
    }

    fn advance(&mut self, ns: u64) {
        self.clock.advance(Duration::from_nanos(ns));
        self.passed_ns += ns;
    }

    /// Whether a waiter was granted in the step before; `None` if there are never waiters.
    fn look(&mut self) -> Option<bool> {
        let served = self.subject.served()?;
        let now = self.clock.now();
        // If it was on the way, so long ago.
        self.log.extend(served.iter().map(|&(at, n)| (self.passed_ns - (now - at), n)));
        Some(!served.is_empty())
    }

    fn take(&mut self, n: u64) -> Result<(), Denied> {
        let outcome = self.subject.try_acquire_n(n.into());
        if outcome.is_ok() {
            self.log.push((self.passed_ns, n));
        }
        outcome
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Advance(ns) => self.advance(ns),
            Step::Back(ns) => self.clock.set(self.clock.now().saturating_sub(ns)),
            Step::FarBack => self.clock.set(self.clock.now() / 2),
            Step::Take(n) => _ = self.take(n),
            Step::TakeUpTo(n) => self.log.push((self.passed_ns, self.subject.limiter().try_acquire_up_to(n))),
        }
        self.look();
    }

    /// Asks for a permit now and after each `pause_ns`, or else after the wait of the refusal; a waiter in the queue
    /// just waits. Returns whether a permit is granted in time. A pause may delay the grant by as much.
    fn comes_into_use(&mut self, longest_ns: u64, pause_ns: Option<u64>) -> bool {
        let until_ns = self.passed_ns + longest_ns;
        loop {
            let told_ns = match self.look() {
                Some(true) => return true,
                // It is served on the way.
                Some(false) => longest_ns,
                None => match self.take(1) {
                    Ok(()) => return true,
                    Err(denied) => denied.retry_after().expect("not never").as_nanos() as u64,
                },
            };
            if self.passed_ns >= until_ns + pause_ns.unwrap_or(0) || told_ns > longest_ns {
                return false;
            }
            self.advance(pause_ns.unwrap_or(told_ns));
        }
    }
}

/// How long it may be out of use: the time that fills the bucket, and that of what is asked for, each to the end of a
/// nanosecond, and two milliseconds.
fn longest_ns(quota: &Quota, asked: u64) -> u64 {
    let time = |permits: u64| {
        let ns = u128::from(permits) * quota.period().as_nanos();
        ns.div_ceil(quota.permits().into()) as u64
    };
    time(quota.burst()) + time(asked) + 2 * MS
}

fn admits_nothing_extra<S: Subject>(
    quota: Quota,
    steps: &[Step],
    last: Step,
    pauses: u64,
) -> Result<(), TestCaseError> {
    let mut run = Run::<S>::new(quota);
    for &step in steps {
        run.apply(step);
    }
    run.apply(last);
    // The waiter in the queue waits for a whole burst.
    let asked = if run.look().is_some() { quota.burst() } else { 1 };
    let (longest_ns, since_ns) = (longest_ns(&quota, asked), run.passed_ns);
    let in_use = run.comes_into_use(longest_ns, (pauses > 0).then(|| longest_ns.div_ceil(pauses)));
    prop_assert!(in_use, "out of use for {} ns", run.passed_ns - since_ns);
    // No other caller may use the catch-up.
    let catch_up_ns = if run.look().is_some() { quota.catch_up().as_nanos() as u64 } else { 0 };
    check_windows(&quota, catch_up_ns, &run.log)
}

proptest! {
    #[test]
    fn a_clock_that_is_set_back_admits_nothing_extra(quota in quota(), steps in steps(), last in back(), pauses in 0..40_u64) {
        admits_nothing_extra::<Alone>(quota, &steps, last, pauses)?;
    }

    #[test]
    fn a_clock_that_is_set_back_admits_nothing_extra_while_somebody_waits(
        quota in quota(),
        steps in steps(),
        last in back(), pauses in 0..40_u64,
    ) {
        admits_nothing_extra::<Queued>(quota, &steps, last, pauses)?;
    }

    #[test]
    fn a_clock_that_is_set_back_admits_nothing_extra_by_slots(quota in quota(), steps in steps(), last in back(), pauses in 0..40_u64) {
        admits_nothing_extra::<InSlots>(quota, &steps, last, pauses)?;
    }

    #[test]
    fn a_clock_that_is_set_back_admits_nothing_extra_by_hand(quota in quota(), steps in steps(), last in back(), pauses in 0..40_u64) {
        admits_nothing_extra::<InHand>(quota, &steps, last, pauses)?;
    }
}
