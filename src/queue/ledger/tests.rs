//! The ledger on its own: against buckets, and against a list of all comparisons.

mod histories;
mod proportion;

use super::*;
use crate::gcra::MAX_TAT;

/// The ledger, and the TAT that goes with it. 10 ticks to one permit.
pub(super) struct Bucket {
    pub(super) ledger: Ledger,
    pub(super) tat: u64,
    pub(super) now: u64,
}

impl Bucket {
    pub(super) const fn new(tat: u64, now: u64) -> Self {
        Self { ledger: Ledger::new(), tat, now }
    }

    pub(super) fn take(&mut self, cost: u64) -> (u64, Receipt) {
        self.ledger.compare(self.tat, self.now);
        self.tat = self.tat.max(self.now) + cost;
        (cost, self.ledger.receipt(10))
    }

    /// How much of it is good.
    pub(super) fn good(&mut self, (cost, receipt): &(u64, Receipt)) -> u64 {
        self.ledger.compare(self.tat, self.now);
        self.ledger.returnable(*cost, receipt, 10).min(self.tat.saturating_sub(self.now))
    }

    pub(super) fn give_back(&mut self, grant: &(u64, Receipt)) -> u64 {
        let good = self.good(grant);
        self.ledger.shrink(&grant.1, good);
        self.tat -= good;
        good
    }

    /// How far ahead the comparisons were that are kept.
    fn kept(&self) -> Vec<u64> {
        self.ledger.notes.iter().map(|note| note.ahead).collect()
    }
}

#[test]
fn a_grant_goes_back_whole_until_the_bucket_would_have_been_full() {
    for (now, good) in [(0, 40), (100, 40), (101, 39), (139, 1), (140, 0), (1_000, 0)] {
        let mut bucket = Bucket::new(0, 100);
        let grant = bucket.take(40);
        bucket.now = now;
        assert_eq!(bucket.good(&grant), good, "at {now}");
        assert_eq!(bucket.give_back(&grant), good, "at {now}");
        assert_eq!(bucket.tat, 140 - good);
    }
}

/// What was taken from the level of that time on counts no less than what was there.
#[test]
fn what_has_overflowed_stays_lost_whatever_is_taken_later() {
    let mut bucket = Bucket::new(0, 100);
    let first = bucket.take(40);
    bucket.now = 125;
    let second = bucket.take(50);
    assert_eq!((bucket.tat, bucket.good(&first), bucket.good(&second)), (190, 15, 50));
    bucket.now = 180;
    assert_eq!((bucket.good(&first), bucket.good(&second)), (10, 10));
    bucket.now = 100;
    assert_eq!((bucket.good(&first), bucket.good(&second)), (10, 10), "also by an earlier reading");
}

#[test]
fn only_those_comparisons_are_kept_that_were_closer_than_all_after_them() {
    let mut ledger = Ledger::new();
    let kept =
        |ledger: &Ledger| ledger.notes.iter().map(|note| (note.moment, note.ahead)).collect::<Vec<_>>();
    for ahead in [30, 10, 20, 40, 40] {
        ledger.note(ahead);
    }
    assert_eq!(kept(&ledger), [(2, 10), (3, 20), (5, 40)]);
    ledger.note(15);
    assert_eq!(kept(&ledger), [(2, 10), (6, 15)]);
    ledger.close();
    assert_eq!(kept(&ledger), [(7, 0)]);
}

#[test]
fn a_comparison_with_the_time_of_the_last_one_leaves_no_note() {
    let mut ledger = Ledger::new();
    ledger.compare(120, 100);
    ledger.compare(150, 100);
    assert_eq!(ledger.notes.len(), 1);
    // Unless the TAT is below: there it is clamped.
    ledger.compare(90, 100);
    assert_eq!((ledger.notes.len(), ledger.notes[0].ahead), (1, 0));
    // Or something was noted since, or time counts from another origin.
    ledger.note(30);
    ledger.compare(150, 100);
    assert_eq!(ledger.notes.len(), 3);
    ledger.move_origin();
    ledger.compare(170, 100);
    assert_eq!(ledger.notes.len(), 4);
    ledger.compare(190, 101);
    assert_eq!(ledger.notes.len(), 5);
}

#[test]
fn of_too_many_notes_the_two_nearest_in_proportion_are_made_one_with_the_lesser_distance() {
    let mut ledger = Ledger::new();
    let mut receipts = vec![ledger.receipt(10)];
    for n in 1..=NOTES as u64 + 1 {
        ledger.note(n * 10);
        receipts.push(ledger.receipt(10));
    }
    assert_eq!(ledger.notes.len(), NOTES);
    let good: Vec<_> = receipts.iter().map(|receipt| ledger.returnable(1_000, receipt, 10)).collect();
    // The newest two of the notes that filled the ledger: that of the older counts for the newer as well.
    let mut want: Vec<_> = (1..=NOTES as u64 + 1).map(|n| n * 10).chain([1_000]).collect();
    want[NOTES - 1] = (NOTES as u64 - 1) * 10;
    assert_eq!(good, want);
}

/// Each call finds the bucket a little less full, so each comparison counts until there are too many.
#[test]
fn grants_of_a_bucket_that_is_slowly_emptied_keep_at_least_half_of_their_worth() {
    for cost in [4, 28, 160] {
        let mut bucket = Bucket::new(0, 100);
        let grants: Vec<_> = (0..1_000)
            .map(|_| {
                bucket.now += 1;
                bucket.take(cost)
            })
            .collect();
        for grant in &grants {
            let good = bucket.good(grant);
            assert!(2 * good >= cost, "{good} of {cost}");
        }
    }
}

