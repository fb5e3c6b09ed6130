//! The tasks that send the requests, with or without a limiter.

use core::cell::{Cell, RefCell};
use std::{
    error::Error,
    pin::pin,
    rc::Rc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
};
use hyper_util::{
    client::legacy::{Client, Error as HttpError, ResponseFuture, connect::HttpConnector},
    rt::TokioExecutor,
};
use indicatif::{ProgressBar, ProgressStyle};
use tidegate::RateLimiter;
#[cfg(feature = "client")]
use tidegate::client::ClientLayer;
use tokio::{task::LocalSet, time::timeout_at};
#[cfg(feature = "client")]
use tower::Layer;
use tower::{Service, ServiceExt, service_fn};

type Outgoing = Request<Empty<Bytes>>;
type Answer = Response<Incoming>;

/// One request that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Its number in the order in which calls reached the limiter.
    pub(crate) arrival: u64,
    /// How long it waited for its permit.
    pub(crate) waited: Duration,
    /// When it was sent, since the start of the phase.
    pub(crate) sent: Duration,
    pub(crate) accepted: bool,
    /// The rate of the limiter then, in permits a second.
    pub(crate) rate: Option<f64>,
}

/// What the requests of a phase wait for.
#[derive(Debug)]
pub(crate) enum Pace {
    Unlimited,
    Limited(RateLimiter),
    /// By a limiter whose rate the layer learns.
    #[cfg(feature = "client")]
    Learned(RateLimiter, ClientLayer),
}

/// One run: how many requests to send, to which server, and by which limiter.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) pace: Pace,
    /// The most requests to send.
    pub(crate) most: u64,
    /// How long to send.
    pub(crate) time: Duration,
}

/// The state that the tasks of a phase share. They all run on one thread.
struct Shared {
    http: Client<HttpConnector, Empty<Bytes>>,
    limiter: Option<RateLimiter>,
    uris: Vec<Uri>,
    most: u64,
    time: Duration,
    start: Instant,
    arrivals: Cell<u64>,
    /// In the order in which the limiter granted them.
    calls: RefCell<Vec<Call>>,
    failure: RefCell<Option<String>>,
    bar: ProgressBar,
}

/// The request that a task makes: it has one at a time.
struct Current {
    arrival: Cell<u64>,
    arrived: Cell<Instant>,
    /// Its place in `Shared::calls`, once it is sent.
    index: Cell<Option<usize>>,
}

impl Phase {
    /// Sends until the time is over. Returns the calls in the order in which the limiter granted them.
    pub(crate) async fn run(&self, requests: &[String], tasks: u64) -> Result<Vec<Call>, Box<dyn Error>> {
        let uris: Result<Vec<Uri>, _> =
            requests.iter().map(|path| format!("{}{path}", self.url).parse::<Uri>()).collect();
        let bar = ProgressBar::new(self.time.as_millis() as u64);
        bar.set_style(ProgressStyle::with_template("{prefix:18} [{bar:40}] {elapsed} {msg}")?);
        bar.set_prefix(self.name);
        let shared = Rc::new(Shared {
            http: Client::builder(TokioExecutor::new()).build_http(),
            limiter: match &self.pace {
                Pace::Unlimited => None,
                Pace::Limited(limiter) => Some(limiter.clone()),
                #[cfg(feature = "client")]
                Pace::Learned(limiter, _) => Some(limiter.clone()),
            },
            uris: uris.map_err(|error| format!("{}: {error}", self.url))?,
            most: self.most,
            time: self.time,
            start: Instant::now(),
            arrivals: Cell::new(0),
            calls: RefCell::default(),
            failure: RefCell::default(),
            bar,
        });
        let local = LocalSet::new();
        for _ in 0..tasks {
            let shared = Rc::clone(&shared);
            let current = Rc::new(Current {
                arrival: Cell::new(0),
                arrived: Cell::new(shared.start),
                index: Cell::new(None),
            });
            let http = shared.recorded(&current);
            match &self.pace {
                Pace::Unlimited => local.spawn_local(async move { shared.work(http, &current).await }),
                Pace::Limited(limiter) => {
                    let limiter = limiter.clone();
                    let limited = service_fn(move |request| {
                        let (limiter, mut http) = (limiter.clone(), http.clone());
                        async move {
                            limiter.acquire().await;
                            http.call(request).await
                        }
                    });
                    local.spawn_local(async move { shared.work(limited, &current).await })
                }
                #[cfg(feature = "client")]
                Pace::Learned(_, layer) => {
                    let learned = layer.layer(http);
                    local.spawn_local(async move { shared.work(learned, &current).await })
                }
            };
        }
        local.await;
        shared.bar.finish_and_clear();
        if let Some(failure) = shared.failure.borrow_mut().take() {
            return Err(failure.into());
        }
        Ok(shared.calls.take())
    }
}

