//! The questions: each is asked of all rivals in the same way.

mod accuracy;
mod calls;
mod compile;
mod fairness;
mod fleet;
mod http;
mod keyed;
mod lateness;
mod memory;
mod shares;
mod waiters;
mod waiting;

pub use self::memory::print as print_memory;
use crate::{Effort, Report};

/// A question.
pub type Question = fn(Effort) -> Report;

/// All questions by name. The one that pauses the time of tokio comes last: from then on each look at that time costs more.
pub const ALL: [(&str, Question); 12] = [
    ("calls", calls::run),
    ("shares", shares::run),
    ("fairness", fairness::run),
    ("keyed", keyed::run),
    ("waiting", waiting::run),
    ("lateness", lateness::run),
    ("waiters", waiters::run),
    ("memory", memory::run),
    ("http", http::run),
    ("fleet", fleet::run),
    ("compile", compile::run),
    ("accuracy", accuracy::run),
];
