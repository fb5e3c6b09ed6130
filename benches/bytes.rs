//! Bytes through `Paced` over a socket on loopback, as a table:
//!
//! - the rate reached at several limits over 3 s, and the most that any 50 ms saw, against burst + rate × 50 ms
//! - what four streams with chunks of different sizes get of 2 MB/s
//! - the processor time a byte, beside the same copy without a limit
//!
//! A round of each kind is run in turn, and the medians of all rounds are shown. The processor time is that of the
//! process, sender and receiver together, from `/proc/self/stat`; on other systems it is left out.

#[path = "support/tables.rs"]
mod tables;

use std::{
    fs,
    io::Result,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tables::{median, processor};
use tidegate::{Paced, Quota, RateLimiter};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

const WINDOW: Duration = Duration::from_millis(50);
/// What a stream takes at a time: the default, and one for fast streams.
const QUANTUM: usize = 8 * 1024;
const LARGE_QUANTUM: usize = 64 * 1024;

/// Notes when bytes pass, and how many.
struct Noted<T>(T, Vec<(Instant, usize)>);

impl<T: AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let at = Instant::now();
        let written = Pin::new(&mut self.0).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = written {
            self.1.push((at, bytes));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The most bytes in any window.
fn most_within(passed: &[(Instant, usize)], window: Duration) -> usize {
    let (mut most, mut sum, mut first) = (0, 0, 0);
    for &(at, bytes) in passed {
        sum += bytes;
        while at - passed[first].0 > window {
            sum -= passed[first].1;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}

async fn connected() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?);
    let (client, server) = tokio::join!(client, listener.accept());
    Ok((client?, server?.0))
}

/// Writes for so long, and returns the writer.
async fn write_for<W: AsyncWrite + Unpin>(mut writer: W, chunk: usize, time: Duration) -> Result<W> {
    let data = vec![7; chunk];
    let end = Instant::now() + time;
    while Instant::now() < end {
        writer.write_all(&data).await?;
    }
    writer.shutdown().await?;
    Ok(writer)
}

/// Reads to the end, and returns how many bytes came.
async fn drain<R: AsyncRead + Unpin>(mut reader: R, chunk: usize) -> Result<u64> {
    let mut data = vec![0; chunk];
    let mut bytes = 0;
    loop {
        match reader.read(&mut data).await? {
            0 => return Ok(bytes),
            n => bytes += n as u64,
        }
    }
}

/// A burst of 20 ms.
fn quota(rate: u64) -> Quota {
    Quota::per_second(rate).with_burst(rate / 50).with_initial(0)
}

fn limiter(rate: u64) -> RateLimiter {
    RateLimiter::new(quota(rate))
}

/// The rate reached as a share, and the most in a window as a share of burst + rate × window.
async fn at_rate(rate: u64, catch_up: Duration) -> Result<(f64, f64)> {
    let (a, b) = connected().await?;
    let reading = tokio::spawn(drain(b, 65_536));
    let quantum = if rate < 100_000_000 { QUANTUM } else { LARGE_QUANTUM };
    let limiter = RateLimiter::new(quota(rate).with_catch_up(catch_up));
    let paced = Paced::unlimited(Noted(a, Vec::new())).write_limit(&limiter).quantum(quantum);
    let start = Instant::now();
    let paced = write_for(paced, 65_536, Duration::from_secs(3)).await?;
    let elapsed = start.elapsed().as_secs_f64();
    let bytes = reading.await?? as f64;
    let rate = rate as f64;
    let bound = rate / 50.0 + rate * WINDOW.as_secs_f64();
    let most = most_within(&paced.get_ref().1, WINDOW) as f64;
    Ok((bytes / elapsed / rate, most / bound))
}

/// What four streams with such chunks get of 2 MB/s, in MB/s.
async fn shares(chunks: [usize; 4]) -> Result<[f64; 4]> {
    let limiter = limiter(2_000_000);
    let time = Duration::from_secs(3);
    let mut reading = Vec::new();
    let mut writing = Vec::new();
    for chunk in chunks {
        let (a, b) = connected().await?;
        reading.push(tokio::spawn(drain(b, 65_536)));
        writing.push(tokio::spawn(write_for(Paced::new(a, &limiter), chunk, time)));
    }
    for task in writing {
        drop(task.await??);
    }
    let mut shares = [0.0; 4];
    for (share, task) in shares.iter_mut().zip(reading) {
        *share = task.await?? as f64 / time.as_secs_f64() / 1e6;
    }
    Ok(shares)
}

/// The processor time of this process in seconds.
fn processor_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // utime and stime, in hundredths of a second.
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}

#[derive(Clone, Copy)]
enum Kind {
    /// Without a limit, at full speed.
    Plain,
    /// A limit that is never reached.
    Unlimited,
    /// The writer is limited, with such a quantum.
    Writes(u64, usize),
    /// The reader is limited.
    Reads(u64, usize),
}

impl Kind {
    fn name(self) -> String {
        match self {
            Self::Plain => "no limit".to_owned(),
            Self::Unlimited => "`Quota::UNLIMITED`, both ends".to_owned(),
            Self::Writes(rate, quantum) => {
                format!("writes at {} MB/s, quantum {} KiB", rate / 1_000_000, quantum / 1024)
            }
            Self::Reads(rate, quantum) => {
                format!("reads at {} MB/s, quantum {} KiB", rate / 1_000_000, quantum / 1024)
            }
        }
    }
}

/// MB/s, and the processor time in nanoseconds for a kilobyte.
async fn cost(kind: Kind, chunk: usize) -> Result<(f64, f64)> {
    let (a, b) = connected().await?;
    let time = Duration::from_secs(1);
    let (start, before) = (Instant::now(), processor_time());
    let bytes = match kind {
        Kind::Plain => {
            let reading = tokio::spawn(drain(b, chunk));
            write_for(a, chunk, time).await?;
            reading.await??
        }
        Kind::Unlimited => {
            let all = RateLimiter::new(Quota::UNLIMITED);
            let reading = tokio::spawn(drain(Paced::new(b, &all), chunk));
            drop(write_for(Paced::new(a, &all), chunk, time).await?);
            reading.await??
        }
        Kind::Writes(rate, quantum) => {
            let reading = tokio::spawn(drain(b, chunk));
            let paced = Paced::unlimited(a).write_limit(&limiter(rate)).quantum(quantum);
            drop(write_for(paced, chunk, time).await?);
            reading.await??
        }
        Kind::Reads(rate, quantum) => {
            let paced = Paced::unlimited(b).read_limit(&limiter(rate)).quantum(quantum);
            let reading = tokio::spawn(drain(paced, chunk));
            write_for(a, chunk, time).await?;
            reading.await??
        }
    };
    let elapsed = start.elapsed().as_secs_f64();
    let used = processor_time().zip(before).map_or(f64::NAN, |(after, before)| after - before);
    Ok((bytes as f64 / elapsed / 1e6, used * 1e9 / (bytes as f64 / 1e3)))
}

fn main() -> Result<()> {
    // `cargo test --benches` only looks whether it runs.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { 5 } else { 1 };
    let runtime = Runtime::new()?;
    println!("{}; medians of {rounds} rounds\n", processor());

    let rates = [2, 20, 200, 1_000].map(|mb| mb * 1_000_000);
    let catch_ups = [Duration::from_millis(10), Duration::ZERO];
    let kinds = rates.map(|rate| catch_ups.map(|catch_up| (rate, catch_up)));
    let kinds = kinds.as_flattened();
    let mut reached: Vec<_> = kinds.iter().map(|_| (Vec::new(), Vec::new())).collect();
    for _ in 0..rounds {
        for (&(rate, catch_up), (shares, windows)) in kinds.iter().zip(&mut reached) {
            let (share, window) = runtime.block_on(at_rate(rate, catch_up))?;
            shares.push(share * 100.0);
            windows.push(window * 100.0);
        }
    }
    println!(
        "| limit | catch-up | reached in 3 s | most in any 50 ms, of burst + rate × 50 ms |\n|---|---|---|---|"
    );
    for ((rate, catch_up), (shares, windows)) in kinds.iter().zip(reached) {
        let worst = windows.iter().copied().fold(0.0, f64::max);
        println!("| {} MB/s | {catch_up:?} | {:.2} % | {worst:.0} % |", rate / 1_000_000, median(shares));
    }

    let chunks = [16_384, 16_384, 4_096, 1_024];
    println!("\n| round | {} |\n|---|---|---|---|---|", chunks.map(|chunk| format!("{chunk} B")).join(" | "));
    for round in 1..=rounds.min(3) {
        let shares = runtime.block_on(shares(chunks))?;
        println!("| {round} | {} |", shares.map(|share| format!("{share:.3} MB/s")).join(" | "));
    }

    println!("\n| chunk | copy | MB/s | processor time for 1 kB | beside no limit |\n|---|---|---|---|---|");
    for chunk in [8_192, 65_536] {
        let kinds = [
            Kind::Plain,
            Kind::Unlimited,
            Kind::Writes(1_000_000_000, QUANTUM),
            Kind::Writes(1_000_000_000, LARGE_QUANTUM),
            Kind::Reads(1_000_000_000, LARGE_QUANTUM),
            Kind::Writes(200_000_000, QUANTUM),
            Kind::Writes(200_000_000, LARGE_QUANTUM),
        ];
        let mut all = kinds.map(|_| (Vec::new(), Vec::new()));
        for _ in 0..rounds {
            for (&kind, (speeds, costs)) in kinds.iter().zip(&mut all) {
                let (speed, cost) = runtime.block_on(cost(kind, chunk))?;
                speeds.push(speed);
                costs.push(cost);
            }
        }
        let plain = median(all[0].1.clone());
        for (kind, (speeds, costs)) in kinds.iter().zip(all) {
            let (speed, cost) = (median(speeds), median(costs));
            println!(
                "| {} KiB | {} | {speed:.0} | {cost:.0} ns | {:+.0} % |",
                chunk / 1024,
                kind.name(),
                (cost / plain - 1.0) * 100.0
            );
        }
    }
    Ok(())
}
