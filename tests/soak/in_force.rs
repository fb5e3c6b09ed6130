//! What the quotas bring that are in force one after the other.

use tidegate::Quota;

use super::meter::{billionths, credit, rate};

/// A change of quota, which came at some time from `began` to `over`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) began: u64,
    pub(crate) over: u64,
    pub(crate) quota: Quota,
}

/// The quotas of a round.
#[derive(Debug)]
pub(crate) struct InForce {
    /// From when on which rate counts, and what there has been before. While a quota changes the larger one counts.
    rates: Vec<(u64, i128, i128)>,
    /// The largest burst, and the most that the catch-up earns.
    pub(crate) burst: i128,
    pub(crate) credit: i128,
}

/// In billionths of a permit.
pub(crate) fn burst(quota: &Quota) -> i128 {
    billionths(quota.burst() * 1_000_000)
}

impl InForce {
    /// From then on that quota, with these changes, one after the other.
    pub(crate) fn new(from: u64, first: &Quota, changes: &[Change]) -> Self {
        let mut this =
            Self { rates: vec![(from, rate(first), 0)], burst: burst(first), credit: credit(first) };
        let mut before = rate(first);
        for Change { began, over, quota } in changes {
            this.goes_on_at(*began, before.max(rate(quota)));
            before = rate(quota);
            this.goes_on_at(*over, before);
            this.burst = this.burst.max(burst(quota));
            this.credit = this.credit.max(credit(quota));
        }
        this
    }

    fn goes_on_at(&mut self, ns: u64, rate: i128) {
        let so_far = self.earned(ns);
        assert!(self.rates.last().is_some_and(|last| last.0 <= ns), "changes one after the other");
        self.rates.push((ns, rate, so_far));
    }

    /// What has been earned by then, in billionths of a permit.
    pub(crate) fn earned(&self, ns: u64) -> i128 {
        let later = self.rates.partition_point(|&(since, ..)| since <= ns);
        let (since, rate, before) = self.rates[later - 1];
        before + rate * i128::from(ns - since)
    }
}

#[test]
fn while_a_quota_changes_the_larger_one_counts() {
    let [first, second] =
        [10, 30].map(|n| Quota::per_second(n).with_burst(n).with_catch_up(std::time::Duration::ZERO));
    let changes =
        [Change { began: 200, over: 250, quota: second }, Change { began: 300, over: 320, quota: first }];
    let in_force = InForce::new(100, &first, &changes);
    let earned = [100, 150, 200, 225, 250, 300, 320, 400].map(|ns| in_force.earned(ns));
    assert_eq!(earned, [0, 500, 1_000, 1_750, 2_500, 4_000, 4_600, 5_400]);
    assert_eq!((in_force.burst, in_force.credit), (30_000_000_000, 0));
}
