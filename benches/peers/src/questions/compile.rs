//! What a rival costs a build: a package that needs nothing else, compiled from nothing.

use std::{collections::BTreeSet, env, fs, path::Path, process::Command, time::Instant};

use crate::{Effort, Report, machine::versions, stats::median};

const EXPLANATION: &str = "A package with this one dependency, compiled in release mode into an empty folder, with what is \
to be downloaded there already; seconds, medians, and the packages that are compiled besides.";

/// What the package depends on, as the other measurements do: a crate, its features, and whether it has the default ones.
const DEPENDENCIES: [(&str, &str, &str, bool); 9] = [
    ("tidegate", "tidegate", "", true),
    ("tidegate, without tokio", "tidegate", "", false),
    ("tidegate, with `keyed` and `tower`", "tidegate", "keyed tower", true),
    ("governor", "governor", "", true),
    ("leaky-bucket", "leaky-bucket", "", true),
    ("ratelimit", "ratelimit", "", true),
    ("async-speed-limit", "async-speed-limit", "", true),
    ("tower's RateLimit", "tower", "limit", false),
    ("tower_governor", "tower_governor", "axum", false),
];

fn manifest((_, package, features, default): (&str, &str, &str, bool)) -> String {
    let source = match versions().iter().find(|(name, _)| *name == package) {
        Some((_, version)) => format!("version = \"={version}\""),
        None => format!("path = {:?}", concat!(env!("CARGO_MANIFEST_DIR"), "/../..")),
    };
    let features: Vec<&str> = features.split_whitespace().collect();
    format!(
        "[package]\nname = \"tiny\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n[dependencies]\n\
         {package} = {{ {source}, default-features = {default}, features = {features:?} }}\n"
    )
}

/// Runs cargo in the package; what it prints.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    let output = command.output().unwrap_or_else(|error| panic!("cargo: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?} in {}: {errors}", folder.display());
    String::from_utf8(output.stdout).expect("text")
}

/// Measures everything, if everything is to be measured.
pub fn run(effort: Effort) -> Report {
    let mut report = Report::new("Build", EXPLANATION);
    if !effort.full {
        report.text = "Measured only by `bash scripts/bench.sh --full`.\n\n".to_owned();
        return report;
    }
    let folder = env::temp_dir().join(format!("tidegate-compile-{}", std::process::id()));
    fs::create_dir_all(folder.join("src")).expect("a folder");
    fs::write(folder.join("src/lib.rs"), "").expect("a file");
    let mut lines = Vec::new();
    for dependency in DEPENDENCIES {
        fs::write(folder.join("Cargo.toml"), manifest(dependency)).expect("a file");
        cargo(&folder, &["fetch", "--quiet"]);
        let tree = cargo(&folder, &["tree", "--prefix", "none", "--edges", "normal,build"]);
        let packages: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        let times: Vec<f64> = (0..effort.long_rounds)
            .map(|_| {
                let _ = fs::remove_dir_all(folder.join("target"));
                let began = Instant::now();
                cargo(&folder, &["build", "--release", "--quiet", "--offline"]);
                began.elapsed().as_secs_f64()
            })
            .collect();
        report.keep(dependency.0, times.iter().copied());
        // Neither the package itself nor the dependency counts.
        lines.push(vec![
            dependency.0.to_owned(),
            format!("{:.1}", median(times)),
            (packages.len() - 2).to_string(),
        ]);
    }
    let _ = fs::remove_dir_all(&folder);
    report.table(&["dependency", "seconds", "packages besides"], &lines);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dependency_but_ours_has_the_version_of_the_lock_file() {
        for dependency in DEPENDENCIES {
            let manifest = manifest(dependency);
            assert_eq!(manifest.contains("path = "), dependency.1 == "tidegate", "{manifest}");
        }
        assert!(manifest(DEPENDENCIES[2]).contains("features = [\"keyed\", \"tower\"] }"));
    }
}
