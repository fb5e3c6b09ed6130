//! The core on one thread: random histories against a model, and one test for each rule.

mod credit;
mod deadlines;
mod final_parts;
mod model;
mod numbers;
mod random;
mod requota;
mod step_back;
mod sums;

use core::{pin::Pin, task::Waker};

use super::*;
use crate::{
    gcra::SKEW_NS,
    meter::UNTOLD,
    permits::Permits,
    queue::{entry::Grant, wake_batch::WakeBatch},
};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const MS: u64 = 1_000_000;

/// Where the clocks of the tests start, unless they say otherwise.
pub(super) const START: u64 = 100 * SECOND;

pub(super) fn quota(text: &str) -> Quota {
    text.parse().unwrap()
}

/// A core, the word that goes with it, and places for waiters.
pub(super) struct Rig {
    pub(super) core: Core,
    list: ListId,
    pub(super) word: State,
    pub(super) now_ns: u64,
    /// What the last step published.
    pub(super) thaw: Option<Thaw>,
    places: Vec<Pin<Box<Place>>>,
    /// The highest number that the word has held since the numbers last started anew.
    highest: u64,
}

impl Rig {
    pub(super) fn new(quota: Quota, now_ns: u64) -> Self {
        let scale = Scale::new(&quota).unwrap();
        let (frame, now) = Frame::first(scale, now_ns);
        let word = State::new(now + (quota.burst() - quota.initial()) * scale.per_permit, false, false);
        let list = ListId::unique();
        let mut core = Core::new(quota, frame, word, list);
        core.open(word, now_ns);
        core.close();
        Self { core, list, word, now_ns, thaw: None, places: Vec::new(), highest: word.tat() }
    }

    pub(super) fn of(text: &str) -> Self {
        Self::new(quota(text), START)
    }

    /// One step at the present reading.
    pub(super) fn step<T>(&mut self, run: impl FnOnce(&mut Core) -> T) -> T {
        self.core.open(self.word, self.now_ns);
        let (base, floor, now) = (self.core.frame.base(), self.core.floor, self.core.now);
        assert!(base <= floor && floor <= now, "{base} <= {floor} <= {now}");
        let result = run(&mut self.core);
        let thaw = self.core.close();
        self.check(&thaw);
        self.word = thaw.state;
        self.thaw = Some(thaw);
        result
    }

    /// The invariants at the head of `core.rs`.
    fn check(&mut self, thaw: &Thaw) {
        // Calls without the lock may have raised it.
        self.highest = self.highest.max(self.word.tat());
        let Core { list, sums, frame, highest, .. } = &mut self.core;
        assert_eq!(thaw.state.is_owned(), !list.is_empty(), "OWNED exactly while there are waiters");
        let (mut all, mut final_parts_lead, mut last) = (Sums::default(), true, Lane::Urgent);
        list.visit(|entry| {
            let lane = all.of(entry.lane);
            final_parts_lead &= !entry.kind.is_final() || lane.final_parts == lane.entries;
            assert!(last <= entry.lane, "the lanes ascend");
            last = entry.lane;
            all.add(entry);
            true
        });
        assert_eq!(*sums, all);
        assert!(final_parts_lead, "final parts stand before all other entries of their lane");
        for lane in Lane::ALL {
            let (told, waits) = (thaw.queued[lane.index()], all.up_to(lane).entries > 0);
            assert!((told > 0) == waits || (told == UNTOLD && !list.is_empty()), "{lane:?}: {told}");
        }
        if let Some(published) = &thaw.frame {
            assert_eq!(published, frame);
            if published.base() > 0 {
                assert!(published.base() > self.highest, "{} was in the word", self.highest);
            } else {
                assert!(self.highest > MAX_TAT / 4, "numbers are left after {}", self.highest);
                self.highest = 0;
            }
        }
        self.highest = self.highest.max(thaw.state.tat());
        assert!(thaw.state.tat() >= frame.base());
        assert!(*highest >= self.highest);
    }

    /// A place that is not in the queue yet.
    pub(super) fn place(&mut self) -> usize {
        self.places.push(Box::pin(Place::new(self.list)));
        self.places.len() - 1
    }

    pub(super) fn at(&self, place: usize) -> Pin<&Place> {
        self.places[place].as_ref()
    }

    pub(super) fn granted(&self, place: usize) -> Option<Outcome> {
        self.places[place].outcome()
    }

    /// Runs a step on a place.
    pub(super) fn with<T>(&mut self, place: usize, run: impl FnOnce(&mut Core, Pin<&Place>) -> T) -> T {
        let places = core::mem::take(&mut self.places);
        let result = self.step(|core| run(core, places[place].as_ref()));
        self.places = places;
        result
    }

    /// Takes permits as a call that does not wait. The error is the clock reading at which they conform.
    pub(super) fn take(&mut self, permits: u64) -> Result<Grant, u64> {
        self.step(|core| {
            let cost = core.cost(permits.into()).unwrap();
            core.conforms(cost, Caller::Try(Lane::Normal))
                .and_then(|()| core.take(cost, Caller::Try(Lane::Normal)))
                .map_err(|tick| core.frame().reading_at(tick))
        })
    }

    /// Takes permits as a caller that would wait otherwise.
    pub(super) fn take_as_waiter(&mut self, permits: u64) -> Result<Grant, u64> {
        self.step(|core| {
            let cost = core.cost(permits.into()).unwrap();
            core.take(cost, Caller::Waiter(Lane::Normal)).map_err(|tick| core.frame().reading_at(tick))
        })
    }

    /// Puts a waiter into the queue that the caller knows has to wait.
    pub(super) fn join(&mut self, permits: u64, deadline_ns: u64) -> usize {
        self.join_lane(Lane::Normal, permits, deadline_ns)
    }

    pub(super) fn join_lane(&mut self, lane: Lane, permits: u64, deadline_ns: u64) -> usize {
        let place = self.place();
        self.with(place, |core, place| {
            let cost = core.cost(permits.into()).unwrap();
            core.join(place, permits.into(), cost, deadline_ns, lane, Waker::noop().clone());
        });
        place
    }

    pub(super) fn join_front(&mut self, permits: u64) -> usize {
        let place = self.place();
        self.with(place, |core, place| {
            let cost = core.cost(permits.into()).unwrap();
            core.join_front(place, permits.into(), cost, Lane::Normal, Waker::noop().clone());
        });
        place
    }

    /// Takes a waiter out, between two steps.
    pub(super) fn leave(&mut self, place: usize) -> bool {
        self.core.leave(self.places[place].as_ref()).is_some()
    }

    pub(super) fn grant_due(&mut self) -> Next {
        self.step(|core| core.grant_due(&mut WakeBatch::new()))
    }

    /// The level in ticks.
    pub(super) fn level(&mut self) -> i64 {
        self.step(|core| core.frame().scale().level(core.tat, core.now))
    }

    /// Whole permits in ticks.
    pub(super) fn permits(&self, permits: i64) -> i64 {
        permits * self.core.frame.scale().per_permit as i64
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for place in &self.places {
            self.core.leave(place.as_ref());
        }
    }
}

/// A small generator (`SplitMix64`), so that a failing history can be repeated by its seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below that.
    pub(super) const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    pub(super) const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
