//! Several limiters with those who wait, for one of them or for all, one call after the other, in whole nanoseconds.
//!
//! A call that does not wait is one step, also one for several limits: it takes from all or from none. It takes
//! nothing while somebody waits where it asks, and is then told to come again no sooner than after all who do. Of a
//! group, that is, who waits for several limits at once:
//! 1. *to join* is one step: it takes from all; or stands last in the queue of the limit whose turn comes last, and
//!    in no other. Who is due at the head has been served by then;
//! 2. *to look* is one step, and no call's: if it is due in the one queue where it stands, it joins all the others;
//!    if it is due in all, it takes from all; else it is promised the latest of its turns, where a promise that stands
//!    is only ever brought forward. It may look at any time;
//! 3. who stands behind a group goes before it, in a step that is no call's, if it is due, and if the group is in time
//!    for its promise even so; or, as long as it stands in one queue alone, if there is enough for both. Nobody goes
//!    before those who wait for one limit;
//! 4. *to leave* is a step for each limit, in the order in which they were made. First it looks no more; then it leaves
//!    each queue where it stands, or gives back what it was granted by each, by the rules of `waiters.rs`;
//! 5. when the last of calls that overlap ends, nobody waits who is due: for one limit, or where a group stands alone,
//!    or in all;
//! 6. *the clock* moves alone, from one time to the next at which somebody comes to be due or a promise ends, and not on
//!    before those are served.

use super::{
    checker::{self, Then, Turn},
    groups_state::{Group, State},
    several::MOST,
    timed_spec::Answer,
    timed_state::{Id, State as Limit, Waiter},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Of one limiter.
    Try(usize, u64),
    Charge(usize, u64),
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
    /// Moves the clock.
    Advance(u64),
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Others are served first.
    Begun,
    /// Waiting, or granted without having heard of it.
    Joined,
    /// It has left so many of the limits.
    Left(usize),
    /// The clock is on its way.
    Moving(i64),
    /// All is done but for the hand-off.
    Done,
}

/// One of the limiters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    /// How long a permit takes to come.
    pub(crate) permit: u64,
    pub(crate) burst: u64,
    /// How many permits there are at first.
    pub(crate) level: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Spec(pub(crate) Vec<Quota>);

impl Spec {
    /// What may come of a call that takes one step and does not wait; nothing if that is not the answer.
    fn at_once(&self, state: &State, call: Call, answer: Answer) -> Option<State> {
        let mut after = state.clone();
        let (i, n) = match call {
            Call::Try(i, n) | Call::Charge(i, n) | Call::Refund(i, n) => (i, n),
            Call::Available(i) => (i, 0),
            _ => (0, 0),
        };
        let (cost, limit) = (self.cost(i, n), self.limit(i));
        let one = &mut after.limits[i];
        let now = one.now;
        let right = match call {
            Call::Try(..) => {
                let costs = std::array::from_fn(|j| if j == i { cost } else { 0 });
                return self.take_at_once(state, costs, answer);
            }
            Call::TryAll(amounts) => return self.take_at_once(state, self.costs(amounts), answer),
            Call::Charge(..) => {
                one.take(cost, now);
                Answer::Wait((one.tat - limit - now).max(0) as u64)
            }
            Call::Refund(..) => {
                one.tat = (one.tat - cost).max(now.min(one.tat));
                one.look(now, false);
                Answer::Done
            }
            Call::Available(_) => Answer::Count((limit + now - one.tat.max(now)).div_euclid(self.cost(i, 1))),
            _ => return None,
        };
        (right == answer).then_some(after)
    }

    /// Takes all or nothing.
    fn take_at_once(&self, state: &State, costs: [i64; MOST], answer: Answer) -> Option<State> {
        let mut after = state.clone();
        let mut behind = false;
        let mut longest = 0;
        for i in self.members(costs) {
            if costs[i] > self.limit(i) {
                return (answer == Answer::Never).then_some(after);
            }
            let waits = !state.limits[i].queue.is_empty();
            behind |= waits;
            longest = longest.max(self.wait_for_all(state, i, costs[i])).max(i64::from(waits));
        }
        if longest == 0 {
            for i in self.members(costs) {
                let limit = &mut after.limits[i];
                limit.take(costs[i], limit.now);
            }
        }
        let right = match answer {
            Answer::Done => longest == 0,
            Answer::Wait(ns) if behind => longest <= ns as i64,
            Answer::Wait(ns) => longest > 0 && longest == ns as i64,
            _ => false,
        };
        right.then_some(after)
    }

