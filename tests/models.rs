//! Random histories of the limiter, through its public interface, against simple exact models of its rules.
//!
//! Each history has a seed, which is printed if it fails. `TIDEGATE_HISTORIES=10` runs ten times as many.
//!
//! Each model is also held against rules that are wrong on purpose: a model that lets wrong rules pass shows nothing.

#[path = "support/random.rs"]
mod random;

mod models {
    mod all_of;
    mod clock;
    mod exact;
    mod give_back;
    mod step_back;
    mod tasks;
    mod window;
}

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use random::Random;

/// How many histories to run where `base` are run by default.
fn histories(base: u64) -> u64 {
    let factor = env::var("TIDEGATE_HISTORIES").ok().and_then(|factor| factor.parse().ok());
    base * factor.unwrap_or(1)
}

/// What is wrong with a history.
type Outcome<T = ()> = Result<T, String>;

/// Ends a history unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($why:tt)*) => {
        if !$condition {
            return Err(format!($($why)*));
        }
    };
}
use ensure;

/// Runs so many histories, one for each seed. Fails at the first that goes wrong, and says which seed it had.
#[track_caller]
fn each_seed(base: u64, mut history: impl FnMut(&mut Random) -> Outcome) {
    for seed in 0..histories(base) {
        match catch_unwind(AssertUnwindSafe(|| history(&mut Random(seed)))) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => panic!("seed {seed}: {why}"),
            Err(panic) => {
                eprintln!("seed {seed} panicked");
                resume_unwind(panic);
            }
        }
    }
}

/// How many of so many histories go wrong.
fn failures(base: u64, mut history: impl FnMut(&mut Random) -> Outcome) -> usize {
    (0..base).filter(|&seed| history(&mut Random(seed)).is_err()).count()
}

/// One of these.
fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

/// Whether something of so many in a hundred happens.
fn percent(random: &mut Random, of_hundred: u64) -> bool {
    random.below(100) < of_hundred
}
