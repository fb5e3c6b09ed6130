//! Cases in which other limiters are known to go wrong, one test each.
//!
//! Each says what is right, and what goes wrong elsewhere. All time is virtual.

mod peers {
    mod choices;
    mod clock;
    mod concurrency;
    mod fairness;
    mod floats;
    mod leaving;
    mod order;
    mod rate;
    mod rounding;
    mod support;
    mod waits;
    mod windows;
}
