//! The limiter and its clock, one call after the other: whole numbers, of which one nanosecond and one permit are
//! both a whole number.

use tidegate::Quota;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Try(u64),
    UpTo(u64),
    Charge(u64),
    Refund(u64),
    Reset,
    Available,
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

/// A quota, and the bucket at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    /// Units to a nanosecond.
    nanosecond: i64,
    /// Units to a permit.
    permit: i64,
    /// Units to a full burst.
    limit: i64,
    /// The theoretical arrival time at first.
    pub(crate) tat: i64,
}

impl Spec {
    pub(crate) fn new(quota: &Quota) -> Self {
        let nanosecond = quota.permits() as i64;
        let permit = quota.period().as_nanos() as i64;
        let limit = permit * quota.max_burst() as i64;
        Self { nanosecond, permit, limit, tat: limit - permit * quota.initial_level() as i64 }
    }

    /// How long after `now_ns` it is until the clock shows so many units.
    fn wait(&self, units: i64, now_ns: u64) -> u64 {
        let due_ns = (units.max(0) as u64).div_ceil(self.nanosecond as u64);
        due_ns.saturating_sub(now_ns)
    }

    /// The arrival time after a call that is decided at `now_ns`, if this is the answer to it. What is told of waits
    /// is counted from `told_ns`.
    pub(crate) fn step(
        &self,
        tat: i64,
        now_ns: u64,
        told_ns: u64,
        call: Call,
        answer: Answer,
    ) -> Option<i64> {
        let now = now_ns as i64 * self.nanosecond;
        let base = tat.max(now);
        let level = self.limit + now - base;
        let (right, then) = match call {
            Call::Try(n) => {
                let cost = n as i64 * self.permit;
                if cost > self.limit {
                    (Answer::Never, tat)
                } else if cost <= level {
                    (Answer::Done, base + cost)
                } else {
                    (Answer::Wait(self.wait(base + cost - self.limit, told_ns)), tat)
                }
            }
            Call::UpTo(most) => {
                let count = level.div_euclid(self.permit).clamp(0, most as i64);
                (Answer::Count(count), if count > 0 { base + count * self.permit } else { tat })
            }
            Call::Charge(n) => {
                let then = base + n as i64 * self.permit;
                (Answer::Wait(self.wait(then - self.limit, told_ns)), then)
            }
            Call::Refund(n) => (Answer::Done, (tat - n as i64 * self.permit).max(now.min(tat))),
            Call::Reset => (Answer::Done, tat.min(now)),
            Call::Available => (Answer::Count(level.div_euclid(self.permit)), tat),
            Call::Advance(_) => (Answer::Done, tat),
        };
        (right == answer).then_some(then)
    }
}
