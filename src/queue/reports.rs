//! What can be asked without taking anything.

use core::time::Duration;

use super::{
    calls::cost,
    doubt::{Refusal, Seen},
    hand_off::By,
    inner::NEVER,
    wait_queue::WaitQueue,
};
use crate::{
    clock::Clock, error::Denied, gcra::nanos, meter::wait_until, permits::Permits, published::Frame,
};

impl<C: Clock> WaitQueue<C> {
    /// The whole permits there are, rounded down; negative in debt.
    pub(crate) fn available(&self) -> i64 {
        self.whole_permits(&self.snapshot())
    }

    /// As [`available`](Self::available), by the clock as it is: nobody is woken.
    pub(crate) fn available_as_is(&self) -> i64 {
        self.whole_permits(&self.snapshot_at(self.clock.now()))
    }

    fn whole_permits(&self, Snapshot { frame, tat, now, .. }: &Snapshot) -> i64 {
        let parked = frame.scale.parked(self.parked());
        let level = frame.scale.level(*tat, *now).saturating_add_unsigned(parked);
        level.div_euclid(frame.scale.per_permit as i64)
    }

    /// How long until `permits` are there, taking nothing and counting those who wait.
    pub(crate) fn time_until(&self, permits: Permits) -> Result<Duration, Denied> {
        let snapshot = self.snapshot();
        let frame = &snapshot.frame;
        let cost = cost(frame, permits)?;
        if cost == 0 {
            return Ok(Duration::ZERO);
        }
        let all = snapshot.after_all.saturating_add(cost);
        let there = frame.scale.limit.saturating_add(frame.scale.parked(self.parked()));
        Ok(snapshot.wait_until(all.saturating_sub(there)))
    }

    /// How long until the burst is full.
    pub(crate) fn time_until_full(&self) -> Duration {
        let snapshot = self.snapshot();
        snapshot.wait_until(snapshot.tat)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.inner.lock().list.len()
    }

    /// A clock that has stepped back is followed for those who only look, too: they may go by it.
    fn snapshot(&self) -> Snapshot {
        let mut seen = None;
        loop {
            let now_ns = self.clock.now();
            let snapshot = self.snapshot_at(now_ns);
            let Snapshot { frame, tat, now, .. } = snapshot;
            if tat <= now || !(self.meter.doubted() || self.meter.is_behind(&frame, now_ns, tat)) {
                return snapshot;
            }
            match self.look_at_clock(now_ns, seen) {
                Refusal::Until(trusted_ns) => return Snapshot { trusted_ns, ..snapshot },
                Refusal::Unsure(saw) => seen = Some(saw),
                Refusal::Settled => {}
            }
        }
    }

    /// What a refusal without an end would come to.
    fn look_at_clock(&self, now_ns: u64, seen: Option<Seen>) -> Refusal {
        let refusal = self.locked_at(now_ns, |locked| locked.refuse_at(NEVER, seen));
        if self.meter.queued() > 0 {
            // Those who wait are looked after, too.
            self.drive(By::Other);
        }
        refusal
    }

    /// Without the lock if nobody waits.
    fn snapshot_at(&self, now_ns: u64) -> Snapshot {
        if let Some((edition, frame)) = self.meter.published.read()
            && let Some(now) = frame.tick(now_ns)
        {
            // While it is QUEUED, the frame may have been replaced already, and the word not yet.
            let state = self.meter.word.load();
            if state.is(edition.clear()) && self.meter.published.is_current(edition) {
                let tat = state.tat();
                return Snapshot { frame, now_ns, tat, now, after_all: tat.max(now), trusted_ns: NEVER };
            }
        }
        self.locked_at(now_ns, |locked| Snapshot {
            frame: locked.frame,
            now_ns,
            tat: locked.tat,
            now: locked.now,
            after_all: locked.after_all(),
            trusted_ns: NEVER,
        })
    }
}

/// What belongs together.
struct Snapshot {
    frame: Frame,
    now_ns: u64,
    tat: u64,
    now: u64,
    /// The arrival time when all have been served who wait.
    after_all: u64,
    /// When the clock is followed at the latest, if it seems to have stepped back.
    trusted_ns: u64,
}

impl Snapshot {
    /// How long until that tick, or until the clock is followed.
    fn wait_until(&self, tick: u64) -> Duration {
        if tick <= self.now {
            return Duration::ZERO;
        }
        let trusted = nanos(self.trusted_ns.saturating_sub(self.now_ns));
        wait_until(&self.frame, tick, self.now_ns).min(trusted)
    }
}
