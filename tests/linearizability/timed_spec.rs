//! A limiter with waiters and its clock, one call after the other, in whole nanoseconds: there a permit takes some
//! hundreds of them to come, and all times are multiples of half a permit.
//!
//! What a call that does not wait does is one step after it has read the clock, as in `spec.rs`, and so it is with a
//! waiter that finds the queue empty. Without the lock it does so by a time that may have passed; with the lock by one
//! that it has read under the lock. While there are waiters, new callers join behind them or are refused; and
//! 1. *the hand-off* is two steps that belong to no call: it reads the clock, and then grants, from front to back, all
//!    waiters that are due by that reading. If the next head cannot be due by its deadline, it is refused. So is every
//!    waiter behind it that has become too late by what the hand-off found. So a grant takes effect between the call
//!    that joins the queue and the call that sees the grant. Its reading is from between these two calls, or from
//!    before, but not from before the last moment without calls;
//! 2. *moving the clock* is a step to each of the times at which an alarm rang, and to its end. If it moves alone it
//!    does not pass the time at which the head is due, nor go on from there before that is served. So only where
//!    calls meet may anybody be served late;
//! 3. when the last of several overlapping calls ends, there is no waiter that is due, or that cannot be due in time;
//! 4. a late grant is dated at its time, up to `catch_up` before the reading. What is then left of this credit when the
//!    queue has run empty is for waiters, for as long; that it is there is not promised;
//! 5. a waiter that leaves with a grant gives back what would not have overflowed since: no more than by how much the
//!    arrival time was ahead of a time with which it was compared since. What was taken without the lock counts as
//!    compared when the lock is held next, with the arrival time from before it.

