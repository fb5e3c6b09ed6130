//! Watches a limiter while its load changes: a table that grows twice a second, a page for Prometheus, and a picture.
//!
//! `cargo run --release --example watching --features metrics -- [--picture FILE]`
//!
//! A limit of 200 calls a second with a burst of 40. First some calls come, then twice as many as the limit allows, then the
//! server asks for a pause of a second, then some calls again. A caller waits for at most 300 ms.

#[allow(dead_code, reason = "this picture has fewer kinds of marks")]
#[path = "../throttle_api/svg.rs"]
mod svg;
mod table;

use std::{error::Error, io::Write, path::PathBuf, time::Duration};

use axum::{Router, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tidegate::{MetricsPublisher, Quota, RateLimiter};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, interval, sleep, sleep_until},
};

use table::{Row, Table};

const LIMIT: u64 = 200;
const MAX_WAIT: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(500);

/// What the callers do: calls a second, and for how long.
const LOADS: [(&str, u64, u64); 3] = [("some calls", 120, 2), ("a rush", 400, 4), ("some calls", 120, 4)];
/// When the server asks for a pause.
const PAUSE_AT: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let picture = match &*std::env::args().skip(1).collect::<Vec<_>>() {
        [] => None,
        [option, file] if option == "--picture" => Some(PathBuf::from(file)),
        _ => return Err("usage: watching [--picture FILE]".into()),
    };

    // The recorder first: the handles belong to the one that is installed when a limiter is added.
    let waits_ms = [1.0, 5.0, 20.0, 50.0, 100.0, 200.0, 300.0, 500.0].map(|ms| ms / 1000.0);
    let page = PrometheusBuilder::new().set_buckets(&waits_ms)?.install_recorder()?;
    let limiter = RateLimiter::new(Quota::per_second(LIMIT).with_burst(40)).watched("api");
    let mut publisher = MetricsPublisher::new();
    publisher.add(&limiter)?;
    tokio::spawn(async move {
        let mut often = interval(STEP);
        loop {
            often.tick().await;
            publisher.publish();
        }
    });
    let address = serve(page).await?;
    println!("for Prometheus: http://{address}/metrics\n");

    tokio::spawn(load(limiter.clone()));
    let rows = watch(&limiter).await;
    if let Some(file) = picture {
        svg::create(&file)?.write_all(table::picture(&rows, LIMIT).as_bytes())?;
        println!("\nwrote {}", file.display());
    }

    // The page is as old as the last publication.
    sleep(2 * STEP).await;
    let page = scrape(&address).await?;
    let calls = page.lines().filter(|line| line.starts_with("tidegate_calls_total"));
    println!("\nthe page says:\n{}", calls.collect::<Vec<_>>().join("\n"));
    let admitted = format!("outcome=\"admitted\"}} {}", limiter.stats().ok_or("it is watched")?.admitted);
    if page.contains(&admitted) { Ok(()) } else { Err(format!("no {admitted} in\n{page}").into()) }
}

/// Calls at the rates of [`LOADS`], each in a task of its own, which waits for its permit.
async fn load(limiter: RateLimiter) {
    let pause_at = Instant::now() + PAUSE_AT;
    let paused = limiter.clone();
    tokio::spawn(async move {
        sleep_until(pause_at).await;
        paused.pause_for(PAUSE);
    });
    for (_, rate, seconds) in LOADS {
        let mut pace = interval(Duration::from_secs(1) / rate as u32);
        for _ in 0..rate * seconds {
            pace.tick().await;
            tokio::spawn(limiter.acquire_within_owned(1, MAX_WAIT));
        }
    }
}

/// Prints a row at each step, until the load is over.
async fn watch(limiter: &RateLimiter) -> Vec<Row> {
    let seconds: u64 = LOADS.iter().map(|(.., seconds)| seconds).sum();
    let mut table = Table::new(limiter.stats());
    let began = Instant::now();
    let mut often = interval(STEP);
    often.tick().await;
    while began.elapsed() < Duration::from_secs(seconds) {
        often.tick().await;
        table.add(began.elapsed(), limiter.stats());
    }
    table.into_rows()
}

/// Serves the page for Prometheus on a free port of this machine, until the program ends.
async fn serve(page: PrometheusHandle) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let router = Router::new().route("/metrics", get(move || async move { page.render() }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// The page, as Prometheus would get it.
async fn scrape(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
