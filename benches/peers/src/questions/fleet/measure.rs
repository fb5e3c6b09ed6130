//! One rival: how fast a process calls, and what processes get of a quota.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cpu_time::ProcessTime;
use tokio::{runtime::Runtime, time::timeout_at};

use super::bound::most_above_rate;
use crate::{
    rivals::{Member, Setting},
    server::Server,
    stats::quantile,
};

/// What may fail: the server.
pub(super) type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// So many processes, which join under a name that the server does not know.
async fn join<M: Member>(server: &mut Server, setting: &Setting, processes: u32) -> Result<Vec<Arc<M>>> {
    let name = server.new_name();
    let mut members = Vec::new();
    for _ in 0..processes {
        members.push(Arc::new(M::join(server.address(), &name, setting, processes).await?));
    }
    Ok(members)
}

/// Processor time of this process and of the server.
struct Watch {
    own: ProcessTime,
    servers: Duration,
}

impl Watch {
    fn start(server: &mut Server) -> Self {
        Self { servers: server.processor_time(), own: ProcessTime::now() }
    }

    /// Nanoseconds a call, of this process and of the server.
    fn per_call(&self, server: &mut Server, calls: f64) -> [f64; 2] {
        let own = self.own.elapsed();
        let servers = server.processor_time().saturating_sub(self.servers);
        [own, servers].map(|time| time.as_nanos() as f64 / calls.max(1.0))
    }
}

/// How fast one process calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed {
    /// Calls a second.
    pub(super) rate: f64,
    /// Nanoseconds of processor time a call, of this process and of the server.
    pub(super) processor: [f64; 2],
}

const WARM_UP: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

/// So many tasks of one process call at once, and the quota never refuses.
pub(super) fn speed<M: Member>(server: &mut Server, tasks: usize, slice: Duration) -> Result<Speed> {
    let runtime = runtime()?;
    let members = runtime.block_on(join::<M>(server, &Setting::ABUNDANT, 1))?;
    let phase = Arc::new(AtomicU8::new(WARM_UP));
    let call = |member: Arc<M>, phase: Arc<AtomicU8>| async move {
        let mut calls = 0_u64;
        loop {
            member.wait().await;
            match phase.load(Ordering::Relaxed) {
                WARM_UP => {}
                MEASURED => calls += 1,
                _ => return calls,
            }
        }
    };
    let tasks: Vec<_> =
        (0..tasks).map(|_| runtime.spawn(call(Arc::clone(&members[0]), Arc::clone(&phase)))).collect();
    thread::sleep(slice);
    let watch = Watch::start(server);
    let began = Instant::now();
    phase.store(MEASURED, Ordering::Relaxed);
    thread::sleep(slice);
    phase.store(OVER, Ordering::Relaxed);
    let time = began.elapsed();
    let calls = runtime.block_on(async {
        let mut all = 0;
        for task in tasks {
            all += task.await?;
        }
        Ok::<_, Box<dyn Error>>(all as f64)
    })?;
    Ok(Speed { rate: calls / time.as_secs_f64(), processor: watch.per_call(server, calls) })
}

/// Processes, and what they want of a quota.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    /// Permits a second. The burst is half of them.
    pub(super) rate: u64,
    pub(super) processes: u32,
    /// The processes that always want more. Each of the others calls once in [`IDLE`].
    pub(super) hungry: u32,
}

/// The tasks of a hungry process.
pub(super) const TASKS: usize = 8;

/// How much later a caller may learn of its permit than another one.
pub(super) const LEARNS: Duration = Duration::from_millis(10);

/// The time between two calls of a process that is not hungry.
pub(super) const IDLE: Duration = Duration::from_millis(200);

impl Scene {
    pub(super) fn burst(&self) -> u64 {
        self.rate / 2
    }

    fn setting(&self) -> Setting {
        Setting { full: true, ..Setting::per_second(self.rate, self.burst()) }
    }

    /// The most that may be admitted in so much time.
    fn bound(&self, time: Duration) -> f64 {
        self.burst() as f64 + self.rate as f64 * time.as_secs_f64()
    }
}

/// What came of a scene.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) shares: Shares,
    /// Scripts called on the server for each permit.
    pub(super) trips: f64,
    /// Nanoseconds of processor time a permit, of this process and of the server.
    pub(super) processor: [f64; 2],
    /// Calls to the server that failed.
    pub(super) failed: u64,
}

/// What the processes got.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    /// What was admitted, as a part of the burst and of what the rate brings.
    pub(super) delivered: f64,
    /// What was admitted in the last four fifths of the time, as a part of what the rate brings in it.
    pub(super) later: f64,
    /// What the hungry process got in that time that got least, as a part of an equal share. Not a number if there is only one.
    pub(super) least: f64,
    /// The most above the rate in any window, as a part of the burst.
    pub(super) most: f64,
    /// Whether that is more than the burst and what comes in [`LEARNS`].
    pub(super) exceeds: bool,
    /// The waits of processes that are not hungry, in milliseconds: median and longest. Not a number without them.
    pub(super) idle_waits: [f64; 2],
}

/// The permits of one task: when each came, after how long a wait.
type Permits = Vec<(Duration, Duration)>;

