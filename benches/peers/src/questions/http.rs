//! What a layer costs an axum server.

mod client;
mod servers;

use std::{error::Error, io, time::Duration};

use cpu_time::ProcessTime;
use tokio::runtime::{Builder, Runtime};

use self::{client::Load, servers::Party};
use crate::{Effort, Report, stats::spread};

/// Threads of the servers and, apart from them, of the clients.
const SERVER_THREADS: usize = 1;
const CLIENT_THREADS: usize = 1;

/// Connections that stay, each with one request at a time.
const CONNECTIONS: usize = 16;

/// One turn of a server.
struct Sample {
    /// Requests a second.
    rate: f64,
    /// Nanoseconds of processor time a request.
    processor: f64,
}

fn sample(clients: &Runtime, party: &Party, time: Duration) -> io::Result<Sample> {
    let before = ProcessTime::now();
    let Load { rate, exchanges } = clients.block_on(client::load(party.address, CONNECTIONS, time))?;
    Ok(Sample { rate, processor: before.elapsed().as_secs_f64() * 1e9 / exchanges as f64 })
}

fn runtime(threads: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

/// The samples of each server, round by round, with its name.
type Samples = Vec<(&'static str, Vec<Sample>)>;

fn measure(rounds: usize, time: Duration) -> Result<Samples, Box<dyn Error>> {
    let (servers, clients) = (runtime(SERVER_THREADS)?, runtime(CLIENT_THREADS)?);
    let parties = servers.block_on(servers::all())?;
    let mut samples: Vec<_> = parties.iter().map(|party| (party.name, Vec::new())).collect();
    for round in 0..=rounds {
        // Each time another one is first.
        for turn in 0..parties.len() {
            let i = (round + turn) % parties.len();
            let sample = sample(&clients, &parties[i], time)?;
            // The first round warms up.
            if round > 0 {
                samples[i].1.push(sample);
            }
        }
    }
    parties.iter().try_for_each(Party::check)?;
    Ok(samples)
}

/// Measures everything.
pub fn run(effort: Effort) -> Report {
    let (rounds, time) = (effort.rounds / 2 + 1, effort.long / 8);
    let explanation = format!(
        "A handler of axum without a layer, behind `LimitLayer`, and behind the layer of tower_governor. Servers and clients \
         share one process and talk over loopback, so a request costs the server and the client. What a layer adds is a part \
         of both. The processor time of a request is that of the whole process; other work changes it less than the rate. \
         Medians with quartiles of {rounds} rounds of {time:?}, {CONNECTIONS} connections that stay; threads: \
         {SERVER_THREADS} for the servers, {CLIENT_THREADS} for the clients."
    );
    let mut report = Report::new("A handler of axum", &explanation);
    let samples = measure(rounds, time).unwrap_or_else(|error| panic!("the servers: {error}"));
    let mut lines = Vec::new();
    let mut added = Vec::new();
    let none = &samples[0].1;
    for (name, own) in &samples {
        let by_round = || own.iter().zip(none);
        let adds = spread(by_round().map(|(own, none)| own.processor - none.processor));
        lines.push(vec![
            (*name).to_owned(),
            format!("{:.3}", spread(by_round().map(|(own, none)| own.rate / none.rate))),
            format!("{:.0}", spread(own.iter().map(|own| own.rate))),
            format!("{:.0}", spread(own.iter().map(|own| own.processor))),
            format!("{adds:.0}"),
        ]);
        added.push(adds.median);
        report.keep(format!("{name}: requests a second"), own.iter().map(|own| own.rate));
        report.keep(format!("{name}: ns a request"), own.iter().map(|own| own.processor));
    }
    report.table(
        &[
            "layer",
            "rate, to no layer",
            "requests a second",
            "processor time a request, ns",
            "added to no layer, ns",
        ],
        &lines,
    );
    let [_, _, ours, theirs] = added[..] else { unreachable!("there are four servers") };
    if ours > theirs {
        report.lose(
            format!(
                "HTTP: the layer adds {ours:.0} ns to a request, by address, tower_governor's {theirs:.0} ns"
            ),
            "",
        );
    }
    report
}
