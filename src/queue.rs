//! The slow path: a FIFO queue of waiters over the word.

mod acquire;
mod calls;
mod doubt;
mod hand_off;
mod inner;
mod list;
mod locked;
mod slack;
mod timer;
mod wait_queue;
mod wake_batch;

pub use self::acquire::{Acquire, AcquireN, AcquireNOwned, AcquireOwned};
pub(crate) use self::wait_queue::WaitQueue;

#[cfg(test)]
mod tests;
