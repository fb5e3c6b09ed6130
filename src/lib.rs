#![doc = include_str!("../README.md")]

mod clock;
mod error;
mod gcra;
mod limiter;
mod meter;
mod permits;
mod published;
mod queue;
mod quota;
mod sync;
mod throttle;
mod word;

#[cfg(all(test, tidegate_loom))]
mod models;

pub use self::{
    clock::{Clock, ManualClock, QuantaClock, TokioClock},
    error::{Denied, InvalidPermits, QuotaError},
    limiter::RateLimiter,
    permits::{Amount, Permits},
    queue::{Acquire, AcquireAll, AcquireN, AcquireNOwned, AcquireOwned, AllOf, Reservation},
    quota::{Inherit, Quota},
    throttle::{Throttle, throttle},
};
