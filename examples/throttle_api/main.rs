//! The main job: a list of requests, many tasks, and a third-party API that enforces its limit.
//!
//! ```sh
//! cargo run --release --example throttle_api
//! ```
//!
//! By default the API is a real HTTP server on loopback. It admits a fixed number of requests in any window, and
//! answers further requests with 429. The tasks send twice: first as fast as they can, then by a limiter. The run fails
//! unless, in the second phase and by the server's own log, the server refused nothing and at least 99 % of the
//! allowance was used.
//!
//! ```sh
//! cargo run --release --features client --example throttle_api -- --adaptive
//! ```
//!
//! adds a phase in which the client does not know the limit. It learns the rate from the server's refusals. After the
//! first 10 s, at least 90 % of the allowance has to be used and fewer than 2 % of the requests be refused.

mod charts;
mod cli;
mod client;
#[cfg(feature = "client")]
mod learn;
mod report;
mod server;
mod svg;

use std::{error::Error, io::Write, process::ExitCode};

use tidegate::{Quota, QuotaError, RateLimiter};

use crate::{
    cli::Options,
    client::{Pace, Phase},
    report::Verdict,
    server::Server,
};

/// The limiter leaves one part in 160 of the window unused. So 99.4 % of the allowance remain, and a busy machine may
/// lose another 0.4 % before the run fails.
const GIVEN_AWAY: u32 = 160;

/// The quota of the limited phase. A third of the unused part is the catch-up after the machine was busy. The rest is
/// the time that a request may take to the server without counting in another window there. By default these are 50 and
/// 100 ms.
fn pace(options: &Options) -> Result<Quota, QuotaError> {
    let given_away = options.window / GIVEN_AWAY;
    let catch_up = given_away / 3;
    let slack = given_away.saturating_sub(catch_up);
    Ok(Quota::try_at_most(options.limit, options.window + slack)?.with_catch_up(catch_up))
}

fn main() -> ExitCode {
    let options = match Options::from_args() {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", cli::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("throttle_api: {error}\n\n{}", cli::HELP);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("throttle_api: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the phases. Returns whether those with a limiter passed.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let requests = options.requests()?;
    let cannot_write = |error| format!("cannot write {}: {error}", options.svg.display());
    // Before the run, so that a path that cannot be written fails at once.
    let mut picture = svg::create(&options.svg).map_err(cannot_write)?;
    println!(
        "{} requests in the list, {} tasks; the API admits {} in any {:?}\n",
        requests.len(),
        options.tasks,
        options.limit,
        options.window,
    );
    // With one thread the tasks run in the order of their grants, so the order can be checked. The server has its own
    // threads.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;

    let (limit, window) = (options.limit, options.window);
    let mut phases = Vec::new();
    if options.url.is_none() {
        let server = Server::start(limit, window, true)?;
        let phase = Phase {
            name: "without a limiter",
            url: server.url(),
            pace: Pace::Unlimited,
            // Twice the allowance, so that the server refuses about half.
            most: 2 * limit,
            time: options.time,
        };
        let calls = runtime.block_on(phase.run(&requests, options.tasks))?;
        phases.push(Verdict::new(&phase, &calls, Some(server.stop()), limit, window));
    }

    let limiter = RateLimiter::try_new(pace(options)?)?;
    let server = match &options.url {
        Some(_) => None,
        None => Some(Server::start(limit, window, true)?),
    };
    let url = match (&server, &options.url) {
        (Some(server), _) => server.url(),
        (None, url) => url.clone().unwrap_or_default(),
    };
    let pace = Pace::Limited(limiter);
    let phase = Phase { name: "with tidegate", url, pace, most: u64::MAX, time: options.time };
    let calls = runtime.block_on(phase.run(&requests, options.tasks))?;
    phases.push(Verdict::new(&phase, &calls, server.map(Server::stop), limit, window));

    #[cfg(feature = "client")]
    if options.adaptive {
        phases.push(learn::run(&runtime, &requests, options)?);
    }

    report::print(&phases);
    picture.write_all(charts::draw(&phases).as_bytes()).map_err(cannot_write)?;
    println!("picture: {}\n", options.svg.display());

    // Each phase prints its verdict, also after one that failed.
    let failed = phases.iter().filter(|phase| !phase.judge()).count();
    Ok(failed == 0)
}
