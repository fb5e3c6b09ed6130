//! Reports, which take nothing.

use core::time::Duration;

use super::driver::Driver;
use crate::{clock::Clock, error::Denied, gcra::nanos, meter::Snapshot, permits::Permits};

impl<C: Clock + ?Sized> Driver<C> {
    /// The whole permits available, rounded down; negative in debt.
    pub(crate) fn available(&self) -> i64 {
        let (Snapshot { frame, tat, now }, _) = self.snapshot();
        let parked = frame.scale().parked(self.parked());
        let level = frame.scale().level(tat, now).saturating_add_unsigned(parked);
        level.div_euclid(frame.scale().per_permit as i64)
    }

    /// How long until `permits` are available to a newcomer, behind all waiters.
    pub(crate) fn time_until(&self, permits: Permits) -> Result<Duration, Denied> {
        let now_ns = self.clock().now();
        let parked = self.parked();
        if let Some(Snapshot { frame, tat, now }) = self.meter().snapshot(now_ns) {
            if let Some(cost) = frame.scale().cost(permits) {
                let there = u128::from(frame.scale().parked(parked));
                let all = u128::from(tat.max(now)) + u128::from(cost);
                let due_ns = if cost == 0 { 0 } else { frame.conforms_at(all.saturating_sub(there)) };
                return Ok(nanos(due_ns.saturating_sub(now_ns)));
            }
            if let Some(denied) = self.too_many(&frame, permits) {
                return Err(denied);
            }
        }
        self.with(|core| {
            let cost = core.cost(permits)?;
            if cost == 0 {
                return Ok(Duration::ZERO);
            }
            let tick = core.turn(cost).saturating_sub(core.frame().scale().parked(parked));
            Ok(nanos(core.frame().reading_at(tick).saturating_sub(core.now_ns())))
        })
    }

    /// How long until the bucket is full.
    pub(crate) fn time_until_full(&self) -> Duration {
        let (Snapshot { frame, tat, now }, now_ns) = self.snapshot();
        if tat <= now { Duration::ZERO } else { nanos(frame.reading_at(tat).saturating_sub(now_ns)) }
    }

    fn parked(&self) -> u64 {
        self.shares().map_or(0, |shares| shares.parked())
    }

    /// The level, and its clock reading.
    fn snapshot(&self) -> (Snapshot, u64) {
        let now_ns = self.clock().now();
        if let Some(snapshot) = self.meter().snapshot(now_ns) {
            return (snapshot, now_ns);
        }
        self.with(|core| {
            let (tat, now) = core.level();
            (Snapshot { frame: *core.frame(), tat, now }, core.now_ns())
        })
    }
}
