//! tower's `RateLimit`, a middleware that admits so many requests in a window.

use std::{
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    task::{Context, Poll},
};

use tokio::sync::Mutex;
use tower::{
    Service,
    limit::{RateLimit, rate::Rate},
};

use super::{Rival, Setting, Steps, in_paused_time};

/// tower's `RateLimit`.
pub struct Tower(Mutex<RateLimit<Nothing>>);

/// A service that does nothing.
struct Nothing;

impl Service<()> for Nothing {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

impl Rival for Tower {
    const NAME: &'static str = "tower's RateLimit";
    const NOTE: &'static str = "It admits a burst in each window of the time of a burst, and begins with a full one. It \
        has no call that refuses. One task alone can use it; others share it here by a mutex of tokio, which costs less \
        than tower's own `Buffer`.";
    const INEXACT: &'static str = "a window begins when the timer of the last one has run, and that has steps of a millisecond; a longer window, with a \
        larger burst, is more exact";
    const TRIES: bool = false;

    fn new(setting: &Setting) -> Self {
        let rate = Rate::new(setting.burst, setting.time_of(setting.burst));
        Self(Mutex::new(RateLimit::new(Nothing, rate)))
    }

    async fn wait(&self) {
        let mut service = self.0.lock().await;
        let Ok(()) = poll_fn(|context| service.poll_ready(context)).await;
        let Ok(()) = service.call(()).await;
    }

    fn driven(setting: &Setting, steps: Steps) -> Option<f64> {
        in_paused_time::<Self>(setting, steps)
    }
}
