//! The arena: hungry tasks at tidegate and its peers, and what a long queue costs.
//!
//! ```sh
//! cargo bench --bench arena                         # every cell: some five minutes
//! cargo bench --bench arena -- --quick              # a few cells, for a try
//! cargo bench --bench arena -- --cells 1e6x1000x1   # rate, tasks, burst; also 1e6 or *x100x1, by commas
//! cargo bench --bench arena -- --rounds 3           # medians over three rounds
//! ```

use std::{env, process::ExitCode, time::Duration};

use tidegate_peers::{
    arena::{self, MEASURED, Plan},
    waiters,
};

/// How long a party is measured for a try.
const TRY: Duration = Duration::from_millis(500);

fn plan() -> Result<Plan, String> {
    let (mut quick, mut patterns, mut rounds) = (false, None, 1);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--quick" => quick = true,
            "--cells" => patterns = Some(value()?),
            "--rounds" => {
                rounds =
                    value()?.parse().ok().filter(|&n| n > 0).ok_or("--rounds wants a positive number")?;
            }
            // cargo adds it.
            "--bench" => {}
            _ => return Err(format!("{argument}: not --quick, --cells LIST or --rounds N")),
        }
    }
    let cells = match patterns {
        Some(patterns) => arena::select(&arena::full(), &patterns)?,
        None if quick => arena::quick(),
        None => arena::full(),
    };
    Ok(Plan { cells, rounds, measured: if quick { TRY } else { MEASURED } })
}

fn main() -> ExitCode {
    match plan() {
        Ok(plan) => {
            println!("{}\n", arena::EXPLANATION);
            arena::run(&plan).print();
            println!("{}\n", waiters::EXPLANATION);
            waiters::run().print();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
