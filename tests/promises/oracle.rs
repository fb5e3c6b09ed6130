//! The limiter in exact arithmetic, for clocks that step back, debts and fractions of a permit.
//!
//! Time and permits are counted in one unit, so fine that a nanosecond and a millionth of a permit are both
//! whole numbers of it, and a tick too where one is cut off. With whole numbers of any size there is no rounding at
//! all.

use std::time::Duration;

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{One, Signed, Zero};
use tidegate::{Inherit, Quota};

pub(crate) const MILLION: u64 = 1_000_000;

/// How long an inexact scale lasts at least: ten years.
const LONG_NS: u64 = 315_576_000_000_000_000;

/// How long a frame of the limiter lasts at least: an hour.
const FRAME_NS: u64 = 3_600_000_000_000;

/// One bucket.
#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    /// Units to a nanosecond.
    nanosecond: BigInt,
    /// Units to a millionth of a permit.
    millionth: BigInt,
    /// Units to a tick of the limiter, to which a price is rounded up; one if the tick is not known.
    tick: BigInt,
    /// By how much less than a tick the limiter's level may be off although nothing has been converted: by nothing if
    /// its scale is exact.
    fresh: BigInt,
    limit: BigInt,
    /// The theoretical arrival time.
    tat: BigInt,
    now: BigInt,
    /// Since when the limiter's origin cannot have moved.
    origin: BigInt,
    /// How far below this level the limiter's may be, and how far above.
    below: BigInt,
    above: BigInt,
}

impl Oracle {
    pub(crate) fn new(quota: &Quota, now_ns: u64) -> Self {
        let nanosecond = BigInt::from(quota.permits()) * MILLION;
        let millionth = BigInt::from(quota.period().as_nanos());
        let permit = &millionth * MILLION;
        let now = &nanosecond * now_ns;
        let missing = &permit * (quota.burst() - quota.initial());
        let limit = &permit * quota.burst();
        let tick = ticks(quota).map_or_else(BigInt::one, |ticks| permit / ticks);
        let [fresh, below, above] = [const { BigInt::ZERO }; 3];
        let (tat, origin) = (&now + missing, now.clone());
        Self { nanosecond, millionth, tick, fresh, limit, tat, now, origin, below, above }
    }

    /// If requests can be for so much of the burst only.
    pub(crate) fn up_to(mut self, most: u64) -> Self {
        let level = self.level();
        self.limit = self.permit() * most;
        self.tat = &self.now + &self.limit - level.min(self.limit.clone());
        self
    }

    /// If the limiter's level may be off by less than a tick.
    pub(crate) fn within(mut self, tick: Tick) -> Self {
        let Self { nanosecond, millionth, limit, tat, now, origin, .. } = &mut self;
        for amount in [nanosecond, millionth, limit, tat, now, origin] {
            *amount *= tick.fine();
        }
        self.tick = self.permit() / tick.parts;
        self.fresh = tick.of(&self.permit()) - 1;
        self.renew();
        self
    }

    /// As [`within`](Self::within), as far as the scale of this quota is not exact.
    pub(crate) fn within_tick_of(self, quota: &Quota) -> Self {
        if ticks(quota).is_some() {
            return self;
        }
        self.within(Tick { parts: inexact_ticks(quota).expect("a scale"), far_ns: LONG_NS })
    }

    /// Another quota, of which requests can be for `most`. The level is rounded down to a tick of that.
    ///
    /// Where the new scale is exact, and all before were, this is all. Where it is not, less than a tick more may be
    /// off after each change: the present is rounded down to a tick, now from another origin than before, and so by
    /// another part of a tick. (It is no more than that as soon as the bucket has been full.)
    pub(crate) fn change(&mut self, from: &Quota, to: &Quota, most: u64, inherit: Inherit) {
        let now_ns = u64::try_from(&self.now / &self.nanosecond).expect("a clock reading");
        let (permit, level) = (self.permit(), self.level());
        let mut new = Self::new(to, now_ns).within_tick_of(to);
        let full = new.permit() * to.burst();
        new.limit = new.permit() * most;
        let rounded_down = |amount: BigInt, by: &BigInt| amount.div_floor(&(by * &new.tick)) * &new.tick;
        let converted = |level: &BigInt| {
            let level = match inherit {
                Inherit::AsIs => rounded_down(level * new.permit(), &permit),
                Inherit::Additively => {
                    let missing = level - &permit * from.burst();
                    &full + rounded_down(missing * new.permit(), &permit)
                }
                Inherit::Proportionally => rounded_down(level * &new.limit, &self.limit),
                Inherit::Reset => new.permit() * to.initial(),
            };
            level.min(new.limit.clone())
        };
        let (least, level, most) =
            (converted(&(&level - &self.below)), converted(&level), converted(&(&level + &self.above)));
        new.below = &level - least + &new.fresh;
        new.above = most - &level + &new.fresh;
        new.tat = &new.now + &new.limit - level;
        *self = new;
    }

