//! What has happened to the bucket of the model: the times it was compared with, the grants that go unused, and what
//! was admitted when.
//!
//! What goes back is reckoned twice. By the rule: it is the least of the cost, of how far ours was ahead at each
//! comparison since, and of how far it is ahead now; here all comparisons are kept. And as long as nothing else has
//! gone back since the grant, by a bucket of its own that has seen all but this grant, and stops at each time that ours
//! is compared with.

use super::{Model, SKEW};
use crate::queue::{entry::Grant, ledger::NOTES};

/// A grant that will not be used.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Held {
    pub(in super::super) grant: Option<Grant>,
    pub(in super::super) atoms: i128,
    /// How many comparisons there were before it.
    after: usize,
    /// The TAT of a bucket without this grant, if that is known.
    alone: Option<i128>,
    /// What that bucket may be wrong by.
    slop: i128,
    /// The limiter may have made one of two notes since.
    merged: bool,
    entry: usize,
}

#[derive(Debug, Default)]
pub(super) struct History {
    /// How far the TAT was ahead, and of which time: by a number that all comparisons with one time share.
    comparisons: Vec<(i128, usize)>,
    /// The last time it was compared with, on the axis on which the present is `place`.
    compared: Option<i128>,
    place: i128,
    /// By time as the limiter has seen it pass: what was admitted and not given back.
    believed_ns: u64,
    log: Vec<(u64, i128)>,
    stepped: bool,
}

impl History {
    fn record(&mut self, ahead: i128, time: Option<i128>) {
        let last = self.comparisons.last().map_or(0, |(_, number)| *number);
        let number = if time.is_some() && self.compared == time { last } else { last + 1 };
        self.compared = time;
        self.comparisons.push((ahead.max(0), number));
    }

    /// The number of comparisons that were closer than all later ones. Comparisons with the same time count once.
    fn closest(&self) -> usize {
        let (mut least, mut count, mut last) = (i128::MAX, 0, 0);
        for &(ahead, number) in self.comparisons.iter().rev() {
            if ahead < least {
                least = ahead;
                count += usize::from(number != last);
                last = number;
            }
        }
        count
    }
}

impl Model {
    // === what goes back ===

    /// The TAT is compared with a time.
    pub(super) fn compare(&mut self, time: i128) {
        let at = self.history.place + time;
        self.history.record(self.ahead - time, Some(at));
        for held in &mut self.held {
            held.alone = held.alone.map(|alone| alone.max(time));
        }
        self.merge();
    }

    /// The TAT was so far ahead of a time that it was compared with, as far as is known.
    pub(super) fn note(&mut self, ahead: i128) {
        self.history.record(ahead, None);
        let time = self.ahead - ahead.max(0);
        for held in &mut self.held {
            held.alone = held.alone.map(|alone| alone.max(time));
        }
        self.merge();
    }

    fn merge(&mut self) {
        if self.history.comparisons.len() > NOTES && self.history.closest() > NOTES {
            for held in &mut self.held {
                held.merged = true;
            }
        }
    }

    /// Nothing goes back of what was granted so far.
    pub(super) fn close_books(&mut self) {
        for held in &mut self.held {
            (held.alone, held.slop) = (Some(self.ahead), 0);
        }
        self.note(0);
    }

    /// Time counts from another origin.
    pub(super) const fn forget_time(&mut self) {
        self.history.compared = None;
    }

    /// What all buckets see that lack a grant.
    pub(super) fn others(&mut self, change: impl Fn(i128) -> i128) {
        self.other = change(self.other);
        for held in &mut self.held {
            held.alone = held.alone.map(&change);
        }
    }

    /// What all buckets see.
    pub(super) fn all(&mut self, change: impl Fn(i128) -> i128) {
        self.ahead = change(self.ahead);
        self.others(change);
    }

    /// The scale changes, and the level is kept.
    pub(super) fn convert_books(&mut self) {
        let tick = |atoms: i128| atoms.div_euclid(self.unit) * self.unit;
        for (ahead, _) in &mut self.history.comparisons {
            *ahead = tick(*ahead);
        }
        for held in &mut self.held {
            // What is left of each bucket is rounded, and the distances as well.
            held.slop += 2 * self.unit;
        }
    }

