//! See `src/queue/deque.rs` of the crate.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tidegate::fuzz_list(bytes));
