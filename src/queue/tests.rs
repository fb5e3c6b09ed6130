//! Unit tests of the queue; they run under Miri too.

mod alarms;
mod blocking;
mod coming_and_going;
mod deadlines;
mod doubt;
mod gates;
mod giving_back;
mod inner;
#[cfg(tidegate_loom)]
mod inspect;
mod late_alarms;
mod list;
mod locked;
mod parking;
mod refusals;
mod requota;
mod rounds;
#[cfg(not(miri))]
mod slack;
mod timer;
mod waiters;
mod wake_batch;
