//! Waiters, and parts of calls for several limits.

use std::collections::VecDeque;

use super::{super::*, Fate, Model, Waiting};

impl Model {
    pub(super) fn final_parts(&self) -> usize {
        self.queue.iter().filter(|waiting| waiting.final_part.is_some()).count()
    }

    /// From when on the waiters are dated. When the last final part goes, the bucket may have been full for a while.
    fn first_base(&self) -> i128 {
        let first = self.ahead.max(self.floor);
        if self.final_parts() == 0 {
            return first;
        }
        first.max(self.passed(self.final_due_ns.max(self.origin_ns)))
    }

    /// The reading at which a request conforms that comes after all waiters.
    pub(in super::super) fn turn(&self, atoms: i128) -> u64 {
        let after_all = if self.queue.is_empty() {
            self.ahead.max(0)
        } else {
            self.first_base() + self.queue.iter().map(|waiting| waiting.atoms).sum::<i128>()
        };
        self.instant(after_all + atoms - self.limit)
    }

    pub(in super::super) fn join_front(&mut self, waiting: Waiting) {
        self.queue.insert(self.final_parts(), waiting);
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
            let later = !due && self.instant(new - self.limit) > self.final_due_ns;
            let front = self.queue.front_mut().unwrap();
            if let Some(woken) = &mut front.final_part {
                places -= usize::from(later || (due && !*woken));
                *woken = due;
                if due {
                    let next =
                        if self.refuse_late(places, &mut fates) { Next::FinalPart } else { Next::More };
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
        (fates, Next::Empty)
    }

    fn refuse_late(&mut self, mut places: usize, fates: &mut Vec<(Waiting, Fate)>) -> bool {
        let mut all = true;
        let mut ahead = self.first_base();
        let mut kept = VecDeque::new();
        for waiting in core::mem::take(&mut self.queue) {
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
        // The only final part may also be taken earlier than was thought.
        let known_ns = if self.final_parts() == 1 { 0 } else { self.final_due_ns };
        self.final_due_ns = known_ns.max(due_ns);
    }

    pub(in super::super) fn take_final_part(&mut self) -> Waiting {
        let final_part = self.queue.pop_front().unwrap();
        assert_eq!(self.take(final_part.atoms, Caller::Waiter, final_part.unused), Ok(()));
        if self.queue.is_empty() {
            self.drained();
        }
        final_part
    }
}