/// Calls until the end, with a pause before each call.
async fn consume<M: Member>(member: Arc<M>, began: Instant, time: Duration, pause: Duration) -> Permits {
    let mut permits = Permits::new();
    let end = tokio::time::Instant::from_std(began + time);
    loop {
        if !pause.is_zero() && timeout_at(end, tokio::time::sleep(pause)).await.is_err() {
            return permits;
        }
        let asked = Instant::now();
        if timeout_at(end, member.wait()).await.is_err() {
            return permits;
        }
        let came = Instant::now();
        if came > began + time {
            return permits;
        }
        permits.push((came - began, came - asked));
    }
}

/// Has the processes of a scene consume for so long.
pub(super) fn scene<M: Member>(server: &mut Server, scene: Scene, time: Duration) -> Result<Outcome> {
    let runtime = runtime()?;
    let members = runtime.block_on(join::<M>(server, &scene.setting(), scene.processes))?;
    let (watch, calls) = (Watch::start(server), server.calls());
    let began = Instant::now();
    let spawn = |(number, member): (usize, &Arc<M>)| {
        let hungry = number < scene.hungry as usize;
        let (tasks, pause) = if hungry { (TASKS, Duration::ZERO) } else { (1, IDLE) };
        (0..tasks).map(|_| runtime.spawn(consume(Arc::clone(member), began, time, pause))).collect::<Vec<_>>()
    };
    let processes: Vec<_> = members.iter().enumerate().map(spawn).collect();
    let permits: Vec<Permits> = runtime.block_on(async {
        let mut all = Vec::new();
        for tasks in processes {
            let mut permits = Permits::new();
            for task in tasks {
                permits.extend(task.await?);
            }
            all.push(permits);
        }
        Ok::<_, Box<dyn Error>>(all)
    })?;
    let calls = server.calls() - calls;
    let total = permits.iter().map(Vec::len).sum::<usize>() as f64;
    Ok(Outcome {
        shares: Shares::of(scene, &permits, time),
        trips: calls as f64 / total.max(1.0),
        processor: watch.per_call(server, total),
        failed: members.iter().map(|member| member.failed()).sum(),
    })
}

impl Shares {
    /// What the permits of each process tell.
    fn of(scene: Scene, permits: &[Permits], time: Duration) -> Self {
        let rate = scene.rate as f64;
        let mut times: Vec<Duration> = permits.iter().flatten().map(|(came, _)| *came).collect();
        times.sort_unstable();
        let first = time / 5;
        let late = |permits: &Permits| permits.iter().filter(|(came, _)| *came >= first).count() as f64;
        let (hungry, idle) = permits.split_at(scene.hungry as usize);
        let least = hungry.iter().map(late).min_by(f64::total_cmp).filter(|_| hungry.len() > 1);
        let equal = hungry.iter().map(late).sum::<f64>() / hungry.len() as f64;
        let mut waits: Vec<f64> = idle.iter().flatten().map(|(_, wait)| wait.as_secs_f64() * 1e3).collect();
        waits.sort_by(f64::total_cmp);
        let wait = |part| if waits.is_empty() { f64::NAN } else { quantile(&waits, part) };
        let most = most_above_rate(&times, rate);
        Self {
            delivered: times.len() as f64 / scene.bound(time),
            later: permits.iter().map(late).sum::<f64>() / (rate * (time - first).as_secs_f64()),
            least: least.map_or(f64::NAN, |least| least / equal),
            most: most / scene.burst() as f64,
            exceeds: most > scene.burst() as f64 + rate * LEARNS.as_secs_f64(),
            idle_waits: [wait(0.5), wait(1.0)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Permits at these milliseconds, each after a wait of two.
    fn permits(millis: impl IntoIterator<Item = u64>) -> Permits {
        let wait = Duration::from_millis(2);
        millis.into_iter().map(|came| (Duration::from_millis(came), wait)).collect()
    }

    #[test]
    fn shares_are_those_of_the_burst_and_of_what_the_rate_brings() {
        let scene = Scene { name: "", rate: 100, processes: 3, hungry: 2 };
        // Of 150 permits, and of the 80 in the last 800 ms.
        let all = [permits((0..60).map(|n| n * 10)), permits((0..40).map(|n| n * 10)), permits([900, 990])];
        let shares = Shares::of(scene, &all, SECOND);
        assert_eq!(shares.delivered, 102.0 / 150.0);
        assert_eq!(shares.later, 62.0 / 80.0);
        assert_eq!(shares.least, 20.0 / 30.0);
        assert_eq!(shares.idle_waits, [2.0, 2.0]);
        // Eighty in the first 390 ms, where the rate brings 39.
        assert!((shares.most - 41.0 / 50.0).abs() < 1e-9, "{}", shares.most);
        assert!(!shares.exceeds);
    }

    #[test]
    fn more_than_the_burst_at_once_exceeds_the_bound() {
        let scene = Scene { name: "", rate: 1000, processes: 1, hungry: 1 };
        let exceeds = |n| Shares::of(scene, &[permits(vec![7; n])], SECOND).exceeds;
        // A burst of 500, and what comes in 10 ms.
        assert_eq!([500, 510, 511].map(exceeds), [false, false, true]);
    }
}
