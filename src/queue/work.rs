//! Wakes never nest: a job that is woken while another runs on the same thread is put on a list, and run after it.
//!
//! A final round that takes its permits lets the waiters behind it go ahead in all its queues, and these may be final
//! rounds again. By recursion a long chain of them would use up the stack.

use core::cell::RefCell;
use std::{collections::VecDeque, sync::Arc};

use super::panics::end_panics;
use crate::sync::thread_local;

/// The work of a waker of this crate.
pub(crate) trait Job: Send + Sync {
    fn run(&self);
}

thread_local! {
    /// The jobs that were woken while another job runs on this thread. `None` if no job runs.
    static WAITING: RefCell<Option<VecDeque<Arc<dyn Job>>>> = const { RefCell::new(None) };
}

/// Runs a job and the jobs that it wakes. If a job runs on this thread already, puts the new one on its list.
pub(crate) fn run(job: Arc<dyn Job>) {
    let begun = WAITING.try_with(|waiting| {
        let mut waiting = waiting.borrow_mut();
        match &mut *waiting {
            Some(list) => {
                list.push_back(Arc::clone(&job));
                false
            }
            none => {
                *none = Some(VecDeque::new());
                true
            }
        }
    });
    match begun {
        Ok(false) => {}
        // The thread is exiting.
        Err(_) => job.run(),
        Ok(true) => {
            let mut next = Some(job);
            while let Some(job) = next {
                // A panic (of a clock) does not keep the other jobs from running.
                end_panics(|| job.run());
                next = WAITING.with(|waiting| {
                    let mut waiting = waiting.borrow_mut();
                    let next = waiting.as_mut().and_then(VecDeque::pop_front);
                    if next.is_none() {
                        *waiting = None;
                    }
                    next
                });
            }
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