    /// The limiter starts from the present: what was off is no more.
    fn renew(&mut self) {
        (self.below, self.above) = (self.fresh.clone(), self.fresh.clone());
    }

    /// What so much costs: rounded up to a tick.
    fn price(&self, millionths: impl Into<BigInt>) -> BigInt {
        Integer::div_ceil(&(&self.millionth * millionths.into()), &self.tick) * &self.tick
    }

    fn permit(&self) -> BigInt {
        &self.millionth * MILLION
    }

    /// After an hour the origin may have moved, which rounds down to a tick once more.
    pub(crate) fn set_now(&mut self, now_ns: u64) {
        self.now = &self.nanosecond * now_ns;
        if &self.now - &self.origin > &self.nanosecond * FRAME_NS {
            self.origin.clone_from(&self.now);
            self.below += &self.fresh;
            self.above += &self.fresh;
        }
    }

    fn level(&self) -> BigInt {
        &self.limit - (&self.tat - &self.now).max(BigInt::zero())
    }

    fn nanos(&self, units: &BigInt) -> BigInt {
        if units.is_positive() { Integer::div_ceil(units, &self.nanosecond) } else { BigInt::zero() }
    }

    /// Whole permits, rounded down.
    pub(crate) fn available(&self) -> BigInt {
        self.available_with(0)
    }

    pub(crate) fn fits(&self, millionths: impl Into<BigInt>) -> bool {
        let millionths = millionths.into();
        millionths.is_zero() || self.level() >= self.price(millionths)
    }

    /// Whether the limiter is sure to find that so much is there, and a permit more.
    pub(crate) fn fits_with_ease(&self, millionths: u64) -> bool {
        self.level() >= self.price(millionths) + self.permit() + &self.below
    }

    /// Whether the limiter may find that as much is there, or that it is not.
    pub(crate) fn agrees(&self, millionths: u64, fits: bool) -> bool {
        // With what an idle bucket would have gained on top.
        let missing = self.price(millionths) - &self.limit + &self.tat - &self.now;
        if fits { missing <= self.above } else { missing > -&self.below }
    }

    /// Nanoseconds until as much is there, rounded up.
    pub(crate) fn wait(&self, millionths: impl Into<BigInt>) -> BigInt {
        self.wait_with(0, millionths)
    }

    /// As [`available`](Self::available), with so many millionths beside it.
    pub(crate) fn available_with(&self, beside: u64) -> BigInt {
        (self.level() + &self.millionth * beside).div_floor(&self.permit())
    }

    /// As [`wait`](Self::wait), with so many millionths beside it.
    pub(crate) fn wait_with(&self, beside: u64, millionths: impl Into<BigInt>) -> BigInt {
        let millionths = millionths.into();
        if millionths.is_zero() {
            return BigInt::zero();
        }
        self.nanos(&(self.price(millionths) - self.level() - &self.millionth * beside))
    }

    /// As [`available_with`](Self::available_with), as the limiter may find it: at least, and at most.
    pub(crate) fn available_within(&self, beside: u64) -> (BigInt, BigInt) {
        let level = self.level() + &self.millionth * beside;
        let permits = |level: BigInt| level.div_floor(&self.permit());
        (permits(&level - &self.below), permits(level + &self.above))
    }

    /// As [`wait_with`](Self::wait_with), as the limiter may find it: at least, and at most. It was told so long, by a
    /// rate that is rounded up where the scale is not exact.
    pub(crate) fn wait_with_within(&self, beside: u64, millionths: u64, told: Duration) -> (BigInt, BigInt) {
        let missing = self.price(millionths) - self.level() - &self.millionth * beside;
        let far = if self.fresh.is_zero() { BigInt::ZERO } else { (&self.tick * told.as_nanos()) >> 64_u32 };
        // As far as a clock can show it.
        let longest = BigInt::from(u64::MAX) - &self.now / &self.nanosecond;
        let wait = |missing: BigInt| self.nanos(&missing).min(longest.clone());
        (wait(&missing - &self.above - far), wait(missing + &self.below))
    }

    /// The nanoseconds until the level is as much, rounded up, if it may be off by less than that tick, then as now: at
    /// least, and at most.
    pub(crate) fn wait_within(&self, millionths: impl Into<BigInt>, tick: Tick) -> (BigInt, BigInt) {
        let missing = self.price(millionths) - self.level();
        let off = tick.of(&self.permit());
        // The first nanosecond at which less than `off` is missing, and the one after the last at which it is as much
        // below.
        let after = |units: BigInt| {
            if units.is_negative() { BigInt::zero() } else { units.div_floor(&self.nanosecond) + 1 }
        };
        (after(&missing - &off), after(missing + off - 1))
    }

    pub(crate) fn wait_until_full(&self) -> BigInt {
        self.nanos(&(&self.tat - &self.now))
    }

    pub(crate) fn wait_until_paid(&self) -> BigInt {
        self.wait_for_level(0)
    }

    /// Nanoseconds until the level is as much, zero too, rounded up.
    pub(crate) fn wait_for_level(&self, millionths: impl Into<BigInt>) -> BigInt {
        self.nanos(&(self.price(millionths) - self.level()))
    }

