//! The limiter in exact arithmetic: time and permits in one unit, of which both a nanosecond and a millionth
//! of a permit are whole numbers.

use num_integer::Integer;
use tidegate::{Inherit, Quota};

use super::oracle::grain;

/// A duration that the model answers, in nanoseconds, rounded up.
pub type Nanos = i128;

/// The exact model of one limiter.
#[derive(Clone, Debug)]
pub struct Model {
    /// Units to a nanosecond.
    nanosecond: i128,
    /// Units to a millionth of a permit.
    millionth: i128,
    /// Units to a full burst.
    limit: i128,
    /// The theoretical arrival time.
    tat: i128,
}

impl Model {
    pub fn new(quota: &Quota, now_ns: u64) -> Self {
        let millionth = quota.period().as_nanos() as i128;
        let permit = millionth * 1_000_000;
        let nanosecond = i128::from(quota.permits()) * 1_000_000;
        let limit = permit * i128::from(quota.burst());
        let tat = i128::from(now_ns) * nanosecond + limit - permit * i128::from(quota.initial());
        Self { nanosecond, millionth, limit, tat }
    }

    /// Another quota. The level is rounded down to a tick of its scale, as the limiter promises.
    pub fn change(&mut self, from: &Quota, to: &Quota, inherit: Inherit, now_ns: u64) {
        let (old, old_tick, tick) = (self.clone(), tick(from), tick(to));
        *self = Self::new(&to.with_initial(0), now_ns);
        let level = old.level(now_ns);
        assert_eq!(level % old_tick, 0, "a part of a tick");
        let (by, of) = match inherit {
            Inherit::Proportionally => (self.limit / tick, old.limit / old_tick),
            _ => (self.cost(1_000_000) / tick, old.cost(1_000_000) / old_tick),
        };
        let converted = (level / old_tick * by).div_euclid(of) * tick;
        let more = i128::from(to.burst()) - i128::from(from.burst());
        let level = match inherit {
            Inherit::Additively => converted + self.cost(1_000_000) * more,
            Inherit::Reset => self.cost(to.initial() * 1_000_000),
            _ => converted,
        };
        self.tat -= level.min(self.limit);
    }

    /// Converts units of this quota to units of another, rounded down to a tick of the other quota.
    pub fn convert(&self, units: i128, from: &Quota, other: &Self, to: &Quota) -> i128 {
        let (old_tick, tick) = (tick(from), tick(to));
        let (by, of) = (other.cost(1_000_000) / tick, self.cost(1_000_000) / old_tick);
        (units / old_tick * by).div_euclid(of) * tick
    }

    /// By how much the arrival time is ahead, and the arrival time.
    pub fn ahead(&self, now_ns: u64) -> (i128, i128) {
        (self.tat - self.now(now_ns), self.tat)
    }

    pub fn now(&self, now_ns: u64) -> i128 {
        i128::from(now_ns) * self.nanosecond
    }

    pub fn cost(&self, millionths: u64) -> i128 {
        i128::from(millionths) * self.millionth
    }

    fn nanos(&self, units: i128) -> Nanos {
        units.max(0).div_euclid(self.nanosecond) + i128::from(units.max(0) % self.nanosecond > 0)
    }

    /// The level, in units.
    fn level(&self, now_ns: u64) -> i128 {
        self.limit - (self.tat - self.now(now_ns)).max(0)
    }

    /// Whole permits, rounded down.
    pub fn available(&self, now_ns: u64) -> i128 {
        self.level(now_ns).div_euclid(self.cost(1_000_000))
    }

    /// Whether as much is more than a burst.
    pub fn is_never(&self, millionths: u64) -> bool {
        self.cost(millionths) > self.limit
    }

    /// How long until so many permits are available; zero if they are.
    pub fn time_until(&self, millionths: u64, now_ns: u64) -> Nanos {
        if millionths == 0 {
            return 0;
        }
        self.nanos(self.cost(millionths) - self.level(now_ns))
    }

    /// How long until the burst is full.
    pub fn time_until_full(&self, now_ns: u64) -> Nanos {
        self.nanos(self.tat - self.now(now_ns))
    }

    /// How long until the level is zero.
    pub fn time_until_paid(&self, now_ns: u64) -> Nanos {
        self.nanos(-self.level(now_ns))
    }

    /// Takes as much without asking.
    pub fn charge(&mut self, millionths: u64, now_ns: u64) {
        if millionths > 0 {
            self.tat = self.tat.max(self.now(now_ns)) + self.cost(millionths);
        }
    }

    /// Gives as much back.
    pub fn refund(&mut self, millionths: u64, now_ns: u64) {
        self.tat = (self.tat - self.cost(millionths)).max(self.tat.min(self.now(now_ns)));
    }

    /// Takes back something that was taken, and leaves all that came after it as it is.
    pub fn take_back(&mut self, units: i128) {
        self.tat -= units;
    }

    /// Makes the burst full.
    pub fn reset(&mut self, now_ns: u64) {
        self.tat = self.tat.min(self.now(now_ns));
    }
}

/// Units to a tick of a quota that is exact.
fn tick(quota: &Quota) -> i128 {
    let common = u128::from(quota.permits()).gcd(&quota.period().as_nanos());
    let grain = u128::from(grain(quota).expect("an exact scale"));
    let finer = grain / (quota.period().as_nanos() / common).gcd(&grain);
    (common * 1_000_000 / finer) as i128
}
