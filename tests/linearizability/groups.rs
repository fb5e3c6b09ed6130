//! Groups (calls that wait for several limits at once), beside waiters for one limit and calls that do not wait. The
//! clock stands still, so permits come only from other calls. In the end all limits get enough permits for all waiters.
//! (For calls for several limits that do not wait, with a moving clock, see `several.rs`. For random histories of
//! groups with a moving clock, on one thread, see `tests/models/all_of.rs`.)

use std::{future::Future, pin::Pin, time::Duration};

use tidegate::{Denied, ManualClock, RateLimiter};

use super::{
    checker::{Entry, History},
    groups_spec::{Answer, Call, Spec},
    random::Random,
    record::{Actor, Slow, Tickets, length, poll, record},
    several::{all_of, amounts},
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

fn told(taken: Result<(), impl Into<Denied>>) -> Answer {
    match taken.map_err(Into::into) {
        Ok(()) => Answer::Done,
        Err(denied) if denied.is_never() => Answer::Never,
        Err(_) => Answer::NotYet,
    }
}

impl Caller<'_> {
    fn make(&mut self, call: Call) -> Answer {
        let limiters = self.limiters;
        let all = |amounts| all_of(limiters, amounts, self.backwards);
        match call {
            Call::Try(i, n) => told(limiters[i].try_acquire_n(n)),
            Call::TryAll(amounts) => told(all(amounts).try_acquire().map_err(|denied| denied.denied())),
            Call::Refund(i, n) => told(limiters[i].refund(n)),
            Call::Available(i) => Answer::Count(limiters[i].available()),
            Call::Join(i, n) => {
                let one = limiters[i].acquire_n(n);
                self.future = Some(Box::pin(async { one.await.map_err(Denied::from) }));
                self.poll()
            }
            Call::JoinAll(amounts) => {
                let all = all(amounts).acquire();
                self.future = Some(Box::pin(async { all.await.map_err(|denied| denied.denied()) }));
                self.poll()
            }
            Call::Poll => self.poll(),
            Call::Leave => {
                self.future = None;
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
            11..=15 => Call::Refund(i, n),
            16..=18 => Call::Poll,
            _ => Call::Leave,
        }
    };
    let count = length(random, 2, 4);
    (0..count).map(|_| call(random)).collect()
}

/// Has several threads make random calls at once; then lets permits come and polls, until all are served, and looks at
/// what is left.
pub(crate) fn run(random: &mut Random) -> (Spec, History<Call, Answer>) {
    let count = 2 + random.below(2) as usize;
    let buckets: Vec<_> = (0..count).map(|_| (2 + random.below(3), random.below(3))).collect();
    let clock = Slow(ManualClock::new());
    let limiter = |&(burst, level): &(u64, u64)| {
        let quota = tidegate::Quota::per_second(1_000).with_burst(burst).with_initial(level);
        RateLimiter::with_clock(quota.with_catch_up(Duration::ZERO), clock.clone())
    };
    let limiters: Vec<_> = buckets.iter().map(limiter).collect();
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
    let act = |caller: &mut Caller<'_>, call| {
        caller.plan = vec![call].into_iter();
        caller.act(&tickets)
    };
    for _ in 0..12 {
        for (calls, caller) in history.iter_mut().zip(&mut callers) {
            if caller.future.is_some() {
                calls.extend(act(caller, Call::Poll));
            }
        }
        if callers.iter().all(|caller| caller.future.is_none()) {
            break;
        }
        for (i, (burst, _)) in buckets.iter().enumerate() {
            history[0].extend(act(&mut callers[0], Call::Refund(i, *burst)));
        }
    }
    let all_served = callers.iter().all(|caller| caller.future.is_none());
    assert!(all_served, "not all are served: {history:#?}");
    for i in 0..count {
        history[0].extend(act(&mut callers[0], Call::Available(i)));
    }
    (Spec(buckets), history)
}
