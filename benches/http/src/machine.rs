//! What the numbers were measured on.

use std::{fs, io, process::Command, thread};

use tokio::runtime::{Builder, Runtime};

fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The heading of the report, as a Markdown list.
pub(crate) fn describe() -> String {
    let unknown = || "unknown".to_owned();
    let cores = thread::available_parallelism().map_or_else(|_| unknown(), |n| n.to_string());
    format!(
        "- processor: {}, {cores} cores\n- {}\n",
        cpu_model().unwrap_or_else(unknown),
        rustc().unwrap_or_else(unknown),
    )
}

/// A runtime with so many threads.
pub(crate) fn runtime(threads: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}
