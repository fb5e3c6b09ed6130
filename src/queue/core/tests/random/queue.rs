//! Waiters, and parts of calls for several limits.

use core::time::Duration;

use super::{
    super::{
        model::{Fate, PERMIT, Waiting},
        *,
    },
    BATCH, History,
};

impl History {
    pub(super) fn enter(&mut self) {
        let permits = self.amount();
        let atoms = Self::atoms(permits);
        let cost = self.rig.core.cost(permits).unwrap();
        if cost == 0 {
            return;
        }
        let unused = self.random.chance(40);
        let lane = self.lane();
        let caller = Caller::Waiter(lane);
        let taken = self.rig.core.take(cost, caller);
        let taken = taken.map_err(|tick| self.rig.core.frame().reading_at(tick));
        assert_eq!(taken.map(drop), self.model.take(atoms, caller, unused));
        let due_ns = match taken {
            Ok(grant) => {
                if unused {
                    self.model.name_latest(grant);
                }
                return;
            }
            Err(due_ns) => due_ns,
        };
        let permit_ns = SECOND / self.rig.core.quota().permits();
        let wait_ns = self.random.one_of(&[NEVER, NEVER, 0, permit_ns, 3 * permit_ns, 10 * permit_ns]);
        let deadline_ns = after(self.rig.now_ns, Duration::from_nanos(wait_ns));
        if due_ns > deadline_ns {
            return;
        }
        let place = self.rig.place();
        let places = core::mem::take(&mut self.rig.places);
        let (core, at, waker) = (&mut self.rig.core, places[place].as_ref(), Waker::noop().clone());
        core.join(at, permits, cost, deadline_ns, lane, waker);
        self.rig.places = places;
        self.model.join(Waiting { place, atoms, deadline_ns, lane, final_part: None, unused });
    }

    /// One of the waiters leaves, between two steps.
    pub(super) fn leave(&mut self) {
        if self.model.queue.is_empty() {
            return;
        }
        let which = self.random.below(self.model.queue.len() as u64) as usize;
        let waiting = self.model.queue.remove(which).unwrap();
        assert_eq!(self.rig.core.is_front(self.rig.places[waiting.place].as_ref()), which == 0);
        assert!(self.rig.leave(waiting.place));
        assert!(!self.rig.leave(waiting.place));
        let queued = self.rig.core.queued();
        assert_eq!(queued.map(|ticks| ticks > 0), Lane::ALL.map(|lane| self.model.has_waiters_before(lane)));
    }

    pub(super) fn grant_due(&mut self) -> Next {
        let room = if self.random.chance(80) { BATCH } else { 1 + self.random.below(2) as usize };
        let mut batch = WakeBatch::new();
        for _ in room..BATCH {
            batch.push(Some(Waker::noop().clone()));
        }
        let next = self.rig.core.grant_due(&mut batch);
        let (fates, expected) = self.model.grant_due(room);
        assert_eq!(next, expected);
        for (waiting, fate) in fates {
            match (self.rig.granted(waiting.place), fate) {
                (Some(Outcome::Granted(grant)), Fate::Granted(held)) => {
                    if let Some(held) = held {
                        self.model.held[held].grant = Some(grant);
                    }
                }
                (Some(Outcome::Denied(denied)), Fate::Late(by_ns)) => {
                    assert_eq!(denied, Denied::NotYet(crate::NotYet::after(Duration::from_nanos(by_ns))));
                }
                (outcome, fate) => panic!("{outcome:?} is not {fate:?}"),
            }
        }
        for waiting in &self.model.queue {
            assert_eq!(self.rig.granted(waiting.place), None, "out of turn");
        }
        next
    }

    // === final parts ===

    pub(super) fn join_front(&mut self) {
        let permits = 1 + self.random.below(self.rig.core.quota().burst());
        let place = self.rig.place();
        let places = core::mem::take(&mut self.rig.places);
        let cost = self.rig.core.cost(permits.into()).unwrap();
        let lane = self.lane();
        self.rig.core.join_front(places[place].as_ref(), permits.into(), cost, lane, Waker::noop().clone());
        self.rig.places = places;
        let unused = self.random.chance(40);
        let atoms = i128::from(permits) * PERMIT;
        let final_part = Some(true);
        self.model.join_front(Waiting { place, atoms, deadline_ns: NEVER, lane, final_part, unused });
    }

    pub(super) fn try_final_parts(&mut self) {
        let is_final = |&place: &usize| self.model.queue[place].final_part.is_some();
        let final_parts: Vec<_> = (0..self.model.queue.len()).filter(is_final).collect();
        if final_parts.is_empty() {
            return;
        }
        let which = self.random.one_of(&final_parts);
        let Waiting { place, .. } = self.model.queue[which];
        let places = core::mem::take(&mut self.rig.places);
        let (core, at) = (&mut self.rig.core, places[place].as_ref());
        let due = core.is_final_part_due(at);
        assert_eq!(due, self.model.is_final_part_due(place));
        assert_eq!(core.final_part_due_ns(at), self.model.final_part_due_ns(place));
        if due && self.random.chance(60) {
            let (grant, _) = core.take_final_part(at).unwrap();
            let final_part = self.model.take_final_part();
            if final_part.unused {
                self.model.name_latest(grant);
            }
        } else if self.random.chance(80) {
            let due_ns = core.now_ns() + self.random.below(3 * SECOND);
            core.keep_final_part(at, due_ns);
            self.model.keep_final_part(place, due_ns);
        } else {
            core.wake_final_part_when_due(at);
            self.model.queue[which].final_part = Some(false);
        }
        self.rig.places = places;
    }
}
