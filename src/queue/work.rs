//! Wakes never nest: a job that is woken while another runs on the same thread is put on a list, and run after it.
//!
//! A call for several limits that has taken its permits lets others go on in all its queues, and these may be such calls
//! again. By recursion a long chain of them would use up the stack.

use core::cell::RefCell;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::sync::thread_local;

/// What is done when a waker of our own is woken.
pub(crate) trait Job: Send + Sync {
    fn run(&self);
}

thread_local! {
    /// The jobs that have been woken while one runs on this thread.
    static WAITING: RefCell<Option<VecDeque<Arc<dyn Job>>>> = const { RefCell::new(None) };
}

/// Runs a job, and those that are woken by it; or puts it on the list of the one that runs on this thread.
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
        // The thread is going down.
        Err(_) => job.run(),
        Ok(true) => {
            let mut next = Some(job);
            while let Some(job) = next {
                // A panic, of a clock, does not keep the others from being run. The panic hook has reported it.
                drop(catch_unwind(AssertUnwindSafe(|| job.run())));
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
