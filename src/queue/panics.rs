//! Panics of foreign code that end here, because other waiters depend on the thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs foreign code. The panic hook reports its panic, which ends here.
///
/// Unwind safe: the caller gives all that the code touches away, or leaves nothing half done.
pub(super) fn end_panics(run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        // Dropping the payload may panic, too. The payload of that panic is leaked: dropping it might panic again.
        core::mem::forget(catch_unwind(AssertUnwindSafe(|| drop(payload))));
    }
}
