//! The third-party API: an HTTP server that enforces its own limit over a sliding window, and keeps a log.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::oneshot};

/// What the server saw of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Since the server was started.
    pub(crate) at: Duration,
    pub(crate) accepted: bool,
}

#[derive(Debug)]
struct Book {
    limit: u64,
    window: Duration,
    /// Whether responses tell the limit.
    tells: bool,
    start: Instant,
    /// The times of the requests accepted within the last window.
    recent: VecDeque<Duration>,
    log: Vec<Seen>,
}

impl Book {
    fn admit(&mut self) -> bool {
        let at = self.start.elapsed();
        while self.recent.front().is_some_and(|&first| first + self.window <= at) {
            self.recent.pop_front();
        }
        let accepted = (self.recent.len() as u64) < self.limit;
        if accepted {
            self.recent.push_back(at);
        }
        self.log.push(Seen { at, accepted });
        accepted
    }
}

/// A running server, on two threads of its own.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts a server on a free loopback port. Its responses tell the limit if `tells`.
    pub(crate) fn start(limit: u64, window: Duration, tells: bool) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let book =
            Book { limit, window, tells, start: Instant::now(), recent: VecDeque::new(), log: Vec::new() };
        let book = Arc::new(Mutex::new(book));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shared = Arc::clone(&book);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = serve(listener, shared) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        Ok(Self { address, book, stop, thread })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops the server and returns its log.
    pub(crate) fn stop(self) -> Vec<Seen> {
        // Sending fails only if the server has stopped already.
        let _ = self.stop.send(());
        let _ = self.thread.join();
        core::mem::take(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner).log)
    }
}

async fn serve(listener: std::net::TcpListener, book: Arc<Mutex<Book>>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return eprintln!("server: {error}"),
    };
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("server: {error}");
                continue;
            }
        };
        let book = Arc::clone(&book);
        tokio::spawn(async move {
            let service =
                service_fn(move |request| core::future::ready(Ok::<_, Infallible>(answer(&request, &book))));
            // A client may close the connection at any time.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(request: &Request<Incoming>, book: &Mutex<Book>) -> Response<Full<Bytes>> {
    let (accepted, policy) = {
        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
        let policy = book
            .tells
            .then(|| format!("\"default\";q={};w={}", book.limit, book.window.as_secs_f64().ceil()));
        (book.admit(), policy)
    };
    let (status, body) = if accepted {
        (StatusCode::OK, format!("{{\"path\":{:?}}}\n", request.uri().path()))
    } else {
        (StatusCode::TOO_MANY_REQUESTS, "{\"error\":\"too many requests\"}\n".to_owned())
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    if let Some(Ok(policy)) = policy.map(|policy| policy.parse()) {
        response.headers_mut().insert("ratelimit-policy", policy);
    }
    response
}