impl Shared {
    /// The HTTP client of a task, which notes each request as it is sent.
    fn recorded(
        self: &Rc<Self>,
        current: &Rc<Current>,
    ) -> impl Service<Outgoing, Response = Answer, Error = HttpError, Future = ResponseFuture> + Clone + use<>
    {
        let (shared, current) = (Rc::clone(self), Rc::clone(current));
        service_fn(move |request| {
            let mut calls = shared.calls.borrow_mut();
            calls.push(Call {
                arrival: current.arrival.get(),
                waited: current.arrived.get().elapsed(),
                sent: shared.start.elapsed(),
                accepted: false,
                rate: shared.limiter.as_ref().map(|limiter| 1.0 / limiter.quota().interval().as_secs_f64()),
            });
            current.index.set(Some(calls.len() - 1));
            shared.http.request(request)
        })
    }

    async fn work<S>(&self, client: S, current: &Current)
    where
        S: Service<Outgoing, Response = Answer, Error: Error> + Clone,
    {
        while self.start.elapsed() < self.time && self.failure.borrow().is_none() {
            let arrival = self.arrivals.replace(self.arrivals.get() + 1);
            if arrival >= self.most {
                return;
            }
            current.arrival.set(arrival);
            current.arrived.set(Instant::now());
            current.index.set(None);
            let uri = self.uris[(arrival % self.uris.len() as u64) as usize].clone();
            // The first poll decides the place in the queue. It follows on this thread before any other task runs, so
            // the number is that place.
            let mut sending = pin!(send(client.clone(), uri));
            let sent = match timeout_at((self.start + self.time).into(), sending.as_mut()).await {
                Ok(sent) => sent,
                // The time is over: dropping the future leaves the queue.
                Err(_) if current.index.get().is_none() => return,
                Err(_) => sending.await,
            };
            match (sent, current.index.get()) {
                (Ok(accepted), Some(index)) => {
                    self.calls.borrow_mut()[index].accepted = accepted;
                    self.bar.set_position(self.start.elapsed().as_millis() as u64);
                    self.bar.set_message(format!("{} sent", index + 1));
                }
                (Ok(_), None) => unreachable!("a response to a request that was not sent"),
                (Err(failure), _) => {
                    self.failure.borrow_mut().get_or_insert(failure);
                    return;
                }
            }
        }
    }
}

/// Sends one request. Returns whether the server accepted it.
async fn send<S>(client: S, uri: Uri) -> Result<bool, String>
where
    S: Service<Outgoing, Response = Answer, Error: Error>,
{
    let failed = |error: &dyn Error| match error.source() {
        Some(source) => format!("{uri}: {error}: {source}"),
        None => format!("{uri}: {error}"),
    };
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri.clone();
    let response = client.oneshot(request).await.map_err(|error| failed(&error))?;
    let status = response.status();
    response.into_body().collect().await.map_err(|error| failed(&error))?;
    match status {
        StatusCode::TOO_MANY_REQUESTS => Ok(false),
        status if status.is_success() => Ok(true),
        // Neither accepted nor refused: the list does not fit the server.
        status => Err(format!("{uri}: answered {status}")),
    }
}
