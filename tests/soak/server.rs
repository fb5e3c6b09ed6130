//! A server on loopback that keeps a book of what it was asked, and stalls now and then.

use std::{io, net, pin::pin, thread, time::Duration};

use tidegate::Clock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

use super::{super::random::Random, round::Wall};

/// A request, which says how its client was admitted.
///
/// When a request arrives says little about when it was admitted, so it brings the readings of the clock with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) waited: bool,
    /// When the client asked the limiter, and when it was admitted.
    pub(crate) began: u64,
    pub(crate) granted: u64,
    pub(crate) permits: u64,
}

pub(crate) const REQUEST: usize = 25;

impl Request {
    pub(crate) fn to_bytes(self) -> [u8; REQUEST] {
        let mut bytes = [0; REQUEST];
        bytes[0] = self.waited.into();
        for (i, number) in [self.began, self.granted, self.permits].into_iter().enumerate() {
            bytes[1 + 8 * i..][..8].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: [u8; REQUEST]) -> Self {
        let number = |i: usize| u64::from_le_bytes(bytes[1 + 8 * i..][..8].try_into().unwrap());
        Self { waited: bytes[0] == 1, began: number(0), granted: number(1), permits: number(2) }
    }
}

/// What the server has seen.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) served: Vec<Request>,
    /// Requests of which not all has come.
    pub(crate) cut: u64,
    pub(crate) connections: u64,
}

/// Serves one client until it hangs up.
async fn connection(mut stream: TcpStream, clock: Wall, mut random: Random) -> Book {
    let mut book = Book { connections: 1, ..Book::default() };
    stream.set_nodelay(true).unwrap();
    let mut bytes = [0; REQUEST];
    while stream.read_exact(&mut bytes[..1]).await.is_ok() {
        if stream.read_exact(&mut bytes[1..]).await.is_err() {
            book.cut += 1;
            break;
        }
        let request = Request::from_bytes(bytes);
        let arrived = clock.now();
        let Request { began, granted, .. } = request;
        assert!(began <= granted && granted <= arrived, "{request:?} at {arrived}");
        book.served.push(request);
        match random.below(300) {
            // With all that it serves.
            0 => thread::sleep(Duration::from_millis(random.below(20))),
            1..10 => tokio::time::sleep(Duration::from_millis(random.below(20))).await,
            _ => {}
        }
        if stream.write_all(&[1]).await.is_err() {
            break;
        }
    }
    book
}

/// Serves until as many clients have come as `all` says in the end, and all have hung up.
pub(crate) fn serve(
    listener: net::TcpListener,
    clock: &Wall,
    seed: u64,
    mut all: oneshot::Receiver<u64>,
) -> io::Result<Book> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (mut connections, mut book) = (JoinSet::new(), Book::default());
        let (mut accepted, mut expected) = (0, None);
        while expected.is_none_or(|expected| accepted < expected) {
            tokio::select! {
                all = &mut all, if expected.is_none() => expected = Some(all.unwrap()),
                stream = listener.accept() => {
                    accepted += 1;
                    connections.spawn(connection(stream?.0, clock.clone(), Random(seed + accepted)));
                }
            }
        }
        let mut hung_up = pin!(connections.join_all());
        let served = tokio::time::timeout(Duration::from_secs(120), hung_up.as_mut()).await;
        for mut served in served.expect("somebody stays on the line") {
            book.served.append(&mut served.served);
            book.cut += served.cut;
            book.connections += served.connections;
        }
        Ok(book)
    })
}
