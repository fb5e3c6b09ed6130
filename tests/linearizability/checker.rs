//! The search for an order.
//!
//! A call is one or more points in time, all between its begin and its end; what it does in each of them is for the
//! specification to say. All threads' next points are tried in turn, depth first, and no situation twice.

use std::{collections::HashSet, fmt::Debug, hash::Hash};

/// A call, and the tickets drawn just before and just after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<C, A> {
    pub(crate) call: C,
    pub(crate) answer: A,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The calls of each thread, in order.
pub(crate) type History<C, A> = Vec<Vec<Entry<C, A>>>;

/// A call that is due for a point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<C, A, P> {
    pub(crate) thread: usize,
    pub(crate) call: C,
    pub(crate) answer: A,
    /// How far it has come, if it has begun.
    pub(crate) stage: Option<P>,
    /// Whether none that is not over ends sooner.
    pub(crate) first: bool,
    /// Whether no other call can be under way when this call ends.
    pub(crate) last: bool,
    /// Whether no call of another thread that may take a lock is made at the same time.
    pub(crate) alone: bool,
}

/// Everything after a point, and how far the call has come then: to its end, if it has no stage.
pub(crate) type Then<S, P> = (S, Option<P>);

/// One call after the other.
pub(crate) trait Spec {
    type Call: Copy + Debug;
    type Answer: Copy + Debug;
    /// What the calls so far have made of it.
    type State: Clone + Eq + Hash;
    type Stage: Copy + Eq + Hash;

    fn start(&self) -> Self::State;

    /// What the next point of a call may come to, if this is the answer to it in the end.
    fn points(
        &self,
        state: &Self::State,
        turn: &Turn<Self::Call, Self::Answer, Self::Stage>,
    ) -> Vec<Then<Self::State, Self::Stage>>;

    /// Whether a call may take a lock.
    fn may_lock(_call: &Self::Call) -> bool {
        true
    }

    /// What may happen that is no call's, in the middle of one.
    fn between(&self, _state: &Self::State) -> Vec<Self::State> {
        Vec::new()
    }
}

/// How far the search has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Situation<S, P> {
    /// How many calls of each thread are over, and how far its next one has come.
    threads: Vec<(usize, Option<P>)>,
    state: S,
}

pub(crate) fn is_linearizable<S: Spec>(spec: &S, history: &History<S::Call, S::Answer>) -> bool {
    let start = Situation { threads: vec![(0, None); history.len()], state: spec.start() };
    let mut known = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some(situation) = open.pop() {
        let next = |i: usize| history[i].get(situation.threads[i].0);
        // Nothing may come before what is over already when it begins.
        let Some(first_end) = (0..history.len()).filter_map(next).map(|entry| entry.to).min() else {
            return true;
        };
        let mut add = |after: Situation<_, _>| {
            if known.insert(after.clone()) {
                open.push(after);
            }
        };
        if situation.threads.iter().any(|(_, stage)| stage.is_some()) {
            for state in spec.between(&situation.state) {
                add(Situation { state, ..situation.clone() });
            }
        }
        for i in 0..history.len() {
            let Some(entry) = next(i).filter(|entry| entry.from < first_end) else { continue };
            let mut others = (0..history.len()).filter(|&j| j != i).filter_map(next);
            let calls = (0..history.len()).filter(|&j| j != i).flat_map(|j| &history[j]);
            let mut locks = calls.filter(|other| S::may_lock(&other.call));
            let turn = Turn {
                thread: i,
                call: entry.call,
                answer: entry.answer,
                stage: situation.threads[i].1,
                first: entry.to == first_end,
                last: others.all(|other| other.from > entry.to),
                alone: locks.all(|other| other.from > entry.to || other.to < entry.from),
            };
            for (state, stage) in spec.points(&situation.state, &turn) {
                let mut after = Situation { state, threads: situation.threads.clone() };
                after.threads[i] = (situation.threads[i].0 + usize::from(stage.is_none()), stage);
                add(after);
            }
        }
    }
    false
}
