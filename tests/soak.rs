//! The whole of it for a long time: those who wait and leave, forget, try, reserve, charge and refund, park
//! permits on cores, and change the quota, while the runtime stalls and alarms ring late. At every step the bound
//! holds; at the end nobody is left waiting, the books balance, and no memory has been kept.
//!
//! A short run by default. `TIDEGATE_SOAK_SECONDS` sets how long in virtual time, `TIDEGATE_SOAK_REAL_SECONDS` in
//! real time.

mod soak {
    mod intervals;
    mod ledger;
    mod meter;
    mod population;
    mod real_time;
    mod round;
    mod virtual_time;
}

/// A number from the environment.
fn seconds(name: &str, default: f64) -> f64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// `SplitMix64`.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// From 0 to below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
