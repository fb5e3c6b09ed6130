//! The bound of every window in one number.

/// The most that any window has seen beyond what the rate brings in it.
///
/// It is a bucket that leaks at the rate: its level is the largest excess of a window that ends now. So one pass looks
/// at all windows.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// What leaks in a nanosecond.
    rate: i64,
    level: i64,
    last_ns: u64,
    highest: i64,
}

impl Window {
    pub(super) fn new(rate: i64) -> Self {
        Self { rate, level: 0, last_ns: 0, highest: 0 }
    }

    pub(super) fn admit(&mut self, at_ns: u64, amount: i64) {
        self.charge(at_ns, amount);
        self.highest = self.highest.max(self.level);
    }

    /// Taken whether it was there or not: it counts from the next admission on.
    pub(super) fn charge(&mut self, at_ns: u64, amount: i64) {
        let passed = i64::try_from(at_ns - self.last_ns).unwrap();
        self.last_ns = at_ns;
        self.level = self.level.saturating_sub(self.rate.saturating_mul(passed)).max(0) + amount;
    }

    /// What has been given back may be used once more.
    pub(super) fn give_back(&mut self, at_ns: u64, amount: i64) {
        self.charge(at_ns, 0);
        self.level = (self.level - amount).max(0);
    }

    pub(super) fn highest(&self) -> i64 {
        self.highest
    }
}
