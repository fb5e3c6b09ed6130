//! The calls of the plain limiter that do not wait, and changes of its quota.
//!
//! A change waits until all calls have ended that were under way at the one before: so each call is decided by one of two
//! quotas at most, and the search stays small.

use std::time::Duration;

use tidegate::{Denied, ManualClock, Quota, RateLimiter};

use super::{
    calls::Calls,
    checker::{Entry, History},
    random::Random,
    record::{Actor, Slow, Tickets, length, record, wait_ns},
    spec::{Answer, Call, Spec},
};

/// A thread with its plan.
struct Caller<'a> {
    limiter: &'a RateLimiter<Slow>,
    quotas: &'a [Quota],
    under_way: &'a Calls,
    plan: std::vec::IntoIter<Call>,
}

/// Makes a call that is no change of quota, and says what came of it.
pub(crate) fn ask(limiter: &RateLimiter<Slow>, call: Call) -> Answer {
    match call {
        Call::Try(n) => told(limiter.try_acquire_n(n)),
        Call::UpTo(most) => Answer::Count(limiter.try_acquire_up_to(most) as i64),
        Call::Charge(n) => Answer::Wait(limiter.charge(n).expect("a small debt").as_nanos() as u64),
        Call::Refund(n) => told(limiter.refund(n)),
        Call::Reset => {
            limiter.reset();
            Answer::Done
        }
        Call::Available => Answer::Count(limiter.available()),
        Call::Advance(ns) => {
            limiter.clock().0.advance(Duration::from_nanos(ns));
            Answer::Done
        }
        Call::Change(_) => unreachable!("it takes the quotas"),
    }
}

/// What came of a call that takes all or nothing.
pub(crate) fn told(taken: Result<(), impl Into<Denied>>) -> Answer {
    match taken.map_err(Into::into) {
        Ok(()) => Answer::Done,
        Err(denied) => wait_ns(&denied).map_or(Answer::Never, Answer::Wait),
    }
}

impl Caller<'_> {
    fn make(&self, call: Call) -> Answer {
        let Call::Change(i) = call else { return ask(self.limiter, call) };
        self.limiter.set_quota(self.quotas[i]).expect("a small quota");
        Answer::Done
    }
}

impl Actor for Caller<'_> {
    type Spec = Spec;

    fn act(&mut self, tickets: &Tickets) -> Option<Entry<Call, Answer>> {
        let call = self.plan.next()?;
        let note = || tickets.note(call, || self.make(call));
        if let Call::Change(_) = call {
            return Some(self.under_way.between(note));
        }
        let _under_way = self.under_way.begin();
        Some(note())
    }
}

/// The calls of one thread. The first thread moves the clock, and changes quotas if there are several; it does nothing
/// else.
fn plan(random: &mut Random, thread: usize, one_ns: u64, quotas: u64) -> Vec<Call> {
    let call = |random: &mut Random| {
        let n = 1 + random.below(3);
        match random.below(12) {
            0..6 if thread == 0 && quotas > 1 => Call::Change(random.below(quotas) as usize),
            _ if thread == 0 => Call::Advance(random.below(12) * one_ns / 4 + random.below(2)),
            0..=4 => Call::Try(n),
            5 => Call::UpTo(n),
            6 | 7 => Call::Charge(n),
            8 | 9 => Call::Refund(n),
            11 if n == 1 => Call::Reset,
            _ => Call::Available,
        }
    };
    let count = length(random, 2, 3);
    (0..count).map(|_| call(random)).collect()
}

/// Has several threads make random calls at once, by quotas of these rates, the first of them at first; and then looks
/// at what is left.
pub(crate) fn run(random: &mut Random, rates: &[(u64, u64)]) -> (Spec, History<Call, Answer>) {
    let mut quota = |&(permits, period_ns): &(u64, u64)| {
        let burst = 1 + random.below(4);
        let initial = random.below(burst + 1);
        Quota::new(permits, Duration::from_nanos(period_ns)).with_burst(burst).with_initial(initial)
    };
    let quotas: Vec<_> = rates.iter().map(&mut quota).collect();
    let limiter = RateLimiter::with_clock(quotas[0], Slow(ManualClock::new()));
    let under_way = Calls::default();
    let threads = 3 + random.below(2) as usize;
    let one_ns = rates[0].1 / rates[0].0;
    let mut caller = |i| {
        let plan = plan(random, i, one_ns, quotas.len() as u64).into_iter();
        Caller { limiter: &limiter, quotas: &quotas, under_way: &under_way, plan }
    };
    let mut callers: Vec<_> = (0..threads).map(&mut caller).collect();
    let tickets = Tickets::default();
    let mut history = record(&tickets, &mut callers);
    callers[0].plan = vec![Call::Available].into_iter();
    history.push(callers[0].act(&tickets).into_iter().collect());
    (Spec::with(&quotas), history)
}
