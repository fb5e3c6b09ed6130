//! Several limiters with waiters, for one of them or for all, one call after the other, in whole permits. The clock
//! stands still, so that what comes comes from others.
//!
//! Of one limiter all is as in `waiters.rs`. A call that waits for several limits, a *group*,
//! 1. takes from all in one step; or waits for one of them, as any other waiter: it takes what it asks for, or stands
//!    last in that queue. Once it has been granted that, it goes on to another, whenever it is polled;
//! 2. has been granted all in the end. If all of it could still go back, that is it. Else it gives all back, and stands
//!    at the front of all queues, behind such groups, in the same step;
//! 3. takes from all, in a step that is no call's, when it is the first in all queues and all limits admit it. No
//!    waiter behind it is granted before that;
//! 4. leaves one limit after the other, and takes nothing from then on;
//! 5. when the last of several overlapping calls ends, there is no waiter that could be granted without being polled.
//!
//! Which limit a group waits for next, and how long a refused call is told to wait, is left open here.

use super::{
    checker::{self, Then, Turn},
    groups_state::{Amounts, Limit, Place, State, Waiter, members, only},
    several::MOST,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Of one limiter.
    Try(usize, u64),
    Refund(usize, u64),
    Available(usize),
    /// Of all.
    TryAll([u64; MOST]),
    /// A future is made, and polled for the first time.
    Join(usize, u64),
    JoinAll([u64; MOST]),
    /// It is polled again.
    Poll,
    /// It is dropped, and had not been ready.
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Never,
    /// Refused for now.
    NotYet,
    Pending,
    Count(i64),
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// A group that has been granted what it has waited for, if anything, goes on to the next.
    Next,
    /// It is about to wait for that limit.
    Enter(usize),
    /// It waits, or was granted it without having heard of it.
    Joined,
    /// It leaves.
    Leaving,
    /// All is done but for the hand-off.
    Done,
}

/// The bursts, and the permits available at first.
#[derive(Clone, Debug)]
pub(crate) struct Spec(pub(crate) Vec<(u64, u64)>);

impl Spec {
    fn burst(&self, i: usize) -> u64 {
        self.0[i].0
    }

    fn is_never(&self, amounts: Amounts) -> bool {
        members(amounts).any(|i| amounts[i] > self.burst(i))
    }

    /// All have been granted: takes them for good, or gives all back and goes to the front.
    fn settle(state: &State, Waiter { thread, amounts, .. }: Waiter) -> (State, bool) {
        let mut after = state.clone();
        let whole = members(amounts).all(|i| state.limits[i].good(thread, amounts[i]) == amounts[i]);
        if whole {
            // As if it had gone back, and were granted now.
            for i in members(amounts) {
                after.limits[i].give_back(thread, amounts[i]);
                after.limits[i].level -= amounts[i];
            }
            after.over(thread);
            return (after, true);
        }
        let is_front = |&other: &usize| {
            // One that leaves the front stands there until it has left; others leave the one queue at once.
            let place = state.waiter(other).map(|waiter| waiter.place);
            matches!(place, Some(Place::Front | Place::Leaving))
        };
        for i in members(amounts) {
            let limit = &mut after.limits[i];
            limit.give_back(thread, amounts[i]);
            let at = limit.queue.iter().take_while(|other| is_front(other)).count();
            limit.queue.insert(at, thread);
        }
        after.set_place(thread, Place::Front);
        (after, false)
    }

    /// What a call may do first.
    fn begin(&self, state: &State, turn: &Turn<Call, Answer, Stage>) -> Vec<Then<State, Stage>> {
        let &Turn { thread, call, answer, .. } = turn;
        let mut after = state.clone();
        let amounts = match call {
            Call::Try(i, n) | Call::Join(i, n) => only(i, n),
            Call::TryAll(amounts) | Call::JoinAll(amounts) => amounts,
            _ => [0; MOST],
        };
        let right = match call {
            // Of the limits that are not locked just then, any may be the one that refuses it.
            Call::TryAll(_) if answer == Answer::NotYet => {
                members(amounts).any(|i| amounts[i] <= self.burst(i) && !state.limits[i].admits(amounts[i]))
            }
            _ if self.is_never(amounts) => answer == Answer::Never,
            Call::Try(..) | Call::TryAll(_) | Call::Join(..) | Call::JoinAll(_) if state.admits(amounts) => {
                for i in members(amounts) {
                    after.limits[i].level -= amounts[i];
                }
                answer == Answer::Done
            }
            Call::Try(..) | Call::TryAll(_) => answer == Answer::NotYet,
            Call::Refund(i, n) => {
                after.limits[i].add(n, self.burst(i));
                answer == Answer::Done
            }
            Call::Available(i) => answer == Answer::Count(state.limits[i].level as i64),
            Call::Join(..) | Call::JoinAll(_) => {
                let place = |i| {
                    let mut after = state.clone();
                    after.waiters.push(Waiter { thread, amounts, place: Place::In(i) });
                    after.waiters.sort_by_key(|waiter| waiter.thread);
                    (after, Some(Stage::Enter(i)))
                };
                return members(amounts).map(place).collect();
            }
            Call::Poll => return vec![(after, Some(Stage::Joined))],
            Call::Leave => return Self::leave(state, thread, true),
        };
        right.then_some((after, Some(Stage::Done))).into_iter().collect()
    }