    /// What a call may do first.
    fn begin(&self, state: &State, turn: &Turn<Call, Answer, Stage>) -> Vec<Then<State, Stage>> {
        let &Turn { call, answer, .. } = turn;
        let id = Id { thread: turn.thread, blocked: false };
        let mut after = state.clone();
        let never = || (answer == Answer::Never).then(|| (state.clone(), Some(Stage::Done)));
        let one = match call {
            Call::Join(i, n) if n > self.0[i].burst => never(),
            Call::Join(i, n) => {
                let waiter = Waiter { id, cost: self.cost(i, n), deadline: i64::MAX };
                let limit = &mut after.limits[i];
                if limit.queue.is_empty() && self.wait_for_all(state, i, waiter.cost) == 0 {
                    limit.take(waiter.cost, limit.now);
                    (answer == Answer::Done).then_some((after, Some(Stage::Done)))
                } else {
                    limit.queue.push(waiter);
                    Some((after, Some(Stage::Joined)))
                }
            }
            Call::JoinAll(amounts) if (0..self.0.len()).any(|i| amounts[i] > self.0[i].burst) => never(),
            Call::JoinAll(amounts) => {
                let group = Group { id, costs: self.costs(amounts), promise: 0, leaves: false };
                self.come(state, group).map(|after| (after, Some(Stage::Joined)))
            }
            Call::Poll if state.is_granted(id) => {
                after.hear(id);
                (answer == Answer::Done).then_some((after, Some(Stage::Done)))
            }
            Call::Poll => Some((after, Some(Stage::Joined))),
            Call::Leave => {
                for group in after.groups.iter_mut().filter(|group| group.id == id) {
                    group.leaves = true;
                }
                Some((after, Some(Stage::Left(0))))
            }
            Call::Advance(by) => Some((after, Some(Stage::Moving(state.now() + by as i64)))),
            _ => self.at_once(state, call, answer).map(|after| (after, Some(Stage::Done))),
        };
        one.into_iter().collect()
    }

    /// It leaves a limit, or has left them all.
    fn leave(&self, state: &State, id: Id, i: usize) -> Vec<Then<State, Stage>> {
        let Some(i) = (i..self.0.len()).find(|&i| state.is_about(i, id)) else {
            let mut after = state.clone();
            after.groups.retain(|group| group.id != id);
            return vec![(after, Some(Stage::Done))];
        };
        let left = |limit| {
            let mut after = state.clone();
            after.limits[i] = limit;
            (after, Some(Stage::Left(i + 1)))
        };
        state.limits[i].leave(id).into_iter().map(left).collect()
    }
}

impl checker::Spec for Spec {
    type Call = Call;
    type Answer = Answer;
    type State = State;
    type Stage = Stage;

    fn start(&self) -> State {
        let limit = |(i, quota): (usize, &Quota)| {
            let tat = self.limit(i) - self.cost(i, quota.level);
            Limit { tat, ..Limit::default() }
        };
        State { limits: self.0.iter().enumerate().map(limit).collect(), groups: Vec::new() }
    }

    fn points(&self, state: &State, turn: &Turn<Call, Answer, Stage>) -> Vec<Then<State, Stage>> {
        let &Turn { answer, stage, first, last, .. } = turn;
        let id = Id { thread: turn.thread, blocked: false };
        let mut after = state.clone();
        match stage {
            None => {
                let waits = self.is_restless(state).then_some((after, Some(Stage::Begun)));
                waits.into_iter().chain(self.begin(state, turn)).collect()
            }
            Some(Stage::Begun) => self.begin(state, turn),
            // It may have been granted since, and will hear of it when it is polled.
            Some(Stage::Joined) if answer == Answer::Pending => vec![(after, Some(Stage::Done))],
            Some(Stage::Joined) => {
                let heard = answer == Answer::Done && after.hear(id);
                heard.then_some((after, Some(Stage::Done))).into_iter().collect()
            }
            Some(Stage::Left(i)) => self.leave(state, id, i),
            Some(Stage::Moving(_)) if self.is_restless(state) || !last => Vec::new(),
            Some(Stage::Moving(to)) if state.now() == to => vec![(after, Some(Stage::Done))],
            Some(Stage::Moving(to)) => {
                let stop = self.next_stop(state).map_or(to, |stop| stop.min(to));
                for limit in &mut after.limits {
                    limit.now = stop;
                }
                vec![(after, stage)]
            }
            Some(Stage::Done) if first && !(last && self.is_restless(state)) => vec![(after, None)],
            Some(Stage::Done) => Vec::new(),
        }
    }

    /// Who is due is served, and groups look.
    fn between(&self, state: &State) -> Vec<State> {
        let looks = state.groups.iter().filter_map(|group| self.look(state, group));
        self.serve(state).into_iter().chain(looks).collect()
    }
}
