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
                let told = slack.least_since(moment as u64);
                prop_assert!(told <= least);
                // A few are exact: nothing has been merged yet.
                if all.len() < 30 {
                    prop_assert_eq!(told, least);
                }
            }
        }
    }
}

/// What a limiter makes of it: whether each grant can be given back, against a list of all that was noted. The
/// arrival time is compared with a floor that stays the same for many, and goes on.
#[derive(Default)]
struct Ledger {
    tat: u64,
    floor: u64,
    /// All notes, in order.
    all: Vec<u64>,
    /// What each grant cost, and how many notes were made before it.
    grants: Vec<(u64, u64, usize)>,
}

impl Ledger {
    fn grant(&mut self, slack: &mut Slack, cost: u64) {
        slack.note_by(self.tat, self.floor);
        self.all.push(self.tat.saturating_sub(self.floor));
        self.tat = self.tat.max(self.floor) + cost;
        self.grants.push((cost, slack.moment(), self.all.len()));
    }

    /// Whether a grant can be given back.
    fn is_open(&self, &(cost, _, made): &(u64, u64, usize)) -> bool {
        self.all[made..].iter().all(|&noted| noted >= cost)
    }

    fn give_back(&mut self, slack: &mut Slack, which: usize) {
        if which >= self.grants.len() || !self.is_open(&self.grants[which]) {
            return;
        }
        let (cost, moment, made) = self.grants.remove(which);
        slack.shrink(moment, cost);
        for noted in &mut self.all[made..] {
            *noted -= cost;
        }
        self.tat -= cost;
    }

    fn refund(&mut self, slack: &mut Slack, cost: u64) {
        self.tat = self.tat.saturating_sub(cost).max(self.tat.min(self.floor));
        slack.note(self.tat.saturating_sub(self.floor));
        self.all.push(self.tat.saturating_sub(self.floor));
    }
}

proptest! {
    #[test]
    fn tells_which_grants_can_be_given_back(steps in prop::collection::vec((0_u8..12, 0_u64..60), 1..120)) {
        let mut slack = Slack::new();
        let mut ledger = Ledger::default();
        for (kind, value) in steps {
            match kind {
                0 => ledger.floor += value,
                1 => ledger.refund(&mut slack, value),
                2 | 3 => ledger.give_back(&mut slack, value as usize % 8),
                _ => ledger.grant(&mut slack, 1 + value % 20),
            }
            for grant in &ledger.grants {
                let (cost, moment, _) = *grant;
                let open = slack.least_since(moment) >= cost;
                prop_assert!(!open || ledger.is_open(grant));
                // Exactly, as long as nothing has been merged.
                if slack.moment() < 32 {
                    prop_assert_eq!(open, ledger.is_open(grant));
                }
            }
        }
    }
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
    for between in [|slack: &mut Slack| slack.note(7), |slack: &mut Slack| slack.convert(|ticks| ticks)] {
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
    assert_eq!((slack.moment(), slack.least_since(0)), (1, 4));
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
        assert_eq!(slack.least_since(moment), 10 * first, "{moment}");
    }
    assert_eq!(slack.least_since(33), u64::MAX);
}

#[test]
fn all_notes_are_converted() {
    let mut slack = Slack::new();
    for noted in [3, 5, 9] {
        slack.note(noted);
    }
    slack.convert(|ticks| ticks / 2);
    assert_eq!([0, 1, 2, 3].map(|moment| slack.least_since(moment)), [1, 2, 4, u64::MAX]);
}