    /// It leaves a limit: first the limit for which it waits, then the limits that granted it permits. Or it has left
    /// them all.
    fn leave(state: &State, thread: usize, is_first: bool) -> Vec<Then<State, Stage>> {
        let mut after = state.clone();
        let Some(Waiter { amounts, place, .. }) = state.waiter(thread) else { return Vec::new() };
        if is_first {
            after.set_place(thread, Place::Leaving);
        }
        let first = match place {
            Place::In(i) => Some(i),
            _ => members(amounts).find(|&i| state.limits[i].is_about(thread)),
        };
        let Some(i) = first else {
            after.over(thread);
            return vec![(after, Some(Stage::Done))];
        };
        let limit = &mut after.limits[i];
        limit.queue.retain(|&other| other != thread);
        limit.give_back(thread, amounts[i]);
        vec![(after, Some(Stage::Leaving))]
    }

    /// It was granted what it has waited for, if it has.
    fn next(state: &State, waiter: Waiter, answer: Answer) -> Vec<Then<State, Stage>> {
        let held = |i: usize| state.limits[i].granted(waiter.thread).is_some();
        if members(waiter.amounts).all(held) {
            let (after, over) = Self::settle(state, waiter);
            let stage = if over { Stage::Done } else { Stage::Joined };
            return (!over || answer == Answer::Done).then_some((after, Some(stage))).into_iter().collect();
        }
        let enter = |i| {
            let mut after = state.clone();
            after.set_place(waiter.thread, Place::In(i));
            (after, Some(Stage::Enter(i)))
        };
        members(waiter.amounts).filter(|&i| !held(i)).map(enter).collect()
    }

    /// Whether it was granted what it waits for.
    fn is_granted(state: &State, waiter: Waiter) -> bool {
        let is_granted = |i: usize| state.limits[i].granted(waiter.thread).is_some();
        match waiter.place {
            Place::In(i) => is_granted(i),
            Place::Front => members(waiter.amounts).all(is_granted),
            Place::Leaving => false,
        }
    }
}

impl checker::Spec for Spec {
    type Call = Call;
    type Answer = Answer;
    type State = State;
    type Stage = Stage;

    fn start(&self) -> State {
        let limit = |&(_, level): &(u64, u64)| Limit { level, ..Limit::default() };
        State { limits: self.0.iter().map(limit).collect(), waiters: Vec::new() }
    }

    fn points(&self, state: &State, turn: &Turn<Call, Answer, Stage>) -> Vec<Then<State, Stage>> {
        let &Turn { thread, answer, stage, first, last, .. } = turn;
        let mut after = state.clone();
        let waiter = state.waiter(thread);
        match (stage, waiter) {
            (None, _) => self.begin(state, turn),
            (Some(Stage::Enter(i)), Some(Waiter { amounts, .. })) => {
                let limit = &mut after.limits[i];
                let admits = limit.admits(amounts[i]);
                if admits {
                    limit.grant(thread, amounts[i]);
                } else {
                    limit.queue.push(thread);
                }
                vec![(after, Some(if admits { Stage::Next } else { Stage::Joined }))]
            }
            (Some(Stage::Next), Some(waiter)) => Self::next(state, waiter, answer),
            (Some(Stage::Joined), Some(waiter)) => {
                // It may be granted after that, before the call is over.
                if !Self::is_granted(state, waiter) {
                    return (answer == Answer::Pending)
                        .then_some((after, Some(Stage::Done)))
                        .into_iter()
                        .collect();
                }
                let is_over = members(waiter.amounts).count() == 1 || waiter.place == Place::Front;
                if !is_over {
                    return vec![(after, Some(Stage::Next))];
                }
                after.over(thread);
                (answer == Answer::Done).then_some((after, Some(Stage::Done))).into_iter().collect()
            }
            (Some(Stage::Leaving), _) => Self::leave(state, thread, false),
            // Running the hand-off for longer excludes no history.
            (Some(Stage::Done), _) if first && (!last || self.between(state).is_empty()) => {
                vec![(after, None)]
            }
            _ => Vec::new(),
        }
    }

    /// The first in a queue is granted what it asks for.
    fn between(&self, state: &State) -> Vec<State> {
        let mut granted = Vec::new();
        for waiter @ &Waiter { thread, amounts, place } in &state.waiters {
            let is_due = |i: usize| {
                state.limits[i].queue.first() == Some(&thread) && amounts[i] <= state.limits[i].level
            };
            let of = match place {
                Place::In(i) => only(i, amounts[i]),
                Place::Front => amounts,
                Place::Leaving => continue,
            };
            if !Self::is_granted(state, *waiter) && members(of).all(is_due) {
                let mut after = state.clone();
                members(of).for_each(|i| after.limits[i].grant(thread, amounts[i]));
                granted.push(after);
            }
        }
        granted
    }
}
