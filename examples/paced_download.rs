//! An HTTP client whose downloads together keep to 2 MB/s. It wraps the stream of the connector, and not the request: the client
//! keeps connections for later requests, and bytes arrive on the connection. A server runs on loopback.
//!
//! `cargo run --features io --example paced_download`

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    Response, Uri,
    body::Bytes,
    rt::{Read, ReadBufCursor, Write},
    service::service_fn,
};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use tidegate::{Paced, Quota, RateLimiter};
use tokio::net::{TcpListener, TcpStream};

const RATE: u64 = 2_000_000;
const BURST: u64 = 50_000;
const FILE: usize = 500_000;
const DOWNLOADS: usize = 3;
const ROUNDS: usize = 2;

/// A connection of the client. `hyper-util` asks for its own traits.
struct PacedConnection(TokioIo<Paced<TcpStream>>);

impl Read for PacedConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for PacedConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Connection for PacedConnection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Serves a file on each path. Counts the connections.
async fn serve(listener: TcpListener, connections: Arc<AtomicUsize>) {
    let file = Bytes::from(vec![42; FILE]);
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::Relaxed);
        let file = file.clone();
        tokio::spawn(async move {
            let answer = service_fn(|_| {
                let response = Response::new(Full::new(file.clone()));
                async move { Ok::<_, Infallible>(response) }
            });
            // The client may go at any time.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
    let address = listener.local_addr().expect("it is bound");
    let connections = Arc::new(AtomicUsize::new(0));
    let server = tokio::spawn(serve(listener, Arc::clone(&connections)));

    let limiter = RateLimiter::new(Quota::per_second(RATE).with_burst(BURST));
    let down = limiter.clone();
    let connector = tower::service_fn(move |uri: Uri| {
        let down = down.clone();
        Box::pin(async move {
            let address = uri.authority().map_or("", |authority| authority.as_str());
            let stream = TcpStream::connect(address).await?;
            // Only reads: what is sent has no limit here.
            let paced = Paced::unlimited(stream).read_limit(&down);
            Ok::<_, io::Error>(PacedConnection(TokioIo::new(paced)))
        })
    });
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);

    println!("{DOWNLOADS} downloads of {FILE} bytes at once, {ROUNDS} times, on {}\n", limiter.quota());
    let start = Instant::now();
    for round in 1..=ROUNDS {
        let download = async |number: usize| {
            let uri = format!("http://{address}/{number}").parse().expect("an address is a URI");
            let response = client.get(uri).await.expect("the server answers");
            let body = response.into_body().collect().await.expect("the whole file");
            println!(
                "round {round}, file {number}: {} bytes after {:?}",
                body.to_bytes().len(),
                start.elapsed()
            );
        };
        join_all((1..=DOWNLOADS).map(download)).await;
    }
    let took = start.elapsed();
    server.abort();

    let (bytes, connections) = (ROUNDS * DOWNLOADS * FILE, connections.load(Ordering::Relaxed));
    println!("\n{:.2} MB/s on {connections} connections", bytes as f64 / took.as_secs_f64() / 1e6);
    // Heads of responses count, too. Late grants are dated earlier by up to 10 ms.
    let fastest = Duration::from_secs_f64((bytes as f64 - BURST as f64) / RATE as f64 - 0.01);
    if took < fastest {
        println!("faster than the limit: {took:?}, and not {fastest:?} or more");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
