//! Asks the questions, and writes `docs/BENCHMARKS.md`, its pictures and the raw numbers; `scripts/bench.sh` runs it.
//!
//! ```sh
//! report [--full] --to docs           # every question; --full: every cell, and how long a build takes
//! report [--try] --only calls,keyed   # prints these on standard output; --try: so short that the numbers mean little
//! ```

use std::{env, fs, io, path::Path, process::ExitCode};

use serde_json::{Map, Value};
use tidegate_peers::{
    Effort, Report, machine, questions,
    stats::{Spread, spread},
};

/// What is to be done.
struct Task {
    effort: Effort,
    only: Option<Vec<String>>,
    to: Option<String>,
}

fn task(mut arguments: impl Iterator<Item = String>) -> Result<Task, String> {
    let mut task = Task { effort: Effort::PAGE, only: None, to: None };
    let mut full = false;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--full" => full = true,
            "--try" => task.effort = Effort::TRY,
            "--to" => task.to = Some(value()?),
            "--only" => task.only = Some(value()?.split(',').map(str::to_owned).collect()),
            _ => return Err(format!("{argument}: not --full, --try, --only QUESTIONS or --to FOLDER")),
        }
    }
    task.effort.full = full;
    let known = |name: &String| questions::ALL.iter().any(|(known, _)| known == name);
    if let Some(unknown) = task.only.iter().flatten().find(|name| !known(name)) {
        let all: Vec<&str> = questions::ALL.iter().map(|(name, _)| *name).collect();
        return Err(format!("{unknown}: no such question; there are {}", all.join(", ")));
    }
    Ok(task)
}

fn page(reports: &[(&str, Report)]) -> String {
    let mut page =
        "# Benchmarks\n\nWritten by `scripts/bench.sh`; run it again rather than change this page. \
        `benches/peers/src/rivals` has a module for each rival, and `questions` one for each section.\n\n"
            .to_owned();
    for (what, is) in machine::describe() {
        page += &format!("- {what}: {is}\n");
    }
    page += "\nCompare the ratios, not the times: the machine may be busy with other work. The numbers of each round are in \
        [benchmarks](benchmarks), a file for each kind of processor.\n\n";
    for (_, report) in reports {
        page += &report.section();
    }
    page += "## Where tidegate loses\n\n";
    let losses: Vec<&String> = reports.iter().flat_map(|(_, report)| &report.losses).collect();
    if losses.is_empty() {
        page += "- nowhere in this run\n";
    }
    for loss in losses {
        page += &format!("- {loss}\n");
    }
    page
}

/// All raw numbers, a line for each list.
fn raw(reports: &[(&str, Report)]) -> String {
    let machine: Map<String, Value> =
        machine::describe().into_iter().map(|(what, is)| (what.to_owned(), is.into())).collect();
    let mut sections = vec![("machine", &machine)];
    sections.extend(reports.iter().map(|(name, report)| (*name, &report.raw)));
    let line = |(name, value): (&String, &Value)| format!("    {}: {value}", Value::from(name.as_str()));
    let section = |(name, values): (&str, &Map<String, Value>)| {
        format!("  \"{name}\": {{\n{}\n  }}", values.iter().map(line).collect::<Vec<_>>().join(",\n"))
    };
    format!("{{\n{}\n}}\n", sections.into_iter().map(section).collect::<Vec<_>>().join(",\n"))
}

