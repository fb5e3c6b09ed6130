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
