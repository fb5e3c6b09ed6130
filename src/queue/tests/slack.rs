//! The running minimum against a plain list of all notes.

use proptest::prelude::*;

use crate::queue::slack::Slack;

proptest! {
    #[test]
    fn is_the_least_since_or_errs_on_the_safe_side(
        steps in prop::collection::vec((0_u8..8, 0_u64..1_000), 1..200),
        rising: bool,
    ) {
        let mut slack = Slack::new();
        let mut all: Vec<u64> = Vec::new();
        for (kind, value) in steps {
            if kind == 0 {
                let moment = value as usize % (all.len() + 1);
                slack.shrink(moment as u64, value / 20);
                for noted in &mut all[moment..] {
                    *noted = noted.saturating_sub(value / 20);
                }
            } else {
                // Rising notes are kept, and so have to be merged.
                let value = if rising { 100 * all.len() as u64 + value } else { value };
                slack.note(value);
                all.push(value);
            }
            prop_assert_eq!(slack.moment(), all.len() as u64);
            for moment in 0..=all.len() {
                let least = all[moment..].iter().copied().min().unwrap_or(u64::MAX);
                let told = slack.least_since(moment as u64, 0);
                prop_assert!(told <= least);
                // A few are exact: nothing has been merged yet.
                if all.len() < 30 {
                    prop_assert_eq!(told, least);
                }
            }
        }
    }
}

/// What is known of a time at which the arrival time was compared with the clock.
#[derive(Clone, Copy)]
enum Look {
    /// By how much it was ahead.
    Ahead(u64),
    /// It was no less than this, and the clock no further than it is now.
    Without(u64),
}

/// What a limiter makes of it: whether each grant can be given back, against a list of all that was noted. The
/// arrival time is compared with a floor that stays the same for many, and goes on.
#[derive(Default)]
struct Ledger {
    tat: u64,
    floor: u64,
    /// All of them, in order.
    looks: Vec<Look>,
    /// What each grant cost, its moment, and how many looks there were before it.
    grants: Vec<(u64, u64, usize)>,
}

impl Ledger {
    fn ahead(&self) -> u64 {
        self.tat.saturating_sub(self.floor)
    }

    fn grant(&mut self, slack: &mut Slack, cost: u64) {
        slack.note_by(self.tat, self.floor);
        self.looks.push(Look::Ahead(self.ahead()));
        self.tat = self.tat.max(self.floor) + cost;
        self.grants.push((cost, slack.moment(), self.looks.len()));
    }

    /// Calls without the lock take so much.
    fn take(&mut self, slack: &mut Slack, cost: u64) {
        slack.note_unlocked(self.tat, self.floor);
        self.looks.push(Look::Without(self.tat));
        self.tat = self.tat.max(self.floor) + cost;
    }

    /// Whether a grant can be given back.
    fn is_open(&self, &(cost, _, made): &(u64, u64, usize)) -> bool {
        self.looks[made..].iter().all(|&look| match look {
            Look::Ahead(ahead) => ahead >= cost,
            Look::Without(tat) => tat.saturating_sub(self.floor) >= cost,
        })
    }

    fn give_back(&mut self, slack: &mut Slack, which: usize) {
        if which >= self.grants.len() || !self.is_open(&self.grants[which]) {
            return;
        }
        let (cost, moment, made) = self.grants.remove(which);
        slack.shrink(moment, cost);
        for look in &mut self.looks[made..] {
            let (Look::Ahead(ticks) | Look::Without(ticks)) = look;
            *ticks -= cost;
        }
        self.tat -= cost;
    }

    fn refund(&mut self, slack: &mut Slack, cost: u64) {
        self.tat = self.tat.saturating_sub(cost).max(self.tat.min(self.floor));
        slack.note(self.ahead());
        self.looks.push(Look::Ahead(self.ahead()));
    }

    /// Everything counts in halves. What is known of calls without the lock is from now on what it is now.
    fn convert(&mut self, slack: &mut Slack) {
        slack.note(self.ahead());
        slack.convert(self.floor, |ticks| 2 * ticks);
        self.looks.push(Look::Ahead(self.ahead()));
        for look in &mut self.looks {
            *look = Look::Ahead(match *look {
                Look::Ahead(ahead) => 2 * ahead,
                Look::Without(tat) => 2 * tat.saturating_sub(self.floor),
            });
        }
        self.grants.iter_mut().for_each(|grant| grant.0 *= 2);
        (self.tat, self.floor) = (2 * self.tat, 2 * self.floor);
    }

    /// Everything counts from elsewhere, but no later than from where all that was granted would lead back to.
    fn count_from(&mut self, slack: &mut Slack, origin: u64) {
        let granted = self.grants.iter().map(|grant| grant.0).sum();
        let origin = origin.min(self.floor).min(self.tat.saturating_sub(granted));
        slack.count_from(self.floor.into(), self.floor - origin);
        for look in &mut self.looks {
            if let Look::Without(tat) = look {
                *tat = tat.saturating_sub(origin);
            }
        }
        (self.tat, self.floor) = (self.tat - origin, self.floor - origin);
    }
}

