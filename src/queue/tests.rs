//! Unit tests of the queue; they run under Miri too.

mod list;
#[cfg(not(miri))]
mod slack;
mod waiters;
