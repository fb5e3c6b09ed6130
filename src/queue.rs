//! The slow path: a FIFO queue of waiters over the word.

mod acquire;
mod all_of;
mod blocking;
mod calls;
#[cfg(any(test, fuzzing))]
mod deque;
mod doubt;
mod gate;
mod group;
mod hand_off;
mod inner;
mod list;
mod locked;
mod origin;
mod parking;
mod reports;
mod requota;
mod reservation;
mod rounds;
mod slack;
mod timer;
mod wait_queue;
mod wake_batch;

#[cfg(fuzzing)]
pub(crate) use self::deque::against_a_deque;
#[cfg(all(test, tidegate_loom))]
pub(crate) use self::hand_off::By;
pub use self::{
    acquire::{Acquire, AcquireN, AcquireNOwned, AcquireOwned},
    all_of::AllOf,
    group::AcquireAll,
    reservation::Reservation,
};
pub(crate) use self::{parking::Hand, wait_queue::WaitQueue};

#[cfg(test)]
mod tests;