proptest! {
    #[test]
    fn tells_which_grants_can_be_given_back(steps in prop::collection::vec((0_u8..15, 0_u64..60), 1..120)) {
        let mut slack = Slack::new();
        let mut ledger = Ledger::default();
        for (kind, value) in steps {
            match kind {
                0 => ledger.floor += value,
                1 => ledger.refund(&mut slack, value),
                2 | 3 => ledger.give_back(&mut slack, value as usize % 8),
                4..=6 => ledger.take(&mut slack, 1 + value % 20),
                7 if value < 20 && slack.moment() < 32 => ledger.convert(&mut slack),
                8 => ledger.count_from(&mut slack, value),
                _ => ledger.grant(&mut slack, 1 + value % 20),
            }
            for grant in &ledger.grants {
                let (cost, moment, _) = *grant;
                let open = slack.least_since(moment, ledger.floor) >= cost;
                prop_assert!(!open || ledger.is_open(grant));
                // Exactly, as long as nothing has been merged.
                if slack.moment() < 32 {
                    prop_assert_eq!(open, ledger.is_open(grant));
                }
            }
        }
    }
}

/// With room for so many, what is noted of calls without the lock is exact for those who were granted last.
#[test]
fn of_arrival_times_the_oldest_are_merged_and_those_that_the_clock_has_reached_are_one() {
    let mut slack = Slack::new();
    for noted in 1..=40 {
        slack.note_unlocked(10 * noted, 0);
    }
    // The nine oldest are one.
    for moment in 0..40 {
        let first = if moment < 9 { 1 } else { moment + 1 };
        assert_eq!(slack.least_since(moment, 0), 10 * first, "{moment}");
    }
    assert_eq!(slack.least_since(40, 0), u64::MAX);
    // The clock has come as far as all but the last ten: that is one and ten, and there is room for 21.
    for noted in 41..=61 {
        slack.note_unlocked(10 * noted, 300);
    }
    for moment in [30, 31, 40, 50, 60] {
        assert_eq!(slack.least_since(moment, 300), 10 * (moment + 1) - 300, "{moment}");
    }
    assert_eq!([0, 9, 29].map(|moment| slack.least_since(moment, 300)), [0; 3]);
    slack.note_unlocked(620, 300);
    assert_eq!(slack.least_since(30, 300), 0, "merged with what is worth nothing");
    assert_eq!(slack.least_since(31, 300), 20);
}

/// A thousand that are granted at one time make one note; a floor of its own, or an arrival time that has come down,
/// makes another.
#[test]
fn a_note_by_the_same_floor_is_left_out_if_the_arrival_time_has_risen() {
    let mut slack = Slack::new();
    let mut noted = |tat, floor| {
        let before = slack.moment();
        slack.note_by(tat, floor);
        slack.moment() - before
    };
    assert_eq!([noted(10, 5), noted(10, 5), noted(11, 5), noted(1_000, 5)], [1, 0, 0, 0]);
    assert_eq!([noted(999, 5), noted(999, 6), noted(999, 5)], [1, 1, 1]);
    // Not ahead: the clock has set it, each time.
    assert_eq!([noted(5, 5), noted(5, 5), noted(4, 5)], [1, 1, 1]);
}

/// What is noted otherwise, or converted, or shrinks, is not by that floor any more.
#[test]
fn what_comes_between_ends_it() {
    let between: [fn(&mut Slack); 4] = [
        |slack| slack.note(7),
        |slack| slack.note_unlocked(7, 0),
        |slack| slack.convert(0, |ticks| ticks),
        |slack| slack.count_from(3, 3),
    ];
    for between in between {
        let mut slack = Slack::new();
        slack.note_by(10, 5);
        between(&mut slack);
        let before = slack.moment();
        slack.note_by(10, 5);
        assert_eq!(slack.moment(), before + 1);
    }
    // Without what was given back it was one less, and now it has risen.
    let mut slack = Slack::new();
    slack.note_by(10, 5);
    slack.shrink(0, 1);
    slack.note_by(9, 5);
    assert_eq!((slack.moment(), slack.least_since(0, 0)), (1, 4));
}

/// Of more than there is room for, the two newest are merged.
#[test]
fn the_two_newest_are_merged() {
    let mut slack = Slack::new();
    for noted in 1..=33 {
        slack.note(10 * noted);
    }
    for moment in 0..33 {
        let first = if moment == 31 { 31 } else { moment + 1 };
        assert_eq!(slack.least_since(moment, 0), 10 * first, "{moment}");
    }
    assert_eq!(slack.least_since(33, 0), u64::MAX);
}

#[test]
fn all_notes_are_converted() {
    let mut slack = Slack::new();
    for noted in [3, 5, 9] {
        slack.note(noted);
    }
    slack.convert(0, |ticks| ticks / 2);
    assert_eq!([0, 1, 2, 3].map(|moment| slack.least_since(moment, 0)), [1, 2, 4, u64::MAX]);
}
