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

/// The rivals whose versions are told, and the client of Redis.
const RIVALS: [&str; 10] = [
    "async-speed-limit",
    "axum",
    "governor",
    "leaky-bucket",
    "quanta",
    "ratelimit",
    "redis",
    "tokio",
    "tower",
    "tower_governor",
];

/// The versions of the rivals, from the lock file of this package.
pub fn versions() -> Vec<(&'static str, &'static str)> {
    locked(include_str!("../Cargo.lock"), &RIVALS)
}

/// The versions of some packages in a lock file, in the order asked for. Of several versions of a package, the newest.
fn locked<'a>(lock: &'a str, packages: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let mut lines = lock.lines();
    let mut all = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(name) = value(line, "name") {
            all.extend(lines.next().and_then(|line| value(line, "version")).map(|version| (name, version)));
        }
    }
    let last = |package| all.iter().rev().find(|(name, _)| *name == package).copied();
    packages.iter().filter_map(|&package| last(package)).collect()
}

/// What `key = "value"` gives a key.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')
}

/// The maker of the processor, for the name of a file.
pub fn vendor() -> &'static str {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if info.contains("GenuineIntel") {
        "intel"
    } else if info.contains("AuthenticAMD") {
        "amd"
    } else {
        env::consts::ARCH
    }
}

/// What the numbers were measured on, by name.
pub fn describe() -> Vec<(&'static str, String)> {
    let unknown = || "unknown".to_owned();
    let cores = std::thread::available_parallelism().map_or_else(|_| unknown(), |n| n.to_string());
    let clock = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let commit = output("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(unknown);
    // A page that is written anew is no change of what is measured.
    let changes = output("git", &["status", "--porcelain", "--", ":/", ":!/docs"]);
    let changed = if changes.is_some_and(|changes| !changes.is_empty()) { ", with changes" } else { "" };
    let versions: Vec<String> =
        versions().iter().map(|(name, version)| format!("{name} {version}")).collect();
    vec![
        ("processor", cpu_model().unwrap_or_else(unknown)),
        ("cores", format!("{cores}, {}", env::consts::ARCH)),
        ("clock source", clock.map_or_else(|_| unknown(), |clock| clock.trim().to_owned())),
        ("compiler", output("rustc", &["--version"]).unwrap_or_else(unknown)),
        ("commit", format!("{commit}{changed}")),
        ("date", output("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(unknown)),
        ("rivals", versions.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_of_the_lock_file() {
        let lock = "[[package]]\nname = \"tower\"\nversion = \"0.4.1\"\n\n[[package]]\nname = \"tower\"\nversion = \"0.5.3\"\n";
        assert_eq!(locked(lock, &["axum", "tower"]), [("tower", "0.5.3")]);
        assert_eq!(versions().len(), RIVALS.len());
    }
}