use super::{
    checker::{self, Then, Turn},
    timed_state::{Id, Outcome, State, Waiter},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Try(u64),
    UpTo(u64),
    Charge(u64),
    Refund(u64),
    Reset,
    /// Blocks, but for no time.
    Within(u64),
    /// A future is made, and polled for the first time: how long it is ready to wait, if not for ever.
    Join(u64, Option<u64>),
    /// It is polled again.
    Poll,
    /// It is dropped, and had not been ready.
    Leave,
    Available,
    /// Moves the clock.
    Advance(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Never,
    Wait(u64),
    Count(i64),
    Pending,
    /// Where alarms rang on the way: a bit for each half of a permit, from where the clock was.
    Stops(u64),
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// It has read the clock.
    Read(i64),
    /// In the queue, or settled without having heard of it.
    Joined,
    /// The clock is on its way, from there to there.
    Moving(i64, i64),
    /// All is done but for the hand-off.
    Done,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    /// How long a permit takes to come.
    pub(crate) permit: u64,
    pub(crate) burst: u64,
    /// How many permits there are at first.
    pub(crate) level: u64,
    pub(crate) catch_up: u64,
}

/// A hand-off that is no later than this is in time.
const IN_TIME: i64 = 1_000;

/// The wait in the refusal of a caller that is due at `due`, and not by `latest`.
fn not_yet(due: i64, latest: i64) -> u64 {
    (due - latest).max(1) as u64
}

/// Whose call it is.
fn id(turn: &Turn<Call, Answer, Stage>) -> Id {
    Id { thread: turn.thread, blocked: matches!(turn.call, Call::Within(_)) }
}

/// What a waiter is told, if it has been settled.
fn told(state: &mut State, id: Id) -> Option<Answer> {
    Some(match state.hear(id)? {
        Outcome::Granted { .. } => Answer::Done,
        Outcome::Denied(wait) => Answer::Wait(wait),
    })
}

impl Spec {
    fn limit(&self) -> i64 {
        self.cost(self.burst)
    }

    fn cost(&self, n: u64) -> i64 {
        (n * self.permit) as i64
    }

    /// When the head is due.
    fn due(&self, state: &State, cost: i64, floor: i64) -> i64 {
        state.tat.max(floor) + cost - self.limit()
    }

    /// Grants the waiters that are due by that reading, and refuses the waiters that are too late.
    fn hand_off(&self, state: &State, now: i64) -> State {
        let mut state = state.clone();
        state.lock(now);
        let floor = now - self.catch_up as i64;
        while let Some(&Waiter { id, cost, deadline }) = state.queue.first() {
            let due = self.due(&state, cost, floor);
            let outcome = if due <= now {
                state.take(cost, floor);
                state.granted(cost)
            } else if due > deadline {
                Outcome::Denied(not_yet(due, deadline))
            } else {
                break;
            };
            state.queue.remove(0);
            state.outcomes.push((id, outcome));
            if state.queue.is_empty() {
                let late = now - state.tat > IN_TIME;
                state.credit_until = if late { now + self.catch_up as i64 } else { now };
            }
        }
        let mut ahead = state.tat.max(floor) - self.limit();
        let State { queue, outcomes, .. } = &mut state;
        queue.retain(|waiter| {
            let due = ahead + waiter.cost;
            if due > waiter.deadline {
                outcomes.push((waiter.id, Outcome::Denied(not_yet(due, waiter.deadline))));
                return false;
            }
            ahead = due;
            true
        });
        state
    }

    /// Whether there is something for the hand-off to do.
    fn is_restless(&self, state: &State) -> bool {
        self.hand_off(state, state.now).queue.len() != state.queue.len()
    }

    /// Where an alarm rings next on the clock's way from there, if these are its stops.
    fn next_stop(&self, now: i64, from: i64, stops: u64) -> Option<i64> {
        let stop = |i| from + i * self.permit as i64 / 2;
        (0..64).find(|&i| stops >> i & 1 == 1 && stop(i) > now).map(stop)
    }

    /// The times before which the grant of a new waiter may not be dated; several, where the specification leaves it
    /// open.
    fn floors(&self, state: &State, read: i64) -> Vec<i64> {
        let credit = read - self.catch_up as i64;
        match (state.queue.is_empty(), read < state.credit_until) {
            (false, _) => vec![credit],
            (true, true) => vec![read, credit],
            (true, false) => vec![read],
        }
    }

    /// What may come of a call that does not wait, and has read the clock.
    fn at_once(&self, state: &mut State, call: Call, read: i64, locked: bool) -> Option<Answer> {
        let (limit, free) = (self.limit(), state.queue.is_empty());
        let take = if locked { State::take } else { State::take_unlocked };
        if locked || matches!(call, Call::Refund(_) | Call::Reset) {
            state.lock(read);
        }
        let level = limit + read - state.tat.max(read);
        Some(match call {
            Call::Try(n) if free && self.cost(n) <= level => {
                take(state, self.cost(n), read);
                Answer::Done
            }
            Call::Try(n) if free => Answer::Wait((self.cost(n) - level) as u64),
            Call::UpTo(most) => {
                let count = if free { (level / self.cost(1)).clamp(0, most as i64) } else { 0 };
                take(state, self.cost(count as u64), read);
                Answer::Count(count)
            }
            Call::Charge(n) => {
                take(state, self.cost(n), read);
                Answer::Wait((state.tat - limit - read).max(0) as u64)
            }
            Call::Refund(n) => {
                state.refund(self.cost(n), read);
                Answer::Done
            }
            Call::Reset => {
                state.reset(read);
                Answer::Done
            }
            Call::Available => Answer::Count(level.div_euclid(self.cost(1))),
            _ => return None,
        })
    }

    /// A waiter comes, with a floor: what it is told at once, if it does not join the queue.
    fn come(&self, state: &mut State, waiter: Waiter, read: i64, floor: i64, locked: bool) -> Option<Answer> {
        let due = self.due(state, waiter.cost, floor);
        if locked {
            state.lock(read);
        }
        if state.queue.is_empty() && due <= read {
            (if locked { State::take } else { State::take_unlocked })(state, waiter.cost, floor);
            return Some(Answer::Done);
        }
        let due = due + state.queue.iter().map(|waiter| waiter.cost).sum::<i64>();
        if due > waiter.deadline {
            return Some(Answer::Wait(not_yet(due, waiter.deadline)));
        }
        state.queue.push(waiter);
        None
    }
}

impl Spec {
    /// What may come of a call that has read the clock, with the lock or without, and is neither about one that waits
    /// already nor about the clock.
    fn step(
        &self,
        state: &State,
        turn: &Turn<Call, Answer, Stage>,
        read: i64,
        locked: bool,
    ) -> Vec<Then<State, Stage>> {
        let &Turn { call, answer, .. } = turn;
        let mut after = state.clone();
        let (n, wait) = match call {
            Call::Try(n) => (n, None),
            Call::Within(n) => (n, Some(0)),
            Call::Join(n, wait) => (n, wait),
            _ => (0, None),
        };
        let told = match call {
            _ if n > self.burst => Some(Answer::Never),
            // By an estimate.
            Call::Try(_) if !state.queue.is_empty() && matches!(answer, Answer::Wait(1..)) => Some(answer),
            Call::Within(_) | Call::Join(..) => {
                let deadline = wait.map_or(i64::MAX, |wait| read + wait as i64);
                let waiter = Waiter { id: id(turn), cost: self.cost(n), deadline };
                let come = |floor| {
                    let mut after = state.clone();
                    let stage = match self.come(&mut after, waiter, read, floor, locked) {
                        None => Stage::Joined,
                        told => (told == Some(answer)).then_some(Stage::Done)?,
                    };
                    Some((after, Some(stage)))
                };
                return self.floors(state, read).into_iter().filter_map(come).collect();
            }
            _ => self.at_once(&mut after, call, read, locked),
        };
        (told == Some(answer)).then_some((after, Some(Stage::Done))).into_iter().collect()
    }
}

impl Spec {
    /// With the lock, or without. A call that does not wait needs the lock if there are waiters, or another thread
    /// holds it.
    fn steps(&self, state: &State, turn: &Turn<Call, Answer, Stage>, read: i64) -> Vec<Then<State, Stage>> {
        let free = state.queue.is_empty();
        let unlocked = free && turn.alone && matches!(turn.call, Call::Try(_) | Call::UpTo(_));
        let steps = |locked| self.step(state, turn, read, locked);
        let with = (!unlocked).then(|| steps(true));
        let without = free.then(|| steps(false));
        with.into_iter().chain(without).flatten().collect()
    }
}

impl checker::Spec for Spec {
    type Call = Call;
    type Answer = Answer;
    type State = State;
    type Stage = Stage;

    fn start(&self) -> State {
        State { tat: self.limit() - self.cost(self.level), ..State::default() }
    }

    fn points(&self, state: &State, turn: &Turn<Call, Answer, Stage>) -> Vec<Then<State, Stage>> {
        let &Turn { call, answer, stage, first, last, .. } = turn;
        let id = id(turn);
        let mut after = state.clone();
        let done = |after| (after, Some(Stage::Done));
        match (stage, call) {
            (Some(Stage::Done), _) if !first || (last && self.is_restless(state)) => Vec::new(),
            (Some(Stage::Done), _) => {
                if last {
                    after.reading = None;
                }
                vec![(after, None)]
            }
            (None, Call::Advance(by)) => {
                vec![(after, Some(Stage::Moving(state.now, state.now + by as i64)))]
            }
            (Some(Stage::Moving(..)), _) if last && self.is_restless(state) => Vec::new(),
            (Some(Stage::Moving(_, to)), _) if state.now == to => vec![done(after)],
            (Some(Stage::Moving(from, to)), _) => {
                let Answer::Stops(stops) = answer else { return Vec::new() };
                after.now = self.next_stop(state.now, from, stops).unwrap_or(to);
                let head = state.queue.first().map(|head| self.due(state, head.cost, i64::MIN));
                let passes = last && head.is_some_and(|due| due < after.now);
                (!passes).then_some((after, stage)).into_iter().collect()
            }
            (None, Call::Leave) => {
                let queued = state.queue.iter().any(|waiter| waiter.id == id);
                after.queue.retain(|waiter| waiter.id != id);
                if !queued {
                    let busy = !state.queue.is_empty() || state.now < state.credit_until;
                    let floor = if busy { state.now - self.catch_up as i64 } else { state.now };
                    after.give_back(id, state.now, floor);
                }
                vec![done(after)]
            }
            (None, Call::Poll) => {
                let told = told(&mut after, id).unwrap_or(Answer::Pending);
                (told == answer).then(|| done(after)).into_iter().collect()
            }
            (None, _) => {
                // To wait with its step makes no difference where the clock does not move.
                let waits = (!last).then_some((after, Some(Stage::Read(state.now))));
                waits.into_iter().chain(self.steps(state, turn, state.now)).collect()
            }
            // It may have been settled since, and will hear of it when it is polled.
            (Some(Stage::Joined), _) if answer == Answer::Pending => vec![done(after)],
            (Some(Stage::Joined), _) => {
                (told(&mut after, id) == Some(answer)).then(|| done(after)).into_iter().collect()
            }
            (Some(Stage::Read(read)), _) if read == state.now => Vec::new(),
            (Some(Stage::Read(read)), _) => {
                let again = self.step(state, turn, state.now, true);
                again.into_iter().chain(self.steps(state, turn, read)).collect()
            }
        }
    }

    /// The hand-off reads the clock, or serves by what it has read.
    fn between(&self, state: &State) -> Vec<State> {
        let read = State { reading: Some(state.now), ..state.clone() };
        let served = |read| State { reading: None, ..self.hand_off(state, read) };
        let served = state.reading.into_iter().chain([state.now]).map(served);
        let served = served.filter(|after| after.queue.len() != state.queue.len());
        [read].into_iter().chain(served).collect()
    }
}
