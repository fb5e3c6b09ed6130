//! Groups, that is, who waits for several limits at once, beside those who wait for one of them, and calls that do not
//! wait: while the clock stands still, so that what comes comes from others. In the end it moves alone, until all are
//! served. (The other calls of several limits, while it moves, are in `several.rs`.)
//!
//! Not even a late reading can make a difference while the clock stands still. While it moves beside others, each step
//! of a group would be by as many readings as there are limits; this is left to the tests of `tests/several/`.

use std::{future::Future, pin::Pin, time::Duration};

use tidegate::{Denied, ManualClock, RateLimiter};

use super::{
    checker::{Entry, History},
    groups_spec::{Call, Quota, Spec},
    random::Random,
    record::{Actor, Slow, Tickets, length, poll, record},
    several::{all_of, amounts},
    timed::told,
    timed_spec::Answer,
};

/// A future of one limiter or of all.
type Waiting<'a> = Pin<Box<dyn Future<Output = Result<(), Denied>> + Send + 'a>>;

/// A thread with its plan, and its future.
struct Caller<'a> {
    limiters: &'a [RateLimiter<Slow>],
    /// Whether it names the limits from the last to the first.
    backwards: bool,
    future: Option<Waiting<'a>>,
    plan: std::vec::IntoIter<Call>,
}

impl Caller<'_> {
    fn make(&mut self, call: Call) -> Answer {
        let limiters = self.limiters;
        match call {
            Call::Try(i, n) => told(limiters[i].try_acquire_n(n)),
            Call::TryAll(amounts) => told(all_of(limiters, amounts, self.backwards).try_acquire()),
            Call::Charge(i, n) => {
                Answer::Wait(limiters[i].charge(n).expect("a small debt").as_nanos() as u64)
            }
            Call::Refund(i, n) => told(limiters[i].refund(n)),
            Call::Available(i) => Answer::Count(limiters[i].available()),
            Call::Join(i, n) => {
                self.future = Some(Box::pin(limiters[i].acquire_n(n)));
                self.poll()
            }
            Call::JoinAll(amounts) => {
                self.future = Some(Box::pin(all_of(limiters, amounts, self.backwards).acquire()));
                self.poll()
            }
            Call::Poll => self.poll(),
            Call::Leave => {
                self.future = None;
                Answer::Done
            }
            Call::Advance(ns) => {
                limiters[0].clock().0.advance(Duration::from_nanos(ns));
                Answer::Done
            }
        }
    }

    fn poll(&mut self) -> Answer {
        poll(&mut self.future).map_or(Answer::Pending, told)
    }
}

impl Actor for Caller<'_> {
    type Spec = Spec;

    fn act(&mut self, tickets: &Tickets) -> Option<Entry<Call, Answer>> {
        let call = match self.plan.next()? {
            // One future at a time.
            Call::Join(_, 1) | Call::JoinAll([1, ..]) if self.future.is_some() => Call::Leave,
            Call::Join(..) | Call::JoinAll(_) if self.future.is_some() => Call::Poll,
            Call::Poll | Call::Leave if self.future.is_none() => Call::JoinAll([1, 1, 0]),
            call => call,
        };
        Some(tickets.note(call, || self.make(call)))
    }
}

/// The calls of one thread.
fn plan(random: &mut Random, count: usize) -> Vec<Call> {
    let call = |random: &mut Random| {
        let (i, n) = (random.below(count as u64) as usize, 1 + random.below(3));
        match random.below(20) {
            0..=6 => Call::JoinAll(amounts(random, count)),
            7..=8 => Call::Join(i, n),
            9 => Call::Try(i, n),
            10 => Call::TryAll(amounts(random, count)),
            11 => Call::Charge(i, n),
            12..=16 => Call::Refund(i, n),
            17..=18 => Call::Poll,
            _ => Call::Leave,
        }
    };
    let count = length(random, 2, 3);
    (0..count).map(|_| call(random)).collect()
}

/// Has several threads make random calls at once; then looks who has been served, moves the clock until all are, and
/// looks at what is left.
pub(crate) fn run(random: &mut Random) -> (Spec, History<Call, Answer>) {
    let count = 2 + random.below(2) as usize;
    let mut quota = |_| {
        let permit = [1_000, 500, 2_000][random.below(3) as usize];
        Quota { permit, burst: 2 + random.below(3), level: random.below(3) }
    };
    let quotas: Vec<_> = (0..count).map(&mut quota).collect();
    let clock = Slow(ManualClock::new());
    let limiter = |&Quota { permit, burst, level }: &Quota| {
        let quota = tidegate::Quota::new(1, Duration::from_nanos(permit)).burst(burst).initial(level);
        RateLimiter::with_clock(quota.catch_up(Duration::ZERO), clock.clone())
    };
    let limiters: Vec<_> = quotas.iter().map(limiter).collect();
    let threads = 3 + random.below(2) as usize;
    let mut caller = |i| Caller {
        limiters: &limiters,
        backwards: i % 2 == 1,
        future: None,
        plan: plan(random, count).into_iter(),
    };
    let mut callers: Vec<_> = (0..threads).map(&mut caller).collect();
    let tickets = Tickets::default();
    let mut history = record(&tickets, &mut callers);
    // Before the clock goes on, when some have been served, and when all have.
    for by in [1_000 + random.below(8) * 500, 60_000, 0] {
        for (i, (calls, caller)) in history.iter_mut().zip(&mut callers).enumerate() {
            let left = Call::Available(i % count);
            caller.plan = vec![if caller.future.is_some() { Call::Poll } else { left }].into_iter();
            calls.extend(caller.act(&tickets));
        }
        callers[0].plan = vec![Call::Advance(by)].into_iter();
        history[0].extend(callers[0].act(&tickets));
    }
    (Spec(quotas), history)
}
