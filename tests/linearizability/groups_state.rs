//! The buckets and queues of `groups_spec.rs`: who is due where, and what groups do.

use super::{
    groups_spec::Spec,
    several::MOST,
    timed_state::{Id, Outcome, State as Limit, Waiter},
};

/// Who waits for several limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Group {
    pub(crate) id: Id,
    /// What it asks for of each.
    pub(crate) costs: [i64; MOST],
    pub(crate) promise: i64,
    /// It is about to leave, and looks no more.
    pub(crate) leaves: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) limits: Vec<Limit>,
    /// Those that wait.
    pub(crate) groups: Vec<Group>,
}

impl State {
    pub(crate) fn now(&self) -> i64 {
        self.limits[0].now
    }

    /// The place of somebody in a queue.
    fn place(&self, i: usize, id: Id) -> Option<usize> {
        self.limits[i].queue.iter().position(|waiter| waiter.id == id)
    }

    fn group(&self, id: Id) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    fn is_granted_by(&self, i: usize, id: Id) -> bool {
        self.limits[i].outcomes.iter().any(|&(other, _)| other == id)
    }

    pub(crate) fn is_granted(&self, id: Id) -> bool {
        (0..self.limits.len()).any(|i| self.is_granted_by(i, id))
    }

    /// Whether somebody stands in that queue, or was granted something there.
    pub(crate) fn is_about(&self, i: usize, id: Id) -> bool {
        self.place(i, id).is_some() || self.is_granted_by(i, id)
    }

    /// Whether it has been granted what it hears of now.
    pub(crate) fn hear(&mut self, id: Id) -> bool {
        self.limits.iter_mut().filter_map(|limit| limit.hear(id)).count() > 0
    }

    /// It takes what it asks for of a limit, from the queue.
    fn grant(&mut self, i: usize, place: usize) {
        let limit = &mut self.limits[i];
        let Waiter { id, cost, .. } = limit.queue[place];
        limit.take(cost, limit.now);
        limit.queue.remove(place);
        limit.outcomes.push((id, Outcome::Granted { cost, looks: limit.looks.len() }));
    }
}

impl Spec {
    /// What so many permits of a limiter cost.
    pub(crate) fn cost(&self, i: usize, n: u64) -> i64 {
        (n * self.0[i].permit) as i64
    }

    pub(crate) fn costs(&self, amounts: [u64; MOST]) -> [i64; MOST] {
        std::array::from_fn(|i| if amounts[i] > 0 { self.cost(i, amounts[i]) } else { 0 })
    }

    /// Those of the limits that something is asked of.
    pub(crate) fn members(&self, costs: [i64; MOST]) -> impl Iterator<Item = usize> + use<> {
        (0..self.0.len()).filter(move |&i| costs[i] > 0)
    }

    /// What a full burst of a limiter costs.
    pub(crate) fn limit(&self, i: usize) -> i64 {
        self.cost(i, self.0[i].burst)
    }

    /// How long it is until so much can be had after so many of those who wait.
    fn wait(&self, state: &State, i: usize, place: usize, cost: i64) -> i64 {
        let Limit { now, tat, queue, .. } = &state.limits[i];
        let ahead: i64 = queue[..place].iter().map(|waiter| waiter.cost).sum();
        (tat.max(now) + ahead + cost - self.limit(i) - now).max(0)
    }

    /// How long it is until so much can be had after all who wait.
    pub(crate) fn wait_for_all(&self, state: &State, i: usize, cost: i64) -> i64 {
        self.wait(state, i, state.limits[i].queue.len(), cost)
    }

    /// Whether that one is due in a queue, past those ahead of it.
    fn is_due(&self, state: &State, i: usize, place: usize) -> bool {
        let Limit { now, tat, queue, .. } = &state.limits[i];
        let cost = queue[place].cost;
        let mut then = *tat.max(now);
        if then + cost > now + self.limit(i) {
            return false;
        }
        queue[..place].iter().all(|ahead| {
            then += ahead.cost;
            let in_time = |group: &Group| then + cost <= group.promise.max(*now) + self.limit(i);
            state.group(ahead.id).is_some_and(in_time)
        })
    }

    /// Whether somebody at the head of one of those queues who waits for one limit is still to be served.
    fn heads_are_due(&self, state: &State, costs: [i64; MOST]) -> bool {
        let is_single =
            |i: usize| state.limits[i].queue.first().is_some_and(|head| state.group(head.id).is_none());
        self.members(costs).any(|i| is_single(i) && self.is_due(state, i, 0))
    }