#[test]
fn two_grants_given_back_in_either_order_go_back_whole() {
    for [one, other] in [[0, 1], [1, 0]] {
        for pause in [0, 5] {
            let mut bucket = Bucket::new(120, 100);
            let first = bucket.take(30);
            bucket.now += pause;
            let second = bucket.take(40);
            bucket.now += pause;
            let grants = [first, second];
            assert_eq!(bucket.give_back(&grants[one]), grants[one].0, "{one} first, after {pause}");
            bucket.now += pause;
            assert_eq!(bucket.give_back(&grants[other]), grants[other].0, "{one} first, after {pause}");
            assert_eq!(bucket.tat, 120);
        }
    }
}

/// From a level to which nothing would have overflowed.
#[test]
fn many_grants_given_back_last_one_first_go_back_whole() {
    let mut bucket = Bucket::new(150, 100);
    let grants: Vec<_> = (0..10)
        .map(|n| {
            bucket.now += 2;
            bucket.take(10 + n)
        })
        .collect();
    assert_eq!(bucket.ledger.notes.len(), 10);
    for grant in grants.iter().rev() {
        bucket.now += 1;
        assert_eq!(bucket.give_back(grant), grant.0);
    }
    assert_eq!(bucket.tat, 150);
}

/// From a full bucket the first grant goes back as far as the rest of time allows, and each after it whole.
#[test]
fn many_grants_of_a_full_bucket_share_what_has_overflowed() {
    for last_first in [true, false] {
        let mut bucket = Bucket::new(0, 100);
        let mut grants: Vec<_> = (0..10).map(|_| bucket.take(10)).collect();
        bucket.now += 25;
        if last_first {
            grants.reverse();
        }
        let back: u64 = grants.iter().map(|grant| bucket.give_back(grant)).sum();
        assert_eq!((back, bucket.tat), (75, 125), "25 have overflowed");
    }
}

#[test]
fn the_distances_since_a_grant_shrink_by_what_goes_back() {
    let mut ledger = Ledger::new();
    ledger.note(10);
    let first = ledger.receipt(10);
    ledger.note(30);
    ledger.note(50);
    let later = ledger.receipt(10);
    ledger.shrink(&first, 15);
    let mut bucket = Bucket { ledger, tat: 0, now: 0 };
    assert_eq!(bucket.kept(), [10, 15, 35]);
    // Nothing has been noted since.
    bucket.ledger.shrink(&later, 15);
    assert_eq!(bucket.kept(), [10, 15, 35]);
    // What becomes closer than one before it takes its place.
    bucket.ledger.shrink(&first, 7);
    assert_eq!(bucket.kept(), [8, 28]);
    assert_eq!(bucket.ledger.returnable(40, &first, 10), 8);
    bucket.ledger.shrink(&first, 100);
    assert_eq!(bucket.ledger.returnable(40, &first, 10), 0, "no less than nothing");
}

#[test]
fn nothing_goes_back_from_before_the_books_were_closed() {
    let mut bucket = Bucket::new(0, 100);
    let (grant, nothing) = (bucket.take(40), (0, bucket.ledger.receipt(10)));
    bucket.ledger.close();
    assert_eq!((bucket.good(&grant), bucket.good(&nothing)), (0, 0));
    assert_eq!(grant.1.convert(40, 10), 40);
    let later = bucket.take(40);
    assert_eq!((bucket.good(&grant), bucket.good(&later)), (0, 40));
}

/// By whole numbers of permits the scales agree; else rather too little goes back than too much.
#[test]
fn conversions_round_the_safe_way() {
    for old in [1, 3, 7, 10, 1_000] {
        for new in [1, 2, 9, 10, 999] {
            for ahead in 0..5 * old {
                let mut ledger = Ledger::new();
                let receipt = ledger.receipt(old);
                ledger.note(ahead);
                let before = ledger.returnable(4 * old, &receipt, old);
                ledger.rescale(old, new);
                let after = ledger.returnable(4 * old, &receipt, new);
                // In units that are parts of both.
                assert!(after * old <= before * new, "{old} {new} {ahead}: {before} {after}");
                assert!((after + 1) * old > before * new, "{old} {new} {ahead}: {before} {after}");
                assert_eq!(receipt.convert(4 * old, new), 4 * new);
                // And back again.
                ledger.rescale(new, old);
                assert!(ledger.returnable(4 * old, &receipt, old) <= before, "{old} {new} {ahead}");
            }
        }
    }
}

#[test]
fn books_do_not_overflow_at_the_extremes() {
    let mut ledger = Ledger::new();
    let receipt = ledger.receipt(1);
    for _ in 0..1_000 {
        ledger.compare(MAX_TAT, 0);
        ledger.note(u64::MAX);
        ledger.move_origin();
    }
    ledger.rescale(1, MAX_TAT);
    assert_eq!(ledger.returnable(u64::MAX, &receipt, MAX_TAT), u64::MAX);
    ledger.shrink(&receipt, u64::MAX);
    assert_eq!(ledger.returnable(u64::MAX, &receipt, MAX_TAT), 0);
    ledger.rescale(MAX_TAT, 1);
    let receipt = ledger.receipt(MAX_TAT);
    assert_eq!(ledger.returnable(MAX_TAT, &receipt, MAX_TAT), MAX_TAT);
    assert_eq!(ledger.returnable(MAX_TAT, &receipt, 1), 1);
}
