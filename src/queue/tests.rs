//! Unit tests of the queue; they run under Miri too.

mod list;
mod refusals;
#[cfg(not(miri))]
mod slack;
mod waiters;
