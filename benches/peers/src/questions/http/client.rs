//! A client that keeps its connections, with so little work for a request that the server is what is measured.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Barrier,
    task::JoinSet,
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\n";
/// How all answers end: the end of the head, and the body.
const END: &[u8] = b"\r\n\r\nhello\n";

/// Sends a request and reads the whole answer.
async fn exchange(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.write_all(REQUEST).await?;
    let mut length = 0;
    loop {
        let read = stream.read(&mut buffer[length..]).await?;
        length += read;
        let answer = &buffer[..length];
        if answer.ends_with(END) && answer.starts_with(GOOD) {
            return Ok(());
        }
        if read == 0 {
            let answer = String::from_utf8_lossy(answer);
            return Err(io::Error::other(format!("not a good answer: {answer}")));
        }
    }
}

/// What the clients have done.
pub(super) struct Load {
    /// Requests a second.
    pub(super) rate: f64,
    /// Requests.
    pub(super) exchanges: u64,
}

/// Loads a server over so many connections, each with one request at a time.
pub(super) async fn load(to: SocketAddr, connections: usize, time: Duration) -> io::Result<Load> {
    let connected = Arc::new(Barrier::new(connections));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let connected = Arc::clone(&connected);
        tasks.spawn(async move {
            let mut buffer = [0; 1024];
            // The connection is accepted before the time runs.
            exchange(&mut stream, &mut buffer).await?;
            connected.wait().await;
            let (began, mut exchanges) = (Instant::now(), 0_u64);
            while began.elapsed() < time {
                exchange(&mut stream, &mut buffer).await?;
                exchanges += 1;
            }
            Ok::<_, io::Error>(Load { rate: exchanges as f64 / began.elapsed().as_secs_f64(), exchanges })
        });
    }
    let mut all = Load { rate: 0.0, exchanges: 0 };
    while let Some(done) = tasks.join_next().await {
        let Load { rate, exchanges } = done.map_err(io::Error::other)??;
        all.rate += rate;
        all.exchanges += exchanges;
    }
    Ok(all)
}
