//! The order of the queue: lanes, and the order of arrival within a lane.

use core::{pin::Pin, task::Waker};

use super::{Caller, Core};
use crate::{
    gcra::Decision,
    lane::Lane,
    meter::{CLOSED, UNTOLD},
    permits::Permits,
    queue::entry::{Entry, Kind, Place},
};

impl Core {
    pub(in crate::queue) fn join(
        &mut self,
        place: Pin<&Place>,
        permits: Permits,
        cost: u64,
        deadline_ns: u64,
        lane: Lane,
        waker: Waker,
    ) {
        let entry = Entry { permits, cost, deadline_ns, lane, waker: Some(waker), kind: Kind::Single };
        self.sums.add(&entry);
        self.list.push(place, lane, entry);
        if self.sums.up_to(lane).entries < self.list.len() {
            // Waiters of lower lanes are due later.
            self.recheck = true;
            // The alarm is set for one of them if this waiter is the first, which may be due earlier.
            self.times_have_changed |= self.list.is_front(place) || self.has_dependent_times();
        }
    }

    /// Whether a later due time of some waiters has to be acted on at once: it may be past a deadline, or be known to the
    /// other queues of a final part.
    pub(super) fn has_dependent_times(&self) -> bool {
        let sum = self.sums.all();
        sum.deadlines > 0 || sum.final_parts > 0
    }

    /// Whether a waiter in the same or a higher lane goes before a newcomer.
    pub(in crate::queue) fn has_waiters_before(&self, lane: Lane) -> bool {
        self.waiters_before(lane) > 0
    }

    /// How many waiters go before a newcomer.
    pub(in crate::queue) fn waiters_before(&self, lane: Lane) -> usize {
        self.sums.up_to(lane).entries
    }

    /// The ticks that all waiters ask for.
    #[cfg(feature = "redis")]
    pub(in crate::queue) fn asked_ticks(&self) -> i128 {
        self.sums.all().ticks.try_into().unwrap_or(i128::MAX)
    }

    /// For each lane, the ticks that the waiters before a newcomer ask for, for calls without the lock. [`UNTOLD`] if that is
    /// not all that a newcomer has to know: with final parts, or while permits wait to be set aside. [`CLOSED`] if the
    /// limiter is closed.
    pub(in crate::queue) fn queued(&self) -> [u64; Lane::COUNT] {
        Lane::ALL.map(|lane| {
            if self.is_closed {
                return CLOSED;
            }
            let sum = self.sums.up_to(lane);
            let more = sum.final_parts > 0 || (self.deferred > 0 && !self.list.is_empty());
            let told = if more { None } else { u64::try_from(sum.ticks).ok() };
            told.filter(|&ticks| ticks < CLOSED).unwrap_or(UNTOLD)
        })
    }

    /// Whether a newcomer's request for `cost` ticks conforms, and no waiter goes first. The error is the tick from which on
    /// it does.
    pub(crate) fn conforms(&self, cost: u64, caller: Caller) -> Result<(), u64> {
        self.admission(cost, caller).map(drop)
    }

    /// The TAT after a newcomer's request for `cost` ticks, which conforms. The error is the tick from which on it does.
    pub(super) fn admission(&self, cost: u64, caller: Caller) -> Result<Option<u64>, u64> {
        // Zero ticks always conform, and are compared with no time.
        if cost == 0 {
            return Ok(None);
        }
        if self.has_waiters_before(caller.lane()) {
            return Err(self.turn(cost, caller.lane()));
        }
        match self.decide(self.floor_of(caller), cost) {
            Decision::Admit(tat) => Ok(Some(tat)),
            Decision::NotBefore(tick) => Err(tick),
        }
    }

    /// The tick from which on a request for `cost` ticks conforms that comes after the waiters of the lane and of higher
    /// lanes.
    pub(in crate::queue) fn turn(&self, cost: u64, lane: Lane) -> u64 {
        let first = if self.has_waiters_before(lane) { self.floor } else { self.now };
        let lanes = Lane::ALL[..=lane.index()].iter();
        let after_all = lanes.fold(u128::from(self.tat.max(first)), |tat, &lane| {
            tat.max(self.final_tick(lane)) + self.sums.of(lane).ticks
        });
        let tick = (after_all + u128::from(cost)).saturating_sub(self.frame.scale().limit.into());
        tick.try_into().unwrap_or(u64::MAX)
    }
}
