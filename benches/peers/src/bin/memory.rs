//! Counts the bytes of limiters and waiters. `report` runs it.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    tidegate_peers::questions::print_memory(ALLOCATOR);
}
