//! Waiters, beside calls that do not wait. The clock stands still at its beginning, so permits come only from other
//! calls. (`timed.rs` moves the clock.)
//!
//! The specification is a bucket of whole permits and a queue. Only the head is granted, in a
//! step that belongs to no call: first in, first out. Calls are one step, except for calls that join the queue, and
//! 1. no call that does not wait takes permits while there are waiters. Its refusal then has an estimated wait, and
//!    otherwise a wait that is exact to the nanosecond;
//! 2. when the last of several overlapping calls ends, no waiter is due. Before that the hand-off may be under way;
//! 3. a waiter that leaves with a grant gives back what would not have overflowed since: no more than what was missing
//!    from the bucket whenever permits had come since.

use std::{pin::Pin, time::Duration};

use tidegate::{AcquireN, Denied, ManualClock, Quota, RateLimiter};

use super::{
    checker::{self, Entry, History, Then, Turn},
    random::Random,
    record::{Actor, Slow, Tickets, length, poll, record, wait_ns},
};

/// How long a permit takes to come, in nanoseconds.
const ONE_NS: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Try(u64),
    UpTo(u64),
    Refund(u64),
    Reset,
    /// Blocks, but for no time.
    Within(u64),
    /// A future is made, and polled for the first time.
    Join(u64),
    /// It is polled again.
    Poll,
    /// It is dropped, and had not been ready.
    Leave,
    Available,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Never,
    /// In nanoseconds.
    Wait(u64),
    Count(u64),
    Pending,
}

/// The waiter of a thread: the thread has one future, and may also block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    thread: usize,
    blocked: bool,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// In the queue, or granted without having heard of it.
    Joined,
    /// All is done but for the hand-off.
    Done,
}

/// A grant that no call has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Grant {
    id: Id,
    n: u64,
    /// How often permits had come before it.
    comings: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    level: u64,
    /// From front to back.
    queue: Vec<(Id, u64)>,
    grants: Vec<Grant>,
    /// What was missing from the bucket each time after permits had come since the oldest of the grants.
    comings: Vec<u64>,
}

impl State {
    /// Removes its own grant, if it has one, from the grants that no call has seen.
    fn hear(&mut self, id: Id) -> bool {
        let before = self.grants.len();
        self.grants.retain(|grant| grant.id != id);
        // The one that comes first in there was granted first.
        let oldest = self.grants.first().map_or(self.comings.len(), |grant| grant.comings);
        self.comings.drain(..oldest);
        for later in &mut self.grants {
            later.comings -= oldest;
        }
        self.grants.len() < before
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) burst: u64,
    pub(crate) level: u64,
}

impl Spec {
    /// `n` permits come, up to a full burst.
    fn add(&self, state: &mut State, n: u64) {
        state.level = (state.level + n).min(self.burst);
        if !state.grants.is_empty() {
            state.comings.push(self.burst - state.level);
        }
    }

    /// A waiter that has a grant leaves.
    fn leave(state: &State, id: Id) -> Option<State> {
        let mut after = state.clone();
        let &Grant { n, comings, .. } = state.grants.iter().find(|grant| grant.id == id)?;
        let since = &mut after.comings[comings..];
        let back = since.iter().copied().fold(n, u64::min);
        for missing in since {
            *missing -= back;
        }
        after.level += back;
        after.hear(id);
        Some(after)
    }

    /// What came of a call that is one step.
    fn at_once(&self, state: &mut State, thread: usize, call: Call) -> Option<Answer> {
        let id = Id { thread, blocked: false };
        Some(match call {
            Call::UpTo(most) => {
                let count = if state.queue.is_empty() { state.level.min(most) } else { 0 };
                state.level -= count;
                Answer::Count(count)
            }
            Call::Refund(n) => {
                self.add(state, n);
                Answer::Done
            }
            Call::Reset => {
                self.add(state, self.burst);
                Answer::Done
            }
            Call::Poll if state.hear(id) => Answer::Done,
            Call::Poll => Answer::Pending,
            Call::Leave => {
                state.queue.retain(|&(other, _)| other != id);
                Answer::Done
            }
            Call::Available => Answer::Count(state.level),
            Call::Try(n) | Call::Within(n) | Call::Join(n) => {
                if n > self.burst {
                    return Some(Answer::Never);
                }
                let waited_for: u64 = state.queue.iter().map(|&(_, n)| n).sum();
                if waited_for + n > state.level {
                    return Some(Answer::Wait((waited_for + n - state.level) * ONE_NS));
                }
                if !state.queue.is_empty() {
                    return None;
                }
                state.level -= n;
                Answer::Done
            }
        })
    }
}

impl checker::Spec for Spec {
    type Call = Call;
    type Answer = Answer;
    type State = State;
    type Stage = Stage;

    fn start(&self) -> State {
        State { level: self.level, ..State::default() }
    }

