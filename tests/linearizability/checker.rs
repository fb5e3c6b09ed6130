//! The search for an order.
//!
//! A call is two points in time: it reads the clock, and then does all that it does in one step. Both lie between its
//! begin and its end, the step after the reading. (The limiter reads the clock once, before it looks at its state; so
//! it may decide by a time that has passed.) A charge may read the clock once more before its step; the wait that it
//! tells is counted from the first reading. Moving the clock is one step.
//!
//! All threads' next points are tried in turn, depth first, and no situation twice.

use std::collections::HashSet;

use super::spec::{Answer, Call, Spec};

/// A call, and the tickets drawn just before and just after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) call: Call,
    pub(crate) answer: Answer,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The calls of each thread, in order.
pub(crate) type History = Vec<Vec<Entry>>;

/// How far the search has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Situation {
    /// How many calls of each thread are over, and the first and the latest time that its next one has read.
    threads: Vec<(usize, Option<(u64, u64)>)>,
    now_ns: u64,
    tat: i64,
}

pub(crate) fn is_linearizable(spec: &Spec, history: &History) -> bool {
    let start = Situation { threads: vec![(0, None); history.len()], now_ns: 0, tat: spec.tat };
    let mut known = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some(situation) = open.pop() {
        let next = |i: usize| history[i].get(situation.threads[i].0);
        // Nothing may come before what is over already when it begins.
        let Some(first_end) = (0..history.len()).filter_map(next).map(|entry| entry.to).min() else {
            return true;
        };
        for i in 0..history.len() {
            let Some(entry) = next(i).filter(|entry| entry.from < first_end) else { continue };
            for after in points(spec, &situation, i, entry) {
                if known.insert(after.clone()) {
                    open.push(after);
                }
            }
        }
    }
    false
}

/// The situations after the next point of a thread.
fn points(spec: &Spec, situation: &Situation, i: usize, entry: &Entry) -> Vec<Situation> {
    let over = |now_ns, tat| {
        let mut after = Situation { now_ns, tat, ..situation.clone() };
        after.threads[i] = (situation.threads[i].0 + 1, None);
        after
    };
    let now_ns = situation.now_ns;
    if let Call::Advance(ns) = entry.call {
        return vec![over(now_ns + ns, situation.tat)];
    }
    let read = |first_ns| {
        let mut after = situation.clone();
        after.threads[i].1 = Some((first_ns, now_ns));
        after
    };
    let Some((first_ns, latest_ns)) = situation.threads[i].1 else { return vec![read(now_ns)] };
    let again = (matches!(entry.call, Call::Charge(_)) && latest_ns < now_ns).then(|| read(first_ns));
    let then = spec.step(situation.tat, latest_ns, first_ns, entry.call, entry.answer);
    again.into_iter().chain(then.map(|tat| over(now_ns, tat))).collect()
}
