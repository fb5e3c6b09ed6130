//! Six processes share the quota of one API over a Redis server.
//!
//! ```sh
//! cargo run --release --features redis --example fleet
//! ```
//!
//! The API is an HTTP server on loopback. It admits 10,000 requests in any 10 s, and answers further requests with 429. Each
//! process is always hungry. After 8 s one of them is killed, after 14 s the Redis server stops for 2 s. The run fails
//! unless, by the API's own log, it refused nothing, and outside the stop at least 97 % of the allowance was used. A picture
//! of what each process got is written to `target/fleet.svg`.
//!
//! It starts `redis-server` on a free port of 127.0.0.1 and ends it. Without that program it says so, and ends.

mod picture;
#[path = "../throttle_api/server.rs"]
mod server;
mod store;
#[path = "../throttle_api/svg.rs"]
#[allow(dead_code, reason = "the other example uses all of it")]
mod svg;
mod worker;

use std::{
    error::Error,
    fs,
    path::Path,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use tidegate::{Quota, QuotaError};

use crate::{
    server::{Seen, Server},
    store::Store,
    worker::{Count, Worker},
};

const LIMIT: u64 = 10_000;
const WINDOW: Duration = Duration::from_secs(10);
const PROCESSES: usize = 6;

const KILL: Duration = Duration::from_secs(8);
const STOP: Duration = Duration::from_secs(14);
const GO_ON: Duration = Duration::from_secs(16);
const END: Duration = Duration::from_secs(26);
/// The requests of the last second may be missing in the log.
const LAST: Duration = Duration::from_secs(25);
const TICK: Duration = Duration::from_millis(500);

/// The processes call the server at most a second apart while it is away.
const BACK: Duration = Duration::from_millis(1500);

/// What every window of the API allows. A hundredth of the window is for requests that are on their way, and for processes
/// that do not run for a moment. Another goes for the burst, half of which is set aside for leases.
fn quota() -> Result<Quota, QuotaError> {
    Quota::try_at_most(LIMIT, WINDOW + WINDOW / 100)?.try_with_burst(LIMIT / 100)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["worker", store, api] => {
            quota().map_err(Into::into).and_then(|quota| worker::run(store, api, quota)).map(|()| true)
        }
        _ => run(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fleet: {error}");
            ExitCode::from(2)
        }
    }
}

/// What each process got in each tick.
type Ticks = Vec<[Count; PROCESSES]>;

fn run() -> Result<bool, Box<dyn Error>> {
    let store = match Store::start() {
        Ok(store) => store,
        Err(error) => {
            println!("redis-server cannot be started ({error}): install it to see this example");
            return Ok(true);
        }
    };
    let api = Server::start(LIMIT, WINDOW, false)?;
    println!("The API admits {LIMIT} requests in any {WINDOW:?}; the fleet's quota is {}.\n", quota()?);
    let start = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..PROCESSES {
        workers.push(Worker::start(&store.address(), &api.url())?);
    }
    let ticks = watch(&store, &mut workers, start)?;
    let waits = workers.into_iter().map(Worker::end).sum::<u64>();
    drop(store);
    let log = api.stop();
    println!("\n{waits} requests were still on their way at the end.");

    let folder = Path::new("target");
    fs::create_dir_all(folder)?;
    let path = folder.join("fleet.svg");
    fs::write(&path, picture::draw(&ticks, TICK, KILL, (STOP, GO_ON)))?;
    println!("A picture: {}", path.display());
    Ok(judge(&log))
}

/// Prints a line for each tick, and has things happen at their times.
fn watch(store: &Store, workers: &mut [Worker], start: Instant) -> Result<Ticks, Box<dyn Error>> {
    print!("seconds ");
    for i in 1..=PROCESSES {
        print!(" process {i}");
    }
    println!("   refused   requests in the last {TICK:?}");
    let (mut ticks, mut before) = (Vec::new(), [Count::default(); PROCESSES]);
    for tick in 1.. {
        let at = TICK * tick;
        if at > END {
            break;
        }
        sleep((start + at).saturating_duration_since(Instant::now()));
        let now: Vec<Count> = workers.iter().map(Worker::count).collect();
        let mut got = [Count::default(); PROCESSES];
        print!("{:7.1} ", at.as_secs_f64());
        for (i, count) in now.into_iter().enumerate() {
            got[i] = count.since(before[i]);
            before[i] = count;
            print!("{:10}", got[i].admitted);
        }
        let refused: u64 = got.iter().map(|count| count.refused).sum();
        print!("{refused:10}");
        ticks.push(got);
        match at {
            KILL => {
                workers[PROCESSES - 1].kill()?;
                print!("   process {PROCESSES} is killed");
            }
            STOP => {
                store.signal("STOP")?;
                print!("   the store stops");
            }
            GO_ON => {
                store.signal("CONT")?;
                print!("   the store goes on");
            }
            _ => {}
        }
        println!();
    }
    Ok(ticks)
}

/// By the log of the API, whose clock began a little before the first request.
fn judge(log: &[Seen]) -> bool {
    let refused = log.iter().filter(|seen| !seen.accepted).count();
    println!("The API refused {refused} of {} requests.", log.len());
    let (mut count, mut allowed) = (0, 0.0);
    for (from, to) in [(Duration::from_secs(1), STOP), (GO_ON + BACK, LAST)] {
        count += log.iter().filter(|seen| (from..to).contains(&seen.at) && seen.accepted).count();
        allowed += LIMIT as f64 * to.saturating_sub(from).as_secs_f64() / WINDOW.as_secs_f64();
    }
    let used = count as f64 / allowed;
    println!("Outside the stop, {:.1} % of the allowance was used.", 100.0 * used);
    let passed = refused == 0 && used >= 0.97;
    println!("{}", if passed { "passed" } else { "FAILED" });
    passed
}
