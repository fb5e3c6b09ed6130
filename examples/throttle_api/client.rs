//! The tasks that send the requests, with or without a limiter.

use core::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
};
use std::{
    error::Error,
    rc::Rc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Empty};
use hyper::{StatusCode, Uri, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use indicatif::{ProgressBar, ProgressStyle};
use tidegate::RateLimiter;
use tokio::{task::LocalSet, time::timeout_at};

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
}

/// One run: how many requests to send, to which server, and by which limiter.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) limiter: Option<RateLimiter>,
    /// The most requests to send.
    pub(crate) most: u64,
    /// How long to send.
    pub(crate) time: Duration,
}

type Http = Client<HttpConnector, Empty<Bytes>>;

/// The state that the tasks of a phase share. They all run on one thread.
struct Shared {
    http: Http,
    start: Instant,
    arrivals: Cell<u64>,
    /// In the order in which the limiter granted them.
    calls: RefCell<Vec<Call>>,
    failure: RefCell<Option<String>>,
    bar: ProgressBar,
}

impl Phase {
    /// Sends until the time is over. Returns the calls in the order in which the limiter granted them.
    pub(crate) async fn run(&self, requests: &[String], tasks: u64) -> Result<Vec<Call>, Box<dyn Error>> {
        let uris: Result<Vec<Uri>, _> =
            requests.iter().map(|path| format!("{}{path}", self.url).parse::<Uri>()).collect();
        let uris: Rc<[Uri]> = uris.map_err(|error| format!("{}: {error}", self.url))?.into();
        let bar = ProgressBar::new(self.time.as_millis() as u64);
        let style = ProgressStyle::with_template("{prefix:18} [{bar:40}] {elapsed} {msg}")?;
        bar.set_style(style);
        bar.set_prefix(self.name);
        let shared = Rc::new(Shared {
            http: Client::builder(TokioExecutor::new()).build_http(),
            start: Instant::now(),
            arrivals: Cell::new(0),
            calls: RefCell::default(),
            failure: RefCell::default(),
            bar,
        });
        let local = LocalSet::new();
        for _ in 0..tasks {
            let (shared, uris, limiter) = (Rc::clone(&shared), Rc::clone(&uris), self.limiter.clone());
            let (most, time) = (self.most, self.time);
            local.spawn_local(async move { shared.work(&uris, limiter.as_ref(), most, time).await });
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
    async fn work(&self, uris: &[Uri], limiter: Option<&RateLimiter>, most: u64, time: Duration) {
        while self.start.elapsed() < time && self.failure.borrow().is_none() {
            let arrived = Instant::now();
            let mut arrival = None;
            if let Some(limiter) = limiter {
                let mut permit = pin!(limiter.acquire());
                // The first poll decides the place in the queue, so the number is drawn there.
                let granted = timeout_at(
                    (self.start + time).into(),
                    poll_fn(|cx| {
                        arrival.get_or_insert_with(|| self.next_arrival());
                        permit.as_mut().poll(cx)
                    }),
                );
                if granted.await.is_err() {
                    // The time is over: dropping the future leaves the queue.
                    return;
                }
            }
            let arrival = arrival.unwrap_or_else(|| self.next_arrival());
            if arrival >= most || self.start.elapsed() >= time {
                // At the very end a permit may stay unused.
                return;
            }
            let call =
                Call { arrival, waited: arrived.elapsed(), sent: self.start.elapsed(), accepted: false };
            let index = {
                let mut calls = self.calls.borrow_mut();
                calls.push(call);
                calls.len() - 1
            };
            let uri = uris[(arrival % uris.len() as u64) as usize].clone();
            match self.send(uri).await {
                Ok(accepted) => self.calls.borrow_mut()[index].accepted = accepted,
                Err(failure) => {
                    self.failure.borrow_mut().get_or_insert(failure);
                    return;
                }
            }
            self.bar.set_position(self.start.elapsed().as_millis() as u64);
            self.bar.set_message(format!("{} sent", index + 1));
        }
    }

    fn next_arrival(&self) -> u64 {
        self.arrivals.replace(self.arrivals.get() + 1)
    }

    /// Sends one request. Returns whether the server accepted it.
    async fn send(&self, uri: Uri) -> Result<bool, String> {
        let named = uri.clone();
        let failed = |error: &dyn Error| match error.source() {
            Some(source) => format!("{named}: {error}: {source}"),
            None => format!("{named}: {error}"),
        };
        let response = self.http.get(uri.clone()).await.map_err(|error| failed(&error))?;
        let status = response.status();
        response.into_body().collect().await.map_err(|error| failed(&error))?;
        match status {
            StatusCode::TOO_MANY_REQUESTS => Ok(false),
            status if status.is_success() => Ok(true),
            // Neither accepted nor refused: the list does not fit the server.
            status => Err(format!("{named}: answered {status}")),
        }
    }
}
