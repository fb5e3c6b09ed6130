//! Waiters, and parts of calls for several limits.

use std::collections::VecDeque;

use super::{super::*, Fate, Model, Waiting};

impl Model {
    fn of(&self, lane: Lane) -> impl Iterator<Item = &Waiting> {
        self.queue.iter().filter(move |waiting| waiting.lane == lane)
    }

    pub(super) fn final_parts(&self, lane: Lane) -> usize {
        self.of(lane).filter(|waiting| waiting.final_part.is_some()).count()
    }

    pub(in super::super) fn has_waiters_before(&self, lane: Lane) -> bool {
        self.queue.iter().any(|waiting| waiting.lane <= lane)
    }

    /// From when on the waiters of a lane are dated, behind other lanes. When its last final part goes, the bucket may have
    /// been full for a while.
    fn base_of(&self, lane: Lane, ahead: i128) -> i128 {
        if self.final_parts(lane) == 0 {
            return ahead;
        }
        ahead.max(self.passed(self.final_due_ns[lane.index()].max(self.origin_ns)))
    }

    /// The reading at which a request conforms that comes after the waiters of its lane and of higher lanes.
    pub(in super::super) fn turn(&self, atoms: i128, lane: Lane) -> u64 {
        let mut ahead = self.ahead.max(if self.has_waiters_before(lane) { self.floor } else { 0 });
        for lane in Lane::ALL.into_iter().filter(|&before| before <= lane) {
            ahead = self.base_of(lane, ahead) + self.of(lane).map(|waiting| waiting.atoms).sum::<i128>();
        }
        self.instant(ahead + atoms - self.limit)
    }

    pub(in super::super) fn join(&mut self, waiting: Waiting) {
        let place = self.queue.iter().filter(|before| before.lane <= waiting.lane).count();
        self.queue.insert(place, waiting);
    }

    pub(in super::super) fn join_front(&mut self, waiting: Waiting) {
        let higher = self.queue.iter().filter(|before| before.lane < waiting.lane).count();
        let parts = self.final_parts(waiting.lane);
        if parts == 0 {
            self.final_due_ns[waiting.lane.index()] = 0;
        }
        self.queue.insert(higher + parts, waiting);
    }

    /// Grants what is due, with so many places in the batch, and refuses all that are late.
    pub(in super::super) fn grant_due(&mut self, mut places: usize) -> (Vec<(Waiting, Fate)>, Next) {
        let mut fates = Vec::new();
        while let Some(&front) = self.queue.front() {
            if places == 0 {
                return (fates, Next::More);
            }
            let new = self.ahead.max(self.floor) + front.atoms;
            let due = new <= self.limit;
            let later = !due && self.instant(new - self.limit) > self.final_due_ns[front.lane.index()];
            let front = self.queue.front_mut().unwrap();
            if let Some(woken) = &mut front.final_part {
                places -= usize::from(later || (due && !*woken));
                *woken = due;
                if due {
                    let next = if self.refuse_late(places, &mut fates) { Next::Unknown } else { Next::More };
                    return (fates, next);
                }
            }
            let front = *front;
            let due_ns = self.instant(new - self.limit);
            let fate = if due {
                self.admit(new, self.floor, front.atoms, front.unused);
                Fate::Granted(front.unused.then(|| self.held.len() - 1))
            } else if due_ns <= front.deadline_ns {
                let next = if self.refuse_late(places, &mut fates) { Next::At(due_ns) } else { Next::More };
                return (fates, next);
            } else {
                Fate::Late(due_ns - front.deadline_ns)
            };
            self.queue.pop_front();
            fates.push((front, fate));
            places -= 1;
            if self.queue.is_empty() {
                self.drained();
            }
        }
        (fates, Next::Unknown)
    }

    fn refuse_late(&mut self, mut places: usize, fates: &mut Vec<(Waiting, Fate)>) -> bool {
        let mut all = true;
        let mut ahead = self.ahead.max(self.floor);
        let mut lane = None;
        let bases = Lane::ALL.map(|lane| self.base_of(lane, i128::MIN));
        let mut kept = VecDeque::new();
        for waiting in core::mem::take(&mut self.queue) {
            if lane.replace(waiting.lane) != Some(waiting.lane) {
                ahead = ahead.max(bases[waiting.lane.index()]);
            }
            let then = ahead + waiting.atoms;
            let due_ns = self.instant(then - self.limit);
            if due_ns > waiting.deadline_ns && places > 0 {
                places -= 1;
                fates.push((waiting, Fate::Late(due_ns - waiting.deadline_ns)));
                continue;
            }
            all &= due_ns <= waiting.deadline_ns;
            ahead = then;
            kept.push_back(waiting);
        }
        self.queue = kept;
        all
    }

    fn drained(&mut self) {
        let late = -self.ahead > 1_000 * self.rate;
        let credit_ns = if late { self.quota.catch_up_ns() } else { 0 };
        self.credit_until_ns = self.now_ns + credit_ns;
    }

    // === final parts ===

    pub(in super::super) fn is_final_part_due(&self, place: usize) -> bool {
        let front = self.queue.front().is_some_and(|waiting| waiting.place == place);
        front && self.ahead.max(self.floor) + self.queue[0].atoms <= self.limit
    }

    pub(in super::super) fn final_part_due_ns(&self, place: usize) -> u64 {
        let upto = self.queue.iter().position(|waiting| waiting.place == place).unwrap();
        let sum: i128 = self.queue.iter().take(upto + 1).map(|waiting| waiting.atoms).sum();
        self.instant(self.ahead.max(self.floor) + sum - self.limit)
    }

    pub(in super::super) fn keep_final_part(&mut self, place: usize, due_ns: u64) {
        let due = self.is_final_part_due(place);
        let waiting = self.queue.iter_mut().find(|waiting| waiting.place == place).unwrap();
        waiting.final_part = Some(due);
        let lane = waiting.lane;
        // The only final part may also be taken earlier than was thought.
        let known_ns = if self.final_parts(lane) == 1 { 0 } else { self.final_due_ns[lane.index()] };
        self.final_due_ns[lane.index()] = known_ns.max(due_ns);
    }

    pub(in super::super) fn take_final_part(&mut self) -> Waiting {
        let final_part = self.queue.pop_front().unwrap();
        let new = self.ahead.max(self.floor) + final_part.atoms;
        assert!(new <= self.limit);
        self.admit(new, self.floor, final_part.atoms, final_part.unused);
        if self.queue.is_empty() {
            self.drained();
        }
        final_part
    }
}
