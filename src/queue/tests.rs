//! Unit tests of the queue; they run under Miri too.

mod list;
mod waiters;
