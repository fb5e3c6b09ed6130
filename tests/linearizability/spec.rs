//! The limiter and its clock, one call after the other: whole numbers, of which one nanosecond and one permit are
//! both a whole number.
//!
//! A call is two points in time: it reads the clock, and then does all that it does in one step, after the reading.
//! (The limiter reads the clock once, before it looks at its state; so it may decide by a time that has passed.) If it
//! finds that it needs the lock, it reads the clock once more, and decides by that. Moving the clock is one step.
//!
//! A change of quota counts the time up to its reading by the old one, and keeps the level, rounded down to a tick of
//! the new one and cut to its burst.

use tidegate::Quota;

use super::checker::{self, Then, Turn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Try(u64),
    UpTo(u64),
    Charge(u64),
    Refund(u64),
    Reset,
    Available,
    /// Makes that one of the quotas the one in force.
    Change(usize),
    /// Moves the clock, in nanoseconds.
    Advance(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Never,
    /// In nanoseconds.
    Wait(u64),
    Count(i64),
}

/// A quota in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Ticks to a nanosecond.
    nanosecond: i64,
    /// Ticks to a permit.
    permit: i64,
    /// Ticks to a full burst.
    limit: i64,
}

/// The quotas that may be in force, the first of them at first, and the bucket then.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    scales: Vec<Scale>,
    /// The theoretical arrival time at first.
    tat: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    now_ns: u64,
    /// Which quota is in force.
    quota: usize,
    /// The theoretical arrival time, in its ticks.
    tat: i64,
}

/// The latest reading of the clock.
type Read = u64;

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Scale {
    /// A tick is as long as it has to be for a nanosecond and a millionth of a permit to be whole numbers of it.
    pub(crate) fn new(quota: &Quota) -> Self {
        let (permits, period) = (quota.permits() as i64, quota.period().as_nanos() as i64);
        let common = gcd(permits, period);
        let (permits, period) = (permits / common, period / common);
        let finer = 1_000_000 / gcd(period, 1_000_000);
        let permit = period * finer;
        Self { nanosecond: permits * finer, permit, limit: permit * quota.burst() as i64 }
    }

    /// How long after `now_ns` it is until the clock shows so many ticks.
    fn wait(&self, ticks: i64, now_ns: u64) -> u64 {
        let due_ns = (ticks.max(0) as u64).div_ceil(self.nanosecond as u64);
        due_ns.saturating_sub(now_ns)
    }

    /// The theoretical arrival time at first.
    pub(crate) fn first_tat(&self, quota: &Quota) -> i64 {
        self.limit - self.permit * quota.initial() as i64
    }

    /// The answer to a call that is decided at `now_ns`, and the arrival time after it.
    pub(crate) fn step(&self, tat: i64, now_ns: u64, call: Call) -> (Answer, i64) {
        let now = now_ns as i64 * self.nanosecond;
        let base = tat.max(now);
        let level = self.limit + now - base;
        match call {
            Call::Try(n) => {
                let cost = n as i64 * self.permit;
                if cost > self.limit {
                    (Answer::Never, tat)
                } else if cost <= level {
                    (Answer::Done, base + cost)
                } else {
                    (Answer::Wait(self.wait(base + cost - self.limit, now_ns)), tat)
                }
            }
            Call::UpTo(most) => {
                let count = level.div_euclid(self.permit).clamp(0, most as i64);
                (Answer::Count(count), if count > 0 { base + count * self.permit } else { tat })
            }
            Call::Charge(n) => {
                let then = base + n as i64 * self.permit;
                (Answer::Wait(self.wait(then - self.limit, now_ns)), then)
            }
            Call::Refund(n) => (Answer::Done, (tat - n as i64 * self.permit).max(now.min(tat))),
            Call::Reset => (Answer::Done, tat.min(now)),
            Call::Available => (Answer::Count(level.div_euclid(self.permit)), tat),
            Call::Change(_) | Call::Advance(_) => (Answer::Done, tat),
        }
    }

    /// The arrival time by another scale, if one takes the place of the other at `now_ns`.
    fn convert(&self, tat: i64, now_ns: u64, other: &Self) -> i64 {
        let now = now_ns as i64 * self.nanosecond;
        let level = self.limit + now - tat.max(now);
        let level = (level * other.permit).div_euclid(self.permit);
        now_ns as i64 * other.nanosecond + (other.limit - level).max(0)
    }
}

impl Spec {
    pub(crate) fn new(quota: &Quota) -> Self {
        Self::with(&[*quota])
    }

    pub(crate) fn with(quotas: &[Quota]) -> Self {
        let scales: Vec<_> = quotas.iter().map(Scale::new).collect();
        let tat = scales[0].first_tat(&quotas[0]);
        Self { scales, tat }
    }
}

impl checker::Spec for Spec {
    type Call = Call;
    type Answer = Answer;
    type State = State;
    type Stage = Read;

    fn start(&self) -> State {
        State { now_ns: 0, quota: 0, tat: self.tat }
    }

    fn points(&self, state: &State, turn: &Turn<Call, Answer, Read>) -> Vec<Then<State, Read>> {
        let &State { now_ns, quota, tat } = state;
        if let Call::Advance(ns) = turn.call {
            return vec![(State { now_ns: now_ns + ns, ..state.clone() }, None)];
        }
        let read = || (state.clone(), Some(now_ns));
        let Some(read_ns) = turn.stage else { return vec![read()] };
        let scale = &self.scales[quota];
        if let Call::Change(other) = turn.call {
            let tat = scale.convert(tat, read_ns, &self.scales[other]);
            return vec![(State { now_ns, quota: other, tat }, None)];
        }
        let (right, tat) = scale.step(tat, read_ns, turn.call);
        let over = (right == turn.answer).then(|| (State { tat, ..state.clone() }, None));
        let again = (read_ns < now_ns).then(read);
        again.into_iter().chain(over).collect()
    }
}