    /// In which of the queues where it stands somebody is due, and how long it is to its turn there.
    fn turns(&self, state: &State, group: &Group) -> Vec<(usize, bool, i64)> {
        let turn = |i| {
            let place = state.place(i, group.id)?;
            Some((i, self.is_due(state, i, place), self.wait(state, i, place, group.costs[i])))
        };
        self.members(group.costs).filter_map(turn).collect()
    }

    /// A group joins the queues where it does not stand.
    fn join_all(&self, state: &mut State, group: &Group) {
        for i in self.members(group.costs) {
            if state.place(i, group.id).is_none() {
                let waiter = Waiter { id: group.id, cost: group.costs[i], deadline: i64::MAX };
                state.limits[i].queue.push(waiter);
            }
        }
    }

    /// A group that stands everywhere takes from all if it is due in all.
    fn take_all(&self, state: &mut State, group: &Group) -> bool {
        let due = self.turns(state, group).iter().all(|&(_, due, _)| due);
        if due {
            for i in self.members(group.costs) {
                let place = state.place(i, group.id).expect("it stands there");
                state.grant(i, place);
            }
            state.groups.retain(|other| other.id != group.id);
        }
        due
    }

    /// A group comes.
    pub(crate) fn come(&self, state: &State, group: Group) -> Option<State> {
        if self.heads_are_due(state, group.costs) {
            return None;
        }
        let mut after = state.clone();
        after.groups.push(group);
        self.join_all(&mut after, &group);
        if !self.take_all(&mut after, &group) {
            let turns = self.turns(&after, &group);
            let &(scarcest, ..) = turns.iter().max_by_key(|&&(_, due, wait)| (!due, wait))?;
            for (i, limit) in after.limits.iter_mut().enumerate() {
                limit.queue.retain(|waiter| waiter.id != group.id || i == scarcest);
            }
        }
        Some(after)
    }

    /// A group looks, if that changes anything.
    pub(crate) fn look(&self, state: &State, group: &Group) -> Option<State> {
        let count = self.members(group.costs).count();
        let turns = self.turns(state, group);
        let stands = |i: usize| if turns.iter().any(|&(j, ..)| j == i) { group.costs[i] } else { 0 };
        if group.leaves || self.heads_are_due(state, std::array::from_fn(stands)) {
            return None;
        }
        let mut after = state.clone();
        if turns.len() < count {
            if !turns.iter().any(|&(_, due, _)| due) || self.heads_are_due(state, group.costs) {
                return None;
            }
            self.join_all(&mut after, group);
        }
        if !self.take_all(&mut after, group) {
            let now = state.now();
            let longest = self.turns(&after, group).iter().map(|&(.., wait)| wait).max()?.max(1);
            let own = after.groups.iter_mut().find(|other| other.id == group.id)?;
            let stands = now < own.promise;
            own.promise = if stands { own.promise.min(now + longest) } else { now + longest };
        }
        (after != *state).then_some(after)
    }

    /// Who is due and waits for one limit is served.
    pub(crate) fn serve(&self, state: &State) -> Vec<State> {
        let mut served = Vec::new();
        for (i, limit) in state.limits.iter().enumerate() {
            for (place, waiter) in limit.queue.iter().enumerate() {
                if state.group(waiter.id).is_none() && self.is_due(state, i, place) {
                    let mut after = state.clone();
                    after.grant(i, place);
                    served.push(after);
                }
            }
        }
        served
    }

    /// Whether there is somebody who is due.
    pub(crate) fn is_restless(&self, state: &State) -> bool {
        let is_due = |group: &Group| {
            let turns = self.turns(state, group);
            let due = turns.iter().filter(|&&(_, due, _)| due).count();
            !group.leaves && due > 0 && (due == turns.len())
        };
        state.groups.iter().any(is_due) || !self.serve(state).is_empty()
    }

    /// When the next of those who wait comes to be due, or a promise ends.
    pub(crate) fn next_stop(&self, state: &State) -> Option<i64> {
        let dues = state.limits.iter().enumerate().flat_map(|(i, limit)| {
            limit.queue.iter().map(move |waiter| limit.tat + waiter.cost - self.limit(i))
        });
        let promises = state.groups.iter().map(|group| group.promise);
        dues.chain(promises).filter(|&stop| stop > state.now()).min()
    }
}
