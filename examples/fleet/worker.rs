//! A process of the fleet: this program, started again. It sends requests as fast as its permits come, and tells what became
//! of them.

use std::{
    error::Error,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{StatusCode, Uri, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tidegate::{Fleet, OnOutage, Quota};

const CALLERS: usize = 20;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) admitted: u64,
    pub(crate) refused: u64,
}

impl Count {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { admitted: self.admitted - before.admitted, refused: self.refused - before.refused }
    }
}

/// What both sides count in. Relaxed everywhere: numbers of their own, for reports.
#[derive(Debug, Default)]
struct Tally {
    sent: AtomicU64,
    admitted: AtomicU64,
    refused: AtomicU64,
}

/// The parent's side of a process.
pub(crate) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
    tally: Arc<Tally>,
}

impl Worker {
    pub(crate) fn start(store: &str, api: &str) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["worker", store, api])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take();
        let tally = Arc::new(Tally::default());
        let heard = Arc::clone(&tally);
        let reader = std::thread::spawn(move || {
            for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
                let Ok(line) = line else { break };
                let numbers: Vec<u64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
                if let [sent, admitted, refused] = numbers[..] {
                    heard.sent.store(sent, Ordering::Relaxed);
                    heard.admitted.store(admitted, Ordering::Relaxed);
                    heard.refused.store(refused, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { child, input, reader: Some(reader), tally })
    }

    pub(crate) fn count(&self) -> Count {
        let Tally { admitted, refused, .. } = &*self.tally;
        Count { admitted: admitted.load(Ordering::Relaxed), refused: refused.load(Ordering::Relaxed) }
    }

    /// As a crash does.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// Ends it. Returns how many requests had no answer yet.
    pub(crate) fn end(mut self) -> u64 {
        drop(self.input.take());
        if let Some(reader) = self.reader.take() {
            // A reader does not panic.
            let _ = reader.join();
        }
        let Count { admitted, refused } = self.count();
        self.tally.sent.load(Ordering::Relaxed).saturating_sub(admitted + refused)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process itself: until its input ends.
pub(crate) fn run(store: &str, api: &str, quota: Quota) -> Result<(), Box<dyn Error>> {
    let api: Uri = api.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        // Nothing without a lease, since the API refuses what is too much.
        let fleet = Fleet::builder("api", quota).on_outage(OnOutage::Closed).join(store).await?;
        let tally = Arc::new(Tally::default());
        for _ in 0..CALLERS {
            tokio::spawn(send(fleet.clone(), api.clone(), Arc::clone(&tally)));
        }
        let is_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&is_ended);
        std::thread::spawn(move || {
            // Nothing is written to it: it ends with the parent, too.
            let _ = io::stdin().read(&mut [0]);
            ended.store(true, Ordering::Relaxed);
        });
        while !is_ended.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let [sent, admitted, refused] =
                [&tally.sent, &tally.admitted, &tally.refused].map(|count| count.load(Ordering::Relaxed));
            writeln!(io::stdout(), "{sent} {admitted} {refused}")?;
        }
        Ok(())
    })
}

async fn send(fleet: Fleet, api: Uri, tally: Arc<Tally>) {
    let http = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    loop {
        fleet.acquire().await;
        tally.sent.fetch_add(1, Ordering::Relaxed);
        let Ok(response) = http.get(api.clone()).await else { continue };
        let count = match response.status() {
            StatusCode::OK => &tally.admitted,
            _ => &tally.refused,
        };
        // The connection is used again once the body has been read.
        if response.into_body().collect().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
