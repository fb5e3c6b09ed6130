//! A process of the fleet: this test binary, started again. Its callers are always hungry. It writes what they are admitted to
//! its output, and ends when its input does.

use std::{
    env,
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use tidegate::{Fleet, OnOutage, Quota};

const ADDRESS: &str = "TIDEGATE_TEST_FLEET";

/// Microseconds of the clock that all processes share.
pub(crate) fn now_us() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64
}

/// An admission: asked for before it, and there after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    pub(crate) asked_us: u64,
    pub(crate) there_us: u64,
}

/// What a process has told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) admissions: Vec<Admission>,
    /// When the process was held up, and for how long.
    pub(crate) held_up: Vec<(u64, Duration)>,
    pub(crate) calls: u64,
    pub(crate) unleased: u64,
}

/// The parent's side of a process.
pub(crate) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
    told: Arc<Mutex<Told>>,
}

impl Worker {
    pub(crate) fn start(address: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "worker_process", "--nocapture", "--test-threads", "1"])
            .env(ADDRESS, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = child.stdout.take().unwrap();
        let told = Arc::new(Mutex::new(Told::default()));
        let heard = Arc::clone(&told);
        let reader = std::thread::spawn(move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(output)).map_while(Result::ok) {
                hear(&line, &mut heard.lock().unwrap());
            }
        });
        Self { child, input, reader: Some(reader), told }
    }

    pub(crate) fn admitted(&self) -> usize {
        self.told.lock().unwrap().admissions.len()
    }

    /// As a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Ends it, unless it has been killed, and returns all that it has told.
    pub(crate) fn end(mut self) -> Told {
        drop(self.input.take());
        self.reader.take().unwrap().join().unwrap();
        core::mem::take(&mut self.told.lock().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A killed process may leave half a line, and the test harness writes lines of its own.
fn hear(line: &str, told: &mut Told) {
    let mut words = line.split(' ');
    let kind = words.next();
    let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    match (kind, numbers.as_slice()) {
        (Some("admitted"), &[asked_us, there_us, 0]) => {
            told.admissions.push(Admission { asked_us, there_us });
        }
        (Some("held-up"), &[at_us, us, 0]) => told.held_up.push((at_us, Duration::from_micros(us))),
        (Some("report"), &[calls, unleased, 0]) => (told.calls, told.unleased) = (calls, unleased),
        _ => {}
    }
}

/// The process itself, if this is one.
pub(crate) fn run_if_started_as_worker(quota: Quota, callers: usize) {
    let Ok(address) = env::var(ADDRESS) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(serve(&address, quota, callers));
}

async fn serve(address: &str, quota: Quota, callers: usize) {
    let fleet = Fleet::builder("test", quota).on_outage(OnOutage::Closed).join(address).await.unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let count = Arc::new(AtomicU64::new(0));
    for _ in 0..callers {
        let (fleet, lines, count) = (fleet.clone(), Arc::clone(&lines), Arc::clone(&count));
        tokio::spawn(async move {
            loop {
                let asked_us = now_us();
                fleet.acquire().await;
                let there_us = now_us();
                count.fetch_add(1, Ordering::Relaxed);
                writeln!(lines.lock().unwrap(), "admitted {asked_us} {there_us} 0").unwrap();
            }
        });
    }
    // Whether this process gets to run, as its member has to.
    let noted = Arc::clone(&lines);
    tokio::spawn(async move {
        loop {
            let start = Instant::now();
            tokio::time::sleep(Duration::from_millis(5)).await;
            let late = start.elapsed();
            if late > Duration::from_millis(20) {
                writeln!(noted.lock().unwrap(), "held-up {} {} 0", now_us(), late.as_micros()).unwrap();
            }
        }
    });
    let is_ended = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&is_ended);
    std::thread::spawn(move || {
        // Nothing is written to it: it ends with the parent, too.
        let _ = std::io::stdin().read(&mut [0]);
        ended.store(true, Ordering::Release);
    });
    while !is_ended.load(Ordering::Acquire) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        write(&lines);
    }
    let report = fleet.report();
    writeln!(lines.lock().unwrap(), "report {} {} 0", report.calls(), report.unleased()).unwrap();
    write(&lines);
}

fn write(lines: &Mutex<Vec<u8>>) {
    let text = core::mem::take(&mut *lines.lock().unwrap());
    // The parent may have gone.
    let _ = std::io::stdout().write_all(&text);
}
