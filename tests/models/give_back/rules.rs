//! Rules for what goes back of a grant that was not used, reckoned outside of the limiter.
//!
//! With these the histories of `give_back.rs` keep what was granted and refund what the rule says. That shows that the
//! model accepts a right rule, and finds wrong ones.

use super::bucket::PERMIT;

/// What a grant that is not used brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// What the limiter says: the grant is dropped.
    Limiter,
    /// What the bucket would have had room for without the grant.
    Right,
    /// Wrong: all of it.
    All,
    /// Wrong: as `Right`, as if refunds and resets had not made the bucket fuller.
    WithoutRefunds,
    /// Wrong: as `Right`, as if a smaller burst had not cut anything off.
    WithoutBursts,
}

/// What the limiter's bucket has been filled with, in units of [`PERMIT`].
#[derive(Debug)]
pub(super) struct Ledger {
    rule: Rule,
    /// All by which the bucket became fuller, or was looked at later.
    total: i64,
    /// The highest time that the arrival time was compared with, from the present on.
    seen: i64,
    epoch: u32,
}

/// A grant as it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    room: i64,
    epoch: u32,
}

impl Ledger {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, total: 0, seen: 0, epoch: 0 }
    }

    pub(super) fn pass(&mut self, units: i64) {
        self.seen -= units;
    }

    /// The arrival time was compared with the time that is `floor` from now.
    pub(super) fn rise(&mut self, floor: i64) {
        if floor > self.seen {
            self.total += floor - self.seen;
            self.seen = floor;
        }
    }

    /// The arrival time was `ahead`, and `n` permits were refunded; all of them for a reset.
    pub(super) fn refund(&mut self, ahead: i64, n: Option<i64>) {
        self.rise(0);
        if self.rule != Rule::WithoutRefunds {
            self.total += n.map_or(ahead, |n| ahead.min(n * PERMIT));
        }
    }

    pub(super) fn change(&mut self, old_burst: i64, burst: i64, is_exact: bool) {
        self.rise(0);
        if self.rule != Rule::WithoutBursts {
            self.total += (old_burst - burst).max(0) * PERMIT;
        }
        self.epoch += u32::from(!is_exact);
    }

    /// A grant has left the arrival time `end` ahead of the present. `None`: it lies before that, and is not known.
    pub(super) fn grant(&self, end: Option<i64>) -> Room {
        let room = end.map_or(i64::MIN / 2, |end| end - self.seen + self.total);
        Room { room, epoch: self.epoch }
    }

    /// What of a grant of `n` permits goes back; `floor` is the earliest time that a grant can have now.
    pub(super) fn back(&mut self, n: i64, grant: Room, floor: i64) -> i64 {
        self.rise(floor);
        let back = match self.rule {
            Rule::All => n * PERMIT,
            _ if grant.epoch != self.epoch => 0,
            _ => (n * PERMIT).min(grant.room - self.total).max(0),
        };
        self.total += back;
        back
    }
}
