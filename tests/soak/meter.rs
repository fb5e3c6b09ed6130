//! The bound over every window, in constant time for each event: a leaky meter of what was admitted.
//!
//! A meter leaks at the rate, and never below zero. What it shows after an admission is the most that any window
//! which ends there has seen above its rate, so it must not be more than the burst, and what the catch-up earns.
//! All numbers are whole, in billionths of a permit: a rate of n a second leaks n of them a nanosecond.

use tidegate::Quota;

const PERMIT: i128 = 1_000_000_000;

/// A change of quota begins a meter, for the windows since. Older ones go on, and have the larger quota.
#[derive(Clone, Copy, Debug)]
struct Meter {
    used: i128,
    burst: i128,
    /// What the catch-up earns.
    credit: i128,
}

#[derive(Debug)]
pub(crate) struct Meters {
    /// The window since the start, and the windows since the latest changes.
    each: Vec<Meter>,
    rate: i128,
    at_ns: u64,
    /// Whether the catch-up counts.
    credit: bool,
}

/// Billionths of a permit.
pub(crate) fn billionths(millionths: u64) -> i128 {
    i128::from(millionths) * 1_000
}

/// The rate of a quota whose period is a second.
pub(crate) fn rate(quota: &Quota) -> i128 {
    assert_eq!(quota.period().as_nanos() as i128, PERMIT);
    quota.permits().into()
}

/// What the catch-up earns.
pub(crate) fn credit(quota: &Quota) -> i128 {
    rate(quota) * quota.catch_up().as_nanos() as i128
}

impl Meters {
    pub(crate) fn new(quota: &Quota, at_ns: u64, credit: bool) -> Self {
        let mut this = Self { each: Vec::new(), rate: 0, at_ns, credit };
        this.change(quota, 0);
        this
    }

    fn meter(&self, quota: &Quota, held: u64) -> Meter {
        let burst = billionths(quota.burst() * 1_000_000 + held);
        Meter { used: 0, burst, credit: if self.credit { credit(quota) } else { 0 } }
    }

    pub(crate) fn pass_to(&mut self, now_ns: u64) {
        let leak = self.rate * i128::from(now_ns - self.at_ns);
        self.at_ns = now_ns;
        for meter in &mut self.each {
            meter.used = (meter.used - leak).max(0);
        }
    }

    pub(crate) fn admit(&mut self, millionths: u64) {
        for meter in &mut self.each {
            meter.used += billionths(millionths);
            assert!(meter.used <= meter.burst + meter.credit, "{meter:?} at {} ns", self.at_ns);
        }
    }

    /// What was admitted was given back.
    pub(crate) fn refund(&mut self, millionths: u64) {
        for meter in &mut self.each {
            meter.used = (meter.used - billionths(millionths)).max(0);
        }
    }

    /// The quota is about to change, while `Local`s hold so many millionths and keep them.
    pub(crate) fn announce(&mut self, quota: &Quota, held: u64) {
        let new = self.meter(quota, held);
        for meter in &mut self.each {
            meter.burst = meter.burst.max(new.burst);
            meter.credit = meter.credit.max(new.credit);
        }
    }

    /// It has changed.
    pub(crate) fn change(&mut self, quota: &Quota, held: u64) {
        self.rate = rate(quota);
        if self.each.len() > 3 {
            self.each.remove(1);
        }
        self.each.push(self.meter(quota, held));
    }
}

#[test]
fn a_meter_sees_a_permit_too_many() {
    // To tell of a panic may take memory for good.
    let _alone = super::real_time::alone();
    let quota = Quota::per_second(1_000).with_burst(5).with_catch_up(std::time::Duration::ZERO);
    let admitted = |more: u64| {
        let mut meters = Meters::new(&quota, 0, true);
        meters.admit(5_000_000);
        meters.pass_to(2_500_000);
        meters.admit(2_500_000 + more);
    };
    admitted(0);
    assert!(std::panic::catch_unwind(|| admitted(1)).is_err());
}
