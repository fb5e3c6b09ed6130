//! What the numbers were measured on.

use std::{env, fs, process::Command, time::Instant};

use cpu_time::ProcessTime;

/// How many ticks of `/proc/stat` there are in a second.
const TICKS: f64 = 100.0;

/// Watches for what else the machine does, as far as `/proc/stat` tells.
pub(crate) struct OtherWork {
    began: Instant,
    own: ProcessTime,
    busy: Option<f64>,
}

impl OtherWork {
    pub(crate) fn watch() -> Self {
        Self { began: Instant::now(), own: ProcessTime::now(), busy: busy_seconds() }
    }

    /// How many cores it took since the watch began; not a number where that is unknown.
    pub(crate) fn cores(&self) -> f64 {
        let busy = busy_seconds().zip(self.busy).map_or(f64::NAN, |(now, then)| now - then);
        let own = self.own.elapsed().as_secs_f64();
        // Ticks are coarse. `max` would turn what is unknown into zero.
        let cores = (busy - own) / self.began.elapsed().as_secs_f64();
        if cores < 0.0 { 0.0 } else { cores }
    }
}

/// Seconds for which all cores together were not idle, including the time that the host took away.
fn busy_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.split_whitespace().skip(1);
    let ticks = fields.map(str::parse).collect::<Result<Vec<f64>, _>>().ok()?;
    // user, nice, system, idle, waiting for a device, interrupts, soft interrupts, stolen
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((ticks.iter().take(8).sum::<f64>() - idle) / TICKS)
}

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
