//! A server in this process that counts requests in sliding windows, by tokio's time. Requests take 20 ms.

use std::{
    cell::RefCell, collections::VecDeque, convert::Infallible, pin::Pin, rc::Rc, task, time::Duration,
};

use http::{Request, Response};
use tokio::time::{Instant, sleep};
use tower::Service;

#[derive(Clone)]
pub(crate) struct Windows {
    limits: Vec<(usize, Duration)>,
    retry_after: bool,
    seen: Rc<RefCell<Seen>>,
}

#[derive(Default)]
struct Seen {
    admitted: VecDeque<Instant>,
    total: usize,
    refused: usize,
}

impl Windows {
    pub(crate) fn new(limits: &[(usize, Duration)]) -> Self {
        Self { limits: limits.to_vec(), retry_after: false, seen: Rc::default() }
    }

    pub(crate) fn with_retry_after(self, retry_after: bool) -> Self {
        Self { retry_after, ..self }
    }

    pub(crate) fn admitted(&self) -> usize {
        self.seen.borrow().total
    }

    pub(crate) fn refused(&self) -> usize {
        self.seen.borrow().refused
    }
}

impl Service<Request<String>> for Windows {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            sleep(Duration::from_millis(10)).await;
            let refused = {
                let mut seen = this.seen.borrow_mut();
                let now = Instant::now();
                let longest = this.limits.iter().map(|(_, window)| *window).max().unwrap();
                while seen.admitted.front().is_some_and(|first| now.duration_since(*first) >= longest) {
                    seen.admitted.pop_front();
                }
                let waits = this.limits.iter().filter_map(|&(most, window)| {
                    let oldest = seen.admitted.iter().rev().nth(most - 1)?;
                    window.checked_sub(now.duration_since(*oldest)).filter(|wait| !wait.is_zero())
                });
                let wait = waits.max();
                match wait {
                    None => {
                        seen.admitted.push_back(now);
                        seen.total += 1;
                    }
                    Some(_) => seen.refused += 1,
                }
                wait
            };
            sleep(Duration::from_millis(10)).await;
            let builder = Response::builder();
            Ok(match refused {
                None => builder.body(String::new()).unwrap(),
                Some(wait) if this.retry_after => {
                    let builder =
                        builder.status(429).header("retry-after-ms", wait.as_millis().max(1).to_string());
                    builder.body(String::new()).unwrap()
                }
                Some(_) => builder.status(429).body(String::new()).unwrap(),
            })
        })
    }
}
