//! What the numbers were measured on.

use std::{env, fs, process::Command};

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The heading of a report, as a Markdown list.
pub fn describe() -> String {
    let unknown = || "unknown".to_owned();
    let cores = std::thread::available_parallelism().map_or_else(|_| unknown(), |n| n.to_string());
    let rustc = output("rustc", &["--version"]).unwrap_or_else(unknown);
    let commit = output("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(unknown);
    let changed = output("git", &["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    let date = output("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(unknown);
    format!(
        "- processor: {}, {cores} cores, {}\n- {rustc}\n- commit: {commit}{}\n- date: {date}\n",
        cpu_model().unwrap_or_else(unknown),
        env::consts::ARCH,
        if changed { ", with changes" } else { "" },
    )
}
