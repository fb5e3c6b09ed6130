//! Eight real processes on a real server: first in peace, then two are killed, then the server stops for two seconds, and at last
//! it is killed and starts again, empty.
//!
//! The upper bound holds whatever the machine does. How much is used is judged by the time for which all processes could run.
#![cfg(feature = "redis")]

#[path = "support/redis_server.rs"]
mod redis_server;
#[path = "fleet_processes/windows.rs"]
mod windows;
#[path = "fleet_processes/worker.rs"]
mod worker;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use redis_server::RedisServer;
use tidegate::Quota;
use windows::Lost;
use worker::{Told, Worker, now_us, run_if_started_as_worker};

const RATE: u64 = 10_000;
const BURST: u64 = 10_000;

/// The server's part of the burst, and what it books ahead: two tenths of a second, and a call each while nobody waits for more.
const AT_ONCE: u64 = BURST / 2 + RATE / 5;

const LONG: Duration = Duration::from_secs(60);

fn quota() -> Quota {
    Quota::per_second(RATE).with_burst(BURST)
}

/// Does nothing unless it is started as a process of the fleet.
#[test]
fn worker_process() {
    run_if_started_as_worker(quota(), 64);
}

fn admitted(workers: &[Worker]) -> usize {
    workers.iter().map(Worker::admitted).sum()
}

fn until(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < LONG, "not within {LONG:?}: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// How much of what the rate allows was used from one time to another, not counting the times for which a process was held up.
fn used(told: &[Told], from_us: u64, to_us: u64) -> f64 {
    let window = from_us..to_us;
    let all = told.iter().flat_map(|told| &told.admissions);
    let count = all.filter(|admission| window.contains(&admission.there_us)).count();
    let held_up = told.iter().flat_map(|told| &told.held_up).filter(|(at_us, _)| window.contains(at_us));
    let held_up: Duration = held_up.map(|(_, time)| *time).sum();
    let seconds = (to_us - from_us) as f64 / 1e6 - held_up.as_secs_f64();
    let share = count as f64 / (RATE as f64 * seconds.max(0.0));
    println!("used {share:.4} of what came, {count} permits; held up for {held_up:?}");
    share
}

#[test]
fn eight_processes_use_the_quota_and_no_more_whatever_dies() {
    let Some(mut server) = RedisServer::start() else { return };
    let (began, began_us) = (Instant::now(), now_us());
    let mut workers: Vec<_> = (0..8).map(|_| Worker::start(&server.address())).collect();
    until("all processes are admitted", || workers.iter().all(|worker| worker.admitted() > 0));
    // The burst is used up.
    sleep(Duration::from_millis(1000));
    let calls_before = scripts_run(&server);
    let peace_us = now_us();
    sleep(Duration::from_secs(5));
    let killed_us = now_us();
    let calls = scripts_run(&server) - calls_before;
    assert!(calls > 0);

    for worker in &mut workers[6..] {
        worker.kill();
    }
    // What they had leased is lost. What they would have used, the others use.
    sleep(Duration::from_millis(500));
    let six_us = now_us();
    sleep(Duration::from_millis(1500));

    let stopped_us = now_us();
    server.signal("STOP");
    sleep(Duration::from_secs(2));
    server.signal("CONT");
    let count = admitted(&workers);
    until("permits come after the stop", || admitted(&workers) > count + RATE as usize / 2);

    let restarted_us = now_us();
    server.kill();
    sleep(Duration::from_millis(200));
    server.restart();
    let count = admitted(&workers);
    until("permits come after the restart", || admitted(&workers) > count + RATE as usize / 2);
    sleep(Duration::from_millis(500));
    let ended_us = now_us();

    let told: Vec<Told> = workers.into_iter().map(Worker::end).collect();
    let elapsed = began.elapsed();
    let wall = Duration::from_micros(now_us() - began_us);
    let all: Vec<_> = told.iter().flat_map(|told| told.admissions.iter().copied()).collect();

    // A restart without data admits once more what the server has at once.
    let most = (BURST + AT_ONCE) as f64 + RATE as f64 * elapsed.as_secs_f64();
    assert!(all.len() as f64 <= most, "{} of at most {most}", all.len());
    assert!(told.iter().all(|told| told.unleased == 0));
    // Only by a clock that did not step, and of members that could give up their leases in time.
    let is_steady = wall.abs_diff(elapsed) < Duration::from_millis(5);
    let longest = told.iter().flat_map(|told| &told.held_up).map(|(_, time)| *time).max().unwrap_or_default();
    if is_steady && longest < Duration::from_millis(50) {
        windows::check(&all, RATE, BURST, &[Lost { at_us: restarted_us, permits: AT_ONCE }]);
    } else {
        println!("no window is judged: a process was held up for {longest:?}, or the clock has stepped");
    }

    let share = used(&told, peace_us, killed_us);
    assert!(share >= 0.995, "eight processes used {share}");
    let per_permit = calls as f64 / (5 * RATE) as f64;
    println!("{per_permit:.4} calls to the server for each permit");
    assert!(per_permit <= 0.01, "{per_permit} calls to the server for each permit");
    let share = used(&told, six_us, stopped_us);
    assert!(share >= 0.98, "six processes used {share}");
    // Each of the eight has got about the same.
    let each: Vec<_> = told.iter().map(|told| count_in(told, peace_us, killed_us)).collect();
    println!("each of eight: {each:?}; {} ms after the restart", (ended_us - restarted_us) / 1000);
    let least = *each.iter().min().unwrap() as f64;
    assert!(least >= 0.25 * RATE as f64 * 5.0 / 8.0 || longest > Duration::from_millis(100), "{each:?}");
}

fn count_in(told: &Told, from_us: u64, to_us: u64) -> usize {
    let window = from_us..to_us;
    told.admissions.iter().filter(|admission| window.contains(&admission.there_us)).count()
}

/// How many scripts the server has run.
fn scripts_run(server: &RedisServer) -> u64 {
    let text = server.command("INFO commandstats");
    let calls = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(":calls=")?.split(',').next()?.parse::<u64>().ok()
    };
    calls("cmdstat_evalsha").unwrap_or(0)
}
