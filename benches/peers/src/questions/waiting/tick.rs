//! What a tick costs the runtime alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use cpu_time::ProcessTime;

use super::measure::{WARM_UP, runtime};

/// Microseconds of processor time for each time that a task is woken by a timer of a millisecond, and does nothing.
pub(super) fn tick_alone(measured: Duration) -> f64 {
    let runtime = runtime();
    let ticked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&ticked);
    runtime.spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        loop {
            ticks.tick().await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    thread::sleep(WARM_UP);
    let (before, cpu) = (ticked.load(Ordering::Relaxed), ProcessTime::now());
    thread::sleep(measured);
    let (cpu, ticks) = (cpu.elapsed(), ticked.load(Ordering::Relaxed) - before);
    runtime.shutdown_background();
    cpu.as_secs_f64() * 1e6 / ticks.max(1) as f64
}