    /// Takes as much whether it is there or not.
    pub(crate) fn take(&mut self, millionths: impl Into<BigInt>) {
        let millionths = millionths.into();
        if millionths.is_positive() {
            if &self.tat + &self.below <= self.now {
                self.renew();
            }
            self.tat = self.tat.clone().max(self.now.clone()) + self.price(millionths);
        }
    }

    /// Takes as much for a waiter that became due less than a nanosecond ago.
    pub(crate) fn take_in_turn(&mut self, millionths: u64) {
        self.tat += self.price(millionths);
    }

    /// What is beside the word was `before` and is `beside` now, and `taken` has been taken: the rest has gone to or fro.
    pub(crate) fn moved(&mut self, before: u64, beside: u64, taken: u64) {
        let after = beside + taken;
        if beside < before && taken > 0 {
            // The word took what the request lacked, rounded up to a millionth, of which a part may have overflowed.
            self.below += &self.millionth;
        }
        if after >= before {
            self.take(after - before);
        } else {
            // Rounded down to a tick, as it was paid for: it must not come back as more.
            self.give(&(&self.millionth * (before - after)).div_floor(&self.tick) * &self.tick);
        }
    }

    /// Gives so much back: rounded down to a tick.
    pub(crate) fn refund(&mut self, millionths: impl Into<BigInt>) {
        let units = &self.millionth * millionths.into();
        self.give(units.div_floor(&self.tick) * &self.tick);
    }

    fn give(&mut self, units: BigInt) {
        let full = self.tat.clone().min(self.now.clone());
        self.tat = (&self.tat - units).max(full);
    }

    /// Sets the level to whole permits, or to the limit if that is less.
    pub(crate) fn set_level(&mut self, permits: u64) {
        self.tat = &self.now + (&self.limit - self.permit() * permits).max(BigInt::zero());
    }

    /// Takes all that is available.
    pub(crate) fn drain(&mut self) {
        self.tat = self.tat.clone().max(&self.now + &self.limit);
    }

    pub(crate) fn reset(&mut self) {
        self.tat = self.tat.clone().min(self.now.clone());
    }
}

/// The tick of a scale that is not exact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    /// How many are a permit.
    pub(crate) parts: u64,
    /// How long it has been since the origin. The rate is rounded up in its 64th binary place: by less than a part of
    /// 2^64 of a tick in each nanosecond.
    pub(crate) far_ns: u64,
}

impl Tick {
    /// How much finer the units have to be for the tick of a permit to be a whole number of them.
    fn fine(self) -> BigInt {
        BigInt::from(self.parts) << 64_u32
    }

    /// This tick of a permit, and by how much the rounding of the rate has made it longer, in the fine units.
    fn of(self, permit: &BigInt) -> BigInt {
        permit * ((1_u128 << 64) + u128::from(self.far_ns)) / self.fine()
    }
}

/// How many ticks a permit is where no scale is exact; `None` if there is no scale at all.
///
/// It says again what `gcra.rs` promises: the word has to hold two bursts and ten years.
pub(crate) fn inexact_ticks(quota: &Quota) -> Option<u64> {
    let ten_years = u128::from(quota.permits()) * u128::from(LONG_NS);
    let permits = ten_years.div_ceil(quota.period().as_nanos()) + 2 * u128::from(quota.burst());
    let ticks = ((1_u128 << 62) - 1) / permits;
    (ticks > 0).then_some(ticks as u64)
}

/// How fine the amounts are for which this quota is exact, in parts of a permit; `None` if for none.
pub(crate) fn grain(quota: &Quota) -> Option<u64> {
    exact_scale(quota).map(|(grain, _)| grain)
}

/// How long the word lasts that this quota gets, if it is exact.
pub(crate) fn word_ns(quota: &Quota) -> Option<u64> {
    exact_scale(quota).map(|(_, ticks)| (1 << 62) / ticks)
}

/// How many ticks a permit is, if it is exact.
fn ticks(quota: &Quota) -> Option<u128> {
    let (_, ticks) = exact_scale(quota)?;
    Some(u128::from(ticks) * quota.period().as_nanos() / u128::from(quota.permits()))
}

/// The parts of a permit, and the ticks to a nanosecond.
///
/// It says again what `gcra.rs` promises: the word has to hold two bursts and an hour.
fn exact_scale(quota: &Quota) -> Option<(u64, u64)> {
    let (n, p) = (u128::from(quota.permits()), quota.period().as_nanos());
    let common = n.gcd(&p);
    let (n, p) = (n / common, p / common);
    [1_000_000_u128, 1_000, 10, 1].into_iter().find_map(|grain| {
        let k = grain / p.gcd(&grain);
        let bursts = (2 * u128::from(quota.burst())).checked_mul(p.checked_mul(k)?)?;
        let hour = n.checked_mul(k)?.checked_mul(3_600_000_000_000)?;
        (bursts.checked_add(hour)? < 1 << 62).then_some((grain as u64, (n * k) as u64))
    })
}
