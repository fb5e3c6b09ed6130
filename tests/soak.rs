//! All calls for a long time: callers wait and leave, forget their futures, try, reserve, charge and refund, park
//! permits on cores, and change the quota, while the runtime stalls and alarms ring late; and clients of a server on
//! loopback. At every step the bound holds. At the end no waiter is left, the books balance, and no memory is kept.
//!
//! A short run by default. `TIDEGATE_SOAK_SECONDS` sets how long in virtual time, `TIDEGATE_SOAK_REAL_SECONDS` in
//! real time: over loopback, and once more in process.

#[path = "support/late_clock.rs"]
mod late_clock;
#[path = "support/random.rs"]
mod random;

mod soak {
    mod calls;
    mod clients;
    mod in_force;
    mod intervals;
    mod ledger;
    mod loopback;
    mod memory;
    mod meter;
    mod population;
    mod real_time;
    mod report;
    mod round;
    mod server;
    mod virtual_time;
}

use random::Random;

/// A number from the environment.
fn seconds(name: &str, default: f64) -> f64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

impl Random {
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