/// What calls cost on the other kinds of processor of which there are raw numbers.
fn elsewhere(folder: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut files: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|it| it.path())).collect::<Result<_, _>>()?;
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "json")) {
        let name = file.file_name().expect("a file").to_string_lossy();
        if file.file_stem().is_some_and(|stem| stem == machine::vendor()) {
            continue;
        }
        let run: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
        let is = |what: &str| run["machine"][what].as_str().unwrap_or("unknown").to_owned();
        text += &format!(
            "\n{}, cores: {}, commit {}, {} ([{name}](benchmarks/{name})):\n\n| call on one thread | ratio to the floor |\n\
             |---|---:|\n",
            is("processor"),
            is("cores"),
            is("commit"),
            is("date")
        );
        for call in ["tidegate, admitted", "governor, admitted", "tidegate, refused", "governor, refused"] {
            text += &format!(
                "| {call} | {} |\n",
                to_floor(&run, call).map_or_else(String::new, |it| format!("{it:.3}"))
            );
        }
    }
    Ok(if text.is_empty() { text } else { format!("\n## On other processors\n{text}") })
}

/// The ratio of a call to the floor in raw numbers, round by round.
fn to_floor(run: &Value, call: &str) -> Option<Spread> {
    let samples = |call: &str| run["calls"][format!("One thread: {call}")].as_array();
    let pairs = samples(call)?.iter().zip(samples("floor: clock read and CAS")?);
    let ratios: Option<Vec<f64>> = pairs.map(|(own, floor)| Some(own.as_f64()? / floor.as_f64()?)).collect();
    ratios.filter(|ratios| !ratios.is_empty()).map(spread)
}

fn write(reports: &[(&str, Report)], docs: &Path) -> io::Result<()> {
    let folder = docs.join("benchmarks");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(machine::vendor()).with_extension("json"), raw(reports))?;
    for (file, svg) in reports.iter().flat_map(|(_, report)| &report.pictures) {
        fs::write(folder.join(file), svg)?;
    }
    fs::write(docs.join("BENCHMARKS.md"), page(reports) + &elsewhere(&folder)?)
}

fn main() -> ExitCode {
    let task = match task(env::args().skip(1)) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut reports = Vec::new();
    for (name, question) in questions::ALL {
        if task.only.as_ref().is_none_or(|only| only.iter().any(|wanted| wanted == name)) {
            let began = std::time::Instant::now();
            reports.push((name, question(task.effort)));
            eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f64());
        }
    }
    let Some(docs) = task.to else {
        println!("{}", page(&reports));
        return ExitCode::SUCCESS;
    };
    if let Err(error) = write(&reports, Path::new(&docs)) {
        eprintln!("{docs}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_numbers_are_json_with_a_line_for_each_list() {
        let mut report = Report::new("Title", "Text.");
        report.keep("a \"call\"", [1.234_567, f64::NAN]);
        report.keep("another", [2.0]);
        let raw = raw(&[("calls", report)]);
        let parsed: Value = serde_json::from_str(&raw).expect("JSON");
        assert_eq!(parsed["calls"]["a \"call\""], serde_json::json!([1.2346, null]));
        assert!(parsed["machine"]["processor"].is_string());
        assert!(raw.lines().any(|line| line == "    \"another\": [2.0]"), "{raw}");
    }

    #[test]
    fn ratios_are_taken_round_by_round_from_the_raw_numbers() {
        let mut report = Report::new("Title", "Text.");
        report.keep("One thread: floor: clock read and CAS", [1.0, 2.0, 4.0]);
        report.keep("One thread: tidegate, refused", [2.0, 2.0, 2.0]);
        let run = serde_json::from_str(&raw(&[("calls", report)])).expect("JSON");
        assert_eq!(
            to_floor(&run, "tidegate, refused").map(|it| (it.low, it.median, it.high)),
            Some((0.5, 1.0, 1.0))
        );
        assert_eq!(to_floor(&run, "governor, refused"), None);
    }

    #[test]
    fn a_question_that_is_not_there_is_named() {
        let of = |text: &str| task(text.split(' ').map(str::to_owned)).map(|task| task.only);
        assert_eq!(of("--only calls,keyed"), Ok(Some(vec!["calls".to_owned(), "keyed".to_owned()])));
        assert!(of("--only calls,tides").unwrap_err().starts_with("tides: no such question"));
    }
}