    fn points(&self, state: &State, turn: &Turn<Call, Answer, Stage>) -> Vec<Then<State, Stage>> {
        let &Turn { thread, call, answer, stage, first, last, .. } = turn;
        let id = Id { thread, blocked: matches!(call, Call::Within(_)) };
        let mut after = state.clone();
        let done = |after| (after, Some(Stage::Done));
        match stage {
            // Running the hand-off for longer excludes no history.
            Some(Stage::Done) if first && (!last || self.between(state).is_empty()) => vec![(after, None)],
            Some(Stage::Done) => Vec::new(),
            Some(Stage::Joined) => match answer {
                // It may have been granted since, and will hear of it when it is polled.
                Answer::Pending => vec![done(after)],
                Answer::Done if after.hear(id) => vec![done(after)],
                _ => Vec::new(),
            },
            None if call == Call::Leave && state.clone().hear(id) => {
                Self::leave(state, id).into_iter().map(done).collect()
            }
            None => {
                let right = self.at_once(&mut after, thread, call);
                let estimate = matches!((call, answer), (Call::Try(_), Answer::Wait(ns)) if ns > 0);
                let over = right == Some(answer) || (estimate && !state.queue.is_empty());
                let joins = match call {
                    // Only if that is in time.
                    Call::Within(n) if right.is_none() => Some(n),
                    Call::Join(n) if !matches!(right, Some(Answer::Done | Answer::Never)) => Some(n),
                    _ => None,
                };
                let joined = joins.map(|n| {
                    let mut joined = state.clone();
                    joined.queue.push((id, n));
                    (joined, Some(Stage::Joined))
                });
                over.then(|| done(after)).into_iter().chain(joined).collect()
            }
        }
    }

    /// Grants the head.
    fn between(&self, state: &State) -> Vec<State> {
        let head = state.queue.first().filter(|&&(_, n)| n <= state.level);
        let granted = head.map(|&(id, n)| {
            let mut after = state.clone();
            after.queue.remove(0);
            after.level -= n;
            after.grants.push(Grant { id, n, comings: after.comings.len() });
            after
        });
        granted.into_iter().collect()
    }
}

/// What came of a call that takes all or nothing.
fn done(taken: Result<(), impl Into<Denied>>) -> Answer {
    match taken.map_err(Into::into) {
        Ok(()) => Answer::Done,
        Err(denied) => wait_ns(&denied).map_or(Answer::Never, Answer::Wait),
    }
}

/// A thread with its plan, and its future.
struct Caller<'a> {
    limiter: &'a RateLimiter<Slow>,
    future: Option<Pin<Box<AcquireN<'a, Slow>>>>,
    plan: std::vec::IntoIter<Call>,
}

impl Caller<'_> {
    fn make(&mut self, call: Call) -> Answer {
        match call {
            Call::Try(n) => done(self.limiter.try_acquire_n(n)),
            Call::UpTo(most) => Answer::Count(self.limiter.try_acquire_up_to(most)),
            Call::Refund(n) => done(self.limiter.refund(n)),
            Call::Reset => {
                self.limiter.reset();
                Answer::Done
            }
            Call::Within(n) => done(self.limiter.blocking_acquire_within(n, Duration::ZERO)),
            Call::Join(n) => {
                self.future = Some(Box::pin(self.limiter.acquire_n(n)));
                self.poll()
            }
            Call::Poll => self.poll(),
            Call::Leave => {
                self.future = None;
                Answer::Done
            }
            Call::Available => Answer::Count(self.limiter.available() as u64),
        }
    }

    fn poll(&mut self) -> Answer {
        let granted = poll(&mut self.future);
        granted.map_or(Answer::Pending, |granted| granted.map_or(Answer::Never, |()| Answer::Done))
    }
}

impl Actor for Caller<'_> {
    type Spec = Spec;

    fn act(&mut self, tickets: &Tickets) -> Option<Entry<Call, Answer>> {
        let call = match self.plan.next()? {
            // One future at a time.
            Call::Join(n) if self.future.is_some() => {
                if n == 1 {
                    Call::Leave
                } else {
                    Call::Poll
                }
            }
            Call::Poll | Call::Leave if self.future.is_none() => Call::Join(1),
            call => call,
        };
        Some(tickets.note(call, || self.make(call)))
    }
}

/// The calls of one thread.
fn plan(random: &mut Random) -> Vec<Call> {
    let call = |random: &mut Random| {
        let n = 1 + random.below(3);
        match random.below(16) {
            0..=1 => Call::Try(n),
            2 => Call::UpTo(n),
            3..=5 => Call::Refund(n),
            6 => Call::Reset,
            7..=8 => Call::Within(n),
            9..=12 => Call::Join(n),
            13..=14 => Call::Poll,
            _ => Call::Leave,
        }
    };
    let count = length(random, 3, 3);
    (0..count).map(|_| call(random)).collect()
}

/// Has several threads make random calls at once, and then looks at what is left.
pub(crate) fn run(random: &mut Random) -> (Spec, History<Call, Answer>) {
    let burst = 2 + random.below(4);
    let level = random.below(3);
    let quota = Quota::new(1_000_000, Duration::from_secs(1))
        .with_burst(burst)
        .with_initial(level)
        .with_catch_up(Duration::ZERO);
    let limiter = RateLimiter::with_clock(quota, Slow(ManualClock::new()));
    let threads = 3 + random.below(2) as usize;
    let mut caller = |_| Caller { limiter: &limiter, future: None, plan: plan(random).into_iter() };
    let mut callers: Vec<_> = (0..threads).map(&mut caller).collect();
    let tickets = Tickets::default();
    let mut history = record(&tickets, &mut callers);
    let end = |caller: &mut Caller<'_>| {
        caller.plan = vec![if caller.future.is_some() { Call::Poll } else { Call::Available }].into_iter();
        caller.act(&tickets)
    };
    for (calls, caller) in history.iter_mut().zip(&mut callers) {
        calls.extend(end(caller));
    }
    (Spec { burst, level }, history)
}
