#![doc = include_str!("../README.md")]

mod clock;
mod error;
mod gcra;
mod limiter;
mod meter;
mod per_core;
mod permits;
mod published;
mod queue;
mod quota;
mod shares;
mod sync;
mod throttle;
mod word;

#[cfg(all(test, tidegate_loom))]
mod models;

pub use self::{
    clock::{Clock, ManualClock, QuantaClock, TokioClock},
    error::{Denied, InvalidPermits, QuotaError},
    limiter::RateLimiter,
    per_core::{Local, PerCore, PerCoreBuilder, PerCoreError, SlotReport},
    permits::{Amount, Permits},
    queue::{Acquire, AcquireAll, AcquireN, AcquireNOwned, AcquireOwned, AllOf, Reservation},
    quota::{Inherit, Quota},
    throttle::{Throttle, throttle},
};

/// What the fuzzer runs on the list of waiters, which is not public.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_list(bytes: &[u8]) {
    queue::against_a_deque(bytes);
}