    pub(super) fn hold(&mut self, atoms: i128) {
        self.held.push(Held {
            grant: None,
            atoms,
            after: self.history.comparisons.len(),
            alone: Some(self.ahead - atoms),
            slop: 0,
            merged: false,
            entry: self.history.log.len() - 1,
        });
    }

    /// The latest grant is this one.
    pub(in super::super) fn name_latest(&mut self, grant: Grant) {
        let held = self.held.last_mut().unwrap();
        assert_eq!(held.grant.replace(grant), None);
    }

    /// What the cost of a grant is by the present scale.
    pub(in super::super) const fn all_of(&self, held: &Held) -> i128 {
        held.atoms.div_euclid(self.unit) * self.unit
    }

    /// A grant goes back, of which the core has taken so much.
    pub(in super::super) fn give_back(&mut self, which: usize, good: i128) {
        self.compare(self.floor);
        let held = self.held.swap_remove(which);
        let all = self.all_of(&held);
        let now = self.ahead - self.floor;
        let since = self.history.comparisons[held.after..].iter().map(|(ahead, _)| *ahead);
        let by_rule = since.chain([all, now]).min().unwrap().max(0);
        if held.merged {
            assert!((0..=by_rule).contains(&good), "{good}, not {by_rule} at the most, of {held:?}");
        } else {
            assert_eq!(good, by_rule, "{held:?}");
        }
        if let Some(alone) = held.alone {
            let by_bucket = (self.ahead - alone.max(self.floor)).clamp(0, all);
            let least = if held.merged { 0 } else { by_bucket - held.slop };
            assert!((least..=by_bucket + held.slop).contains(&good), "{good}, not {by_bucket} of {held:?}");
        }
        for (ahead, _) in &mut self.history.comparisons[held.after..] {
            *ahead = (*ahead - good).max(0);
        }
        self.ahead -= good;
        if good > 0 {
            for other in &mut self.held {
                other.alone = None;
            }
        }
        if let Some(entry) = self.history.log.get_mut(held.entry) {
            entry.1 -= good;
        }
    }

    /// A grant is dated anew, of which the core has taken so much.
    pub(in super::super) fn renew(&mut self, which: usize, good: i128) {
        self.give_back(which, good);
        if good > 0 {
            self.admit(self.ahead.max(self.floor) + good, self.floor, good, true);
        }
        if good > self.limit {
            // It was granted by a quota with a larger burst.
            self.forget_log();
        }
    }

    // === windows ===

    /// The clock has passed by so much, forwards or back.
    pub(super) fn pass(&mut self, from_ns: u64, to_ns: u64, atoms: i128) {
        self.history.believed_ns += to_ns.saturating_sub(from_ns);
        self.note_step_back(to_ns < from_ns);
        self.history.place += atoms;
    }

    pub(super) const fn note_step_back(&mut self, is_step_back: bool) {
        self.history.stepped |= is_step_back;
    }

    pub(super) fn log(&mut self, after_ns: u64, atoms: i128) {
        self.history.log.push((self.history.believed_ns + after_ns, atoms));
    }

    /// Permits were made, or another quota begins: windows are counted from here.
    pub(super) fn forget_log(&mut self) {
        self.history.log.clear();
        for held in &mut self.held {
            held.entry = usize::MAX;
        }
    }

    pub(super) const fn forget_steps(&mut self) {
        self.history.stepped = false;
    }

    /// No window has more than the burst, and what comes in during the window and the catch-up.
    pub(in super::super) fn check_windows(&self) {
        let History { log, stepped, .. } = &self.history;
        let skew = if *stepped { 2 * SKEW } else { 0 };
        for (i, (from, _)) in log.iter().enumerate() {
            let mut sum = 0;
            for (to, atoms) in &log[i..] {
                sum += atoms;
                let window = i128::from(to.saturating_sub(*from)) + self.catch_up() + skew;
                assert!(sum <= self.limit + window * self.rate, "{sum} from {from} to {to} ns");
            }
        }
    }
}
