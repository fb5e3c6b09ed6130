//! What the counters and the events of a watched limiter say, beside what its callers have seen.
#![cfg(feature = "stats")]

#[path = "stats/calls.rs"]
mod calls;
#[path = "stats/events.rs"]
mod events;
#[path = "stats/histories.rs"]
mod histories;
#[cfg(feature = "metrics")]
#[path = "stats/publishing.rs"]
mod publishing;
#[path = "stats/threads.rs"]
mod threads;
#[cfg(feature = "tracing")]
#[path = "stats/tracing.rs"]
mod tracing;
