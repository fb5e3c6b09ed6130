//! The permits that may be used in any window, with refunds and changes of quota.
//!
//! In a window at most these permits may be used: a burst, the permits of its length and of a catch-up, and refunds.
//! After a reset or a change of quota, a further burst may be used. But if all changes in the window keep the level (or
//! all keep the missing permits), they count as one quota with the largest burst and the largest rate.

use tidegate::{Inherit, Quota};

/// A billion to a permit.
const BILLION: u128 = 1_000_000_000;

/// What counts, in the order in which it counts at one time: the bound of a window is no less for what is at its ends.
#[derive(Clone, Copy, Debug)]
enum Event {
    Refunded(u64),
    Reset,
    Changed(Quota),
    Used(u64),
}

/// All that came, and when.
#[derive(Debug)]
pub struct Log {
    first: Quota,
    events: Vec<(u64, Event)>,
    /// How the quota was changed.
    ways: Vec<Inherit>,
}

/// The largest of the quotas that count as one.
struct Largest {
    burst: u64,
    catch_up_ns: u64,
    /// Permits, and nanoseconds that they come in.
    rate: (u64, u64),
}

fn period_ns(quota: &Quota) -> u64 {
    quota.period().as_nanos() as u64
}

impl Largest {
    fn of(quota: &Quota) -> Self {
        Self {
            burst: quota.burst(),
            catch_up_ns: quota.catch_up().as_nanos() as u64,
            rate: (quota.permits(), period_ns(quota)),
        }
    }

    fn and(&mut self, other: &Quota) {
        self.burst = self.burst.max(other.burst());
        self.catch_up_ns = self.catch_up_ns.max(other.catch_up().as_nanos() as u64);
        let (permits, ns) = self.rate;
        let faster =
            u128::from(other.permits()) * u128::from(ns) > u128::from(permits) * u128::from(period_ns(other));
        if faster {
            self.rate = (other.permits(), period_ns(other));
        }
    }

    /// What may be used in that time, in billionths of a permit, rounded up.
    fn bound(&self, ns: u64) -> u128 {
        let (permits, period_ns) = self.rate;
        let earned = (u128::from(ns) + u128::from(self.catch_up_ns)) * u128::from(permits) * BILLION;
        u128::from(self.burst) * BILLION + earned.div_ceil(period_ns.into())
    }
}

impl Log {
    pub fn new(quota: Quota) -> Self {
        Self { first: quota, events: Vec::new(), ways: Vec::new() }
    }

    pub fn used(&mut self, at_ns: u64, permits: u64) {
        self.events.push((at_ns, Event::Used(permits)));
    }

    pub fn refunded(&mut self, at_ns: u64, permits: u64) {
        self.events.push((at_ns, Event::Refunded(permits)));
    }

    pub fn reset(&mut self, at_ns: u64) {
        self.events.push((at_ns, Event::Reset));
    }

    pub fn changed(&mut self, at_ns: u64, quota: Quota, inherit: Inherit) {
        self.events.push((at_ns, Event::Changed(quota)));
        self.ways.push(inherit);
    }

    /// Fails if more was used in some window than may be.
    pub fn check(&mut self) {
        self.events.sort_by_key(|&(at_ns, event)| (at_ns, matches!(event, Event::Used(_))));
        let keeps = |way| self.ways.iter().all(|&inherit| inherit == way);
        let as_one = keeps(Inherit::AsIs) || keeps(Inherit::Additively);
        let mut quota = self.first;
        let mut last_ns = None;
        for (i, &(from_ns, event)) in self.events.iter().enumerate() {
            if last_ns.replace(from_ns) != Some(from_ns) {
                check_from(from_ns, &quota, &self.events[i..], as_one);
            }
            if let Event::Changed(to) = event {
                quota = to;
            }
        }
    }
}

/// Fails if more was used in some window that begins there than may be.
fn check_from(from_ns: u64, quota: &Quota, events: &[(u64, Event)], as_one: bool) {
    let (mut quota, mut largest, mut since_ns) = (*quota, Largest::of(quota), from_ns);
    let (mut used, mut before) = (0, 0);
    for &(at_ns, event) in events {
        let anew = match event {
            Event::Used(permits) => {
                used += u128::from(permits) * BILLION;
                let bound = before + largest.bound(at_ns - since_ns);
                assert!(used <= bound, "{used} from {from_ns} to {at_ns} ns, not {bound}: {events:?}");
                false
            }
            Event::Refunded(permits) => {
                before += u128::from(permits) * BILLION;
                false
            }
            Event::Reset => true,
            Event::Changed(to) => {
                quota = to;
                if as_one {
                    largest.and(&to);
                }
                !as_one
            }
        };
        if anew {
            before += largest.bound(at_ns - since_ns);
            (largest, since_ns) = (Largest::of(&quota), at_ns);
        }
    }
}
