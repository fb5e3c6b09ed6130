//! Reports, which take nothing.

use core::time::Duration;

use super::driver::Driver;
#[cfg(feature = "redis")]
use crate::meter::CLOSED;
use crate::{clock::Clock, error::Denied, gcra::nanos, lane::Lane, meter::Snapshot, permits::Permits};

/// The level of a limiter at a clock reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LevelAt {
    snapshot: Snapshot,
    now_ns: u64,
    /// In ticks.
    parked: u64,
}

impl LevelAt {
    #[cfg(feature = "keyed")]
    pub(crate) const fn of_word(snapshot: Snapshot, now_ns: u64) -> Self {
        Self { snapshot, now_ns, parked: 0 }
    }

    fn ticks(&self) -> i64 {
        let Snapshot { frame, tat, now } = &self.snapshot;
        frame.scale().level(*tat, *now).saturating_add_unsigned(self.parked)
    }

    /// In whole permits, rounded down; negative in debt.
    pub(crate) fn available(&self) -> i64 {
        self.ticks().div_euclid(self.snapshot.frame.scale().per_permit as i64)
    }

    pub(crate) fn time_until_next(&self) -> Duration {
        let per_permit = self.snapshot.frame.scale().per_permit;
        self.time_until_more(per_permit - self.ticks().rem_euclid(per_permit as i64) as u64)
    }

    pub(crate) fn time_until_full(&self) -> Duration {
        self.time_until_more(u64::MAX)
    }

    /// How long until the level is higher by so many ticks, or full.
    fn time_until_more(&self, ticks: u64) -> Duration {
        let Snapshot { frame, tat, now } = &self.snapshot;
        let missing = tat.saturating_sub(*now);
        // A full bucket is available at once, or at the end of a pause.
        let then_ns = if missing == 0 {
            frame.effective(self.now_ns)
        } else {
            frame.reading_at(now + missing.min(ticks))
        };
        nanos(then_ns.saturating_sub(self.now_ns))
    }
}

impl<C: Clock + ?Sized> Driver<C> {
    /// As [`try_take`](Self::try_take), with the level afterwards.
    pub(crate) fn try_take_reporting(&self, permits: Permits, lane: Lane) -> Result<LevelAt, Denied> {
        let now_ns = self.clock().now();
        if let Some(snapshot) = self.meter().draw_reporting(permits, now_ns) {
            self.watch().admitted();
            return Ok(self.level_at(snapshot, now_ns));
        }
        let taken = self.meter().draw(permits, 0, now_ns);
        let decision = self.finish_take(permits, lane, now_ns, taken);
        self.watch().decided(&decision);
        decision.map(|()| self.level())
    }

    pub(crate) fn level(&self) -> LevelAt {
        let now_ns = self.clock().now();
        if let Some(snapshot) = self.meter().snapshot(now_ns) {
            return self.level_at(snapshot, now_ns);
        }
        let (snapshot, now_ns) = self.with(|core| {
            let (tat, now) = core.level();
            (Snapshot { frame: *core.frame(), tat, now }, core.now_ns())
        });
        self.level_at(snapshot, now_ns)
    }

    /// The level, what all waiters ask for, and what the first of them asks for, in thousand-millionths of a permit;
    /// rounded down.
    #[cfg(feature = "redis")]
    pub(crate) fn depth(&self) -> (i128, i128, i128) {
        let level = self.level();
        let per_permit = i128::from(level.snapshot.frame.scale().per_permit);
        let nanos = |ticks: i128| (ticks * 1_000_000_000).div_euclid(per_permit);
        let (queued, first) = match self.meter().queued_ticks(Lane::LAST) {
            0 | CLOSED => (0, 0),
            _ => self.with(|core| (core.asked_ticks(), core.first_cost().map_or(0, i128::from))),
        };
        (nanos(level.ticks().into()), nanos(queued), nanos(first))
    }

    fn level_at(&self, snapshot: Snapshot, now_ns: u64) -> LevelAt {
        LevelAt { snapshot, now_ns, parked: snapshot.frame.scale().parked(self.parked()) }
    }

    /// How long until `permits` are available to a newcomer, behind the waiters of its lane and of higher lanes.
    pub(crate) fn time_until(&self, permits: Permits, lane: Lane) -> Result<Duration, Denied> {
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
            let tick = core.turn(cost, lane).saturating_sub(core.frame().scale().parked(parked));
            Ok(nanos(core.frame().reading_at(tick).saturating_sub(core.now_ns())))
        })
    }

    /// The state that the counters of a watch lack.
    #[cfg(feature = "stats")]
    pub(crate) fn state(&self) -> crate::watch::Now {
        let stolen = self.shares().map_or(0, |shares| shares.stolen());
        crate::watch::Now {
            waiting: self.waiting(),
            available: self.level().available(),
            parked: Permits::of_millionths(self.parked()),
            stolen: Permits::of_millionths(stolen),
        }
    }

    fn parked(&self) -> u64 {
        self.shares().map_or(0, |shares| shares.parked())
    }
}
