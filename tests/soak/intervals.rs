//! The bound over calls of which only the beginning and the end are known.
//!
//! A call counts in every window that contains it whole. For each beginning `s`, in order, a tree keeps the sum of the
//! permits of all calls since `s` and the permits earned by `s`. A call that ends at `t` adds to all sums with an
//! earlier beginning. The largest sum must not exceed the permits earned by `t` by more than the burst.

/// One that was admitted: when it began, when it was over, and billionths of a permit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) began: u64,
    pub(crate) over: u64,
    pub(crate) billionths: i128,
}

/// Sums to which something is added from the first up to any, and the most of those.
struct Sums {
    len: usize,
    /// Of the nodes below, less what was added to all of them.
    most: Vec<i128>,
    added: Vec<i128>,
}

impl Sums {
    fn new(values: &[i128]) -> Self {
        let len = values.len().next_power_of_two();
        let mut most = vec![i128::MIN / 2; 2 * len];
        most[len..len + values.len()].copy_from_slice(values);
        for node in (1..len).rev() {
            most[node] = most[2 * node].max(most[2 * node + 1]);
        }
        Self { len, most, added: vec![0; 2 * len] }
    }

    /// Adds to the first up to `last`; the most of them.
    fn add(&mut self, last: usize, more: i128) -> i128 {
        let mut node = self.len + last;
        self.most[node] += more;
        let mut most = self.most[node];
        while node > 1 {
            if node % 2 == 1 {
                // All on its left.
                self.added[node - 1] += more;
                self.most[node - 1] += more;
                most = most.max(self.most[node - 1]);
            }
            node /= 2;
            most += self.added[node];
            self.most[node] = self.most[2 * node].max(self.most[2 * node + 1]) + self.added[node];
        }
        most
    }
}

/// Fails if a window contains calls for more than `limit` permits above the permits earned in it. `earned` gives the
/// permits earned by a time. All calls lie between `from` and `to`. `used` is the largest excess of the windows that
/// end at `from`. Returns the largest excess of the windows that end at `to`.
pub(crate) fn check(
    calls: &mut [Call],
    (from, to): (u64, u64),
    used: i128,
    earned: impl Fn(u64) -> i128,
    limit: i128,
) -> i128 {
    let mut begins: Vec<u64> = calls.iter().map(|call| call.began).collect();
    begins.sort_unstable();
    let values: Vec<_> =
        [earned(from) + used].into_iter().chain(begins.iter().map(|&ns| earned(ns))).collect();
    let mut sums = Sums::new(&values);
    calls.sort_unstable_by_key(|call| call.over);
    for call in &*calls {
        assert!(from <= call.began && call.began <= call.over && call.over <= to, "{call:?}");
        let last = begins.partition_point(|&ns| ns <= call.began);
        let above = sums.add(last, call.billionths) - earned(call.over);
        assert!(above <= limit, "{above} of {limit}: {call:?}");
    }
    (sums.most[1] - earned(to)).max(0)
}

#[test]
fn the_tree_finds_what_all_windows_find() {
    // To tell of a panic may take memory for good.
    let _alone = super::real_time::alone();
    let mut random = crate::random::Random(7);
    // More of it from half-way on.
    let earned = |ns: u64| 3 * i128::from(ns) + 4 * i128::from(ns.saturating_sub(65));
    for _ in 0..200 {
        let mut calls: Vec<_> = (0..random.below(20))
            .map(|_| {
                let began = random.below(100);
                let over = began + random.below(30);
                Call { began, over, billionths: 1 + i128::from(random.below(50)) }
            })
            .collect();
        let within = |s: u64, t: u64| calls.iter().filter(move |call| s <= call.began && call.over <= t);
        let seen =
            |s: u64, t: u64| within(s, t).map(|call| call.billionths).sum::<i128>() - earned(t) + earned(s);
        let windows = (0..130).flat_map(|s| (s..130).map(move |t| (s, t)));
        let most = windows.map(|(s, t)| seen(s, t)).max().unwrap();
        let left = (0..130).map(|s| seen(s, 130)).max().unwrap().max(0);
        assert_eq!(check(&mut calls.clone(), (0, 130), 0, earned, most), left);
        let failed = std::panic::catch_unwind(move || check(&mut calls, (0, 130), 0, earned, most - 1));
        // What no call ends is not looked at.
        assert!(failed.is_err() || most == 0);
    }
}
