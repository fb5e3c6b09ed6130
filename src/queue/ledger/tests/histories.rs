//! Random histories, long enough for more notes than there is room for.

use super::*;

/// A small generator (`SplitMix64`).
struct Random(u64);

impl Random {
    const fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

struct Held {
    grant: (u64, Receipt),
    /// How many comparisons there were before it.
    after: usize,
    /// The TAT of a bucket that lacks this grant only; unknown since another one has gone back.
    alone: Option<u64>,
    /// More comparisons had to be kept since than there is room for.
    merged: bool,
}

#[derive(Default)]
struct Seen {
    whole: u64,
    part: u64,
    nothing: u64,
    merged: u64,
    less: u64,
}

struct History {
    bucket: Bucket,
    /// All comparisons, by how far ahead the TAT was.
    all: Vec<u64>,
    held: Vec<Held>,
    /// The TAT of a bucket that has seen nothing of what is held or has gone back.
    without: u64,
}

impl History {
    fn compare(&mut self) {
        let now = self.bucket.now;
        self.all.push(self.bucket.tat.saturating_sub(now));
        self.without = self.without.max(now);
        for held in &mut self.held {
            held.alone = held.alone.map(|alone| alone.max(now));
        }
    }

    fn take(&mut self, cost: u64, unused: bool) {
        self.compare();
        // The lesser of all after them.
        let mut closest: Vec<_> = self
            .all
            .iter()
            .rev()
            .scan(u64::MAX, |least, &ahead| {
                *least = ahead.min(*least);
                Some(*least)
            })
            .collect();
        closest.dedup();
        let grant = self.bucket.take(cost);
        for held in &mut self.held {
            held.merged |= closest.len() > NOTES;
            held.alone = held.alone.map(|alone| alone + cost);
        }
        if unused {
            let alone = Some(self.bucket.tat - cost);
            self.held.push(Held { grant, after: self.all.len(), alone, merged: false });
        } else {
            self.without += cost;
        }
    }

    fn give_back(&mut self, which: usize, seen: &mut Seen) {
        self.compare();
        let held = self.held.swap_remove(which);
        let cost = held.grant.0;
        let good = self.bucket.give_back(&held.grant);
        let since = &mut self.all[held.after..];
        let right = since.iter().copied().min().unwrap().min(cost);
        if held.merged {
            assert!(good <= right, "{good} of {cost}, not {right}");
        } else {
            assert_eq!(good, right, "of {cost}");
        }
        if let Some(alone) = held.alone {
            assert_eq!(right, cost.min((self.bucket.tat + good).saturating_sub(alone)), "of {cost}");
        }
        for ahead in since {
            *ahead -= good;
        }
        if good > 0 {
            for other in &mut self.held {
                other.alone = None;
            }
        }
        assert!(self.bucket.tat.max(self.bucket.now) >= self.without, "more than without all that is unused");
        seen.merged += u64::from(held.merged);
        seen.less += u64::from(good < right);
        *(if good == 0 {
            &mut seen.nothing
        } else if good == cost {
            &mut seen.whole
        } else {
            &mut seen.part
        }) += 1;
    }
}

#[test]
fn histories_go_as_by_all_comparisons() {
    let mut seen = Seen::default();
    for seed in 0..if cfg!(miri) { 20 } else { 4_000 } {
        let mut random = Random(seed);
        let bucket = Bucket::new(1_000 + random.below(200), 1_000);
        let without = bucket.tat;
        let mut history = History { bucket, all: Vec::new(), held: Vec::new(), without };
        let (pace, unused) = (1 + random.below(60), random.below(100));
        for _ in 0..100 {
            if random.below(3) > 0 {
                history.bucket.now += random.below(pace);
            }
            let held = history.held.len() as u64;
            if held > 0 && random.below(4) == 0 {
                let which = if random.below(2) == 0 { held - 1 } else { random.below(held) };
                history.give_back(which as usize, &mut seen);
            } else {
                let cost = 1 + random.below(30);
                history.take(cost, random.below(100) < unused);
            }
        }
    }
    let Seen { whole, part, nothing, merged, less } = seen;
    let all = whole + part + nothing;
    for (which, count, least) in [("whole", whole, 5), ("part", part, 5), ("nothing", nothing, 5)] {
        assert!(count * 100 > all * least || cfg!(miri), "{which}: {count} of {all}");
    }
    assert!(merged > 0 || cfg!(miri), "there is always room");
    assert!(less * 100 <= merged, "{less} of {merged} are less than is right");
}
