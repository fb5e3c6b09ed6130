//! What a layer costs an axum server: `cargo run --release`, some 30 seconds.
//!
//! Servers and clients share one process and talk over loopback, so a request costs the server and the client. What a layer
//! adds is a part of both. The servers take short turns, so that other work falls on all alike. The processor time of a request
//! is that of the whole process; other work changes it less than the rate.

mod client;
mod machine;
mod parties;
mod stats;

use std::{error::Error, io, time::Duration};

use client::Load;
use cpu_time::ProcessTime;
use parties::Party;
use stats::spread;
use tokio::runtime::Runtime;

const ROUNDS: usize = 25;
const SLICE: Duration = Duration::from_millis(250);

/// How long each is loaded before it counts.
const WARM_UP: Duration = Duration::from_millis(200);

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

fn print(parties: &[Party], samples: &[Vec<Sample>]) {
    println!(
        "| layer | requests a second | to no layer, by round | processor time a request, ns | added to no layer |"
    );
    println!("|---|---:|---:|---:|---:|");
    for (party, own) in parties.iter().zip(samples) {
        let by_round = || own.iter().zip(&samples[0]);
        let rate = spread(own.iter().map(|own| own.rate));
        let ratio = spread(by_round().map(|(own, none)| own.rate / none.rate));
        let processor = spread(own.iter().map(|own| own.processor));
        let added = spread(by_round().map(|(own, none)| own.processor - none.processor));
        println!("| {} | {rate:.0} | {ratio:.3} | {processor:.0} | {added:.0} |", party.name);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let servers = machine::runtime(SERVER_THREADS)?;
    let clients = machine::runtime(CLIENT_THREADS)?;
    let parties = servers.block_on(parties::all())?;
    for party in &parties {
        sample(&clients, party, WARM_UP)?;
    }
    let mut samples: Vec<Vec<Sample>> = parties.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        // Each time another one is first.
        for turn in 0..parties.len() {
            let i = (round + turn) % parties.len();
            samples[i].push(sample(&clients, &parties[i], SLICE)?);
        }
    }
    println!("{}", machine::describe());
    println!(
        "{ROUNDS} rounds of {SLICE:?}, {CONNECTIONS} connections that stay; threads: {SERVER_THREADS} for the servers, \
         {CLIENT_THREADS} for the clients. Medians, with quartiles.\n"
    );
    print(&parties, &samples);
    parties.iter().try_for_each(Party::check)
}
