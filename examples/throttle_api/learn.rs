//! The phase against a server that does not tell its limit.

use std::{error::Error, time::Duration};

use tidegate::{Quota, RateLimiter, client::ClientLayer};
use tokio::runtime::Runtime;

use crate::{
    cli::Options,
    client::{Pace, Phase},
    report::Verdict,
    server::Server,
};

/// Of a second, so that the server refuses soon what is too fast.
const WINDOW: Duration = Duration::from_secs(1);
/// The first 10 s are for learning; the rest is judged.
const TIME: Duration = Duration::from_secs(25);

/// Runs the phase. The server admits the rate of the other phases.
pub(crate) fn run(
    runtime: &Runtime,
    requests: &[String],
    options: &Options,
) -> Result<Verdict, Box<dyn Error>> {
    let rate = options.limit as f64 / options.window.as_secs_f64();
    let limit = (rate * WINDOW.as_secs_f64()).round().max(1.0) as u64;
    let server = Server::start(limit, WINDOW, false)?;
    // Nothing here depends on the limit.
    let limiter = RateLimiter::new(Quota::per_second(10).with_burst(1));
    let layer = ClientLayer::new(&limiter).adaptive(1.0, 10_000.0);
    let pace = Pace::Learned(limiter, layer);
    let phase = Phase { name: "limit not told", url: server.url(), pace, most: u64::MAX, time: TIME };
    let calls = runtime.block_on(phase.run(requests, options.tasks))?;
    Ok(Verdict::new(&phase, &calls, Some(server.stop()), limit, WINDOW))
}
