//! One quota for many processes: tidegate's `Fleet`, scripts that every call runs, and a part of the quota for each process.

mod bound;
mod measure;
mod tables;

use std::time::Duration;

use self::measure::{IDLE, Outcome, Result, Scene, Speed, TASKS};
use super::waiting::in_turn;
use crate::{
    Effort, Report,
    rivals::{GcraScript, GovernorSplit, Member, RedisCell, TidegateFleet},
    server::{Server, program},
};

const TITLE: &str = "One quota for many processes";

/// A rival.
#[derive(Clone, Copy)]
struct Party {
    name: &'static str,
    note: &'static str,
    speed: fn(&mut Server, usize, Duration) -> Result<Speed>,
    scene: fn(&mut Server, Scene, Duration) -> Result<Outcome>,
}

const fn party<M: Member>() -> Party {
    Party { name: M::NAME, note: M::NOTE, speed: measure::speed::<M>, scene: measure::scene::<M> }
}

/// All rivals, tidegate first.
const PARTIES: [Party; 4] =
    [party::<TidegateFleet>(), party::<GcraScript>(), party::<RedisCell>(), party::<GovernorSplit>()];

/// The tasks of the process whose speed is measured.
const CALLERS: [usize; 2] = [1, 64];

const FAST: Scene = Scene { name: "Eight hungry processes, 10,000/s", rate: 10_000, processes: 8, hungry: 8 };
const EVEN: Scene =
    Scene { name: "Sixteen hungry processes, 1,000/s", rate: 1_000, processes: 16, hungry: 16 };
const SKEW: Scene =
    Scene { name: "One hungry process of sixteen, 1,000/s", rate: 1_000, processes: 16, hungry: 1 };

/// The speeds of each rival, round by round, for each number of tasks.
type Speeds = Vec<Vec<Vec<Speed>>>;

fn speeds(server: &mut Server, effort: Effort) -> Result<Speeds> {
    let mut all: Speeds = CALLERS.map(|_| Vec::new()).into();
    for round in 0..rounds_of_speed(effort) {
        for (&tasks, rounds) in CALLERS.iter().zip(&mut all) {
            let speeds = in_turn(&PARTIES, round, |party| (party.speed)(server, tasks, slice(effort)));
            rounds.push(speeds.into_iter().collect::<Result<_>>()?);
        }
    }
    Ok(all)
}

const fn rounds_of_speed(effort: Effort) -> usize {
    effort.rounds / 8 + 1
}

fn slice(effort: Effort) -> Duration {
    effort.long / 16
}

/// How long a scene is measured, and how often.
fn scenes(effort: Effort) -> ([(Scene, Duration); 3], usize) {
    let shares = effort.long * 5 / 2;
    let rounds = if effort.full { effort.long_rounds } else { 1 };
    ([(FAST, effort.long), (EVEN, shares), (SKEW, shares)], rounds)
}

/// Measures everything, if there is a server.
pub fn run(effort: Effort) -> Report {
    run_on(&program(), effort)
}

fn run_on(program: &str, effort: Effort) -> Report {
    match Server::start(program) {
        Ok(mut server) => measured(&mut server, effort).unwrap_or_else(|error| panic!("the server: {error}")),
        Err(error) => {
            let mut report = Report::new(TITLE, "Processes share a quota over a Redis server.");
            report.say(&format!("Not measured: {program} could not be started ({error})."));
            report
        }
    }
}

fn measured(server: &mut Server, effort: Effort) -> Result<Report> {
    let (scenes, rounds) = scenes(effort);
    let explanation = format!(
        "Ways to share one quota over a Redis server (version {}), which runs on this machine, too. The processes are \
         simulated in one: each has a connection and a limiter of its own, on one tokio runtime with two workers. So the time of \
         a call to the server is that of loopback; over a network it is longer, for all callers.",
        server.version()
    );
    let mut report = Report::new(TITLE, &explanation);
    let notes = PARTIES.map(|party| format!("- {}: {}", party.name, party.note));
    report.say(&notes.join("\n"));

    report.say(&format!(
        "### One process, and a quota that never refuses\n\nThe tasks of one process call at once. Medians with quartiles of {} \
         rounds of {:?}; the ratios are taken round by round. Then processor time a call, of the process and of the server.",
        rounds_of_speed(effort),
        slice(effort)
    ));
    tables::speeds(&mut report, &speeds(server, effort)?);

    report.say(&format!(
        "### What processes get\n\nThe burst is half a second's permits, and the bucket is full at first. A hungry process has \
         {TASKS} tasks, each of which calls again as soon as it is served; any other process calls once in {IDLE:?}. \
         \"Delivered\" is what was admitted, as a part of the burst and of what the rate brings; \"later\" is the same of the rate \
         alone, in the last four fifths of the time; \"least\" is what the hungry process gets in that time that gets least, as a part of an \
         equal share. \"Above the rate\" is by how much any window has more than the rate brings in it, as a part of the burst: \
         the bound is 100 %, and **bold** is what exceeds it by more than what comes in {:?}, as one caller may learn of its \
         permit later than another. \"Calls\" are the scripts that the server runs for a permit. Then processor time a permit, of \
         the processes and of the server, and the median and the longest wait of the processes that are not hungry. Medians; rounds: {rounds}.",
        measure::LEARNS
    ));
    let mut failed = 0;
    for (scene, time) in scenes {
        let mut all: Vec<Vec<Outcome>> = Vec::new();
        for round in 0..rounds {
            let outcomes = in_turn(&PARTIES, round, |party| (party.scene)(server, scene, time));
            all.push(outcomes.into_iter().collect::<Result<_>>()?);
        }
        report.say(&format!("#### {}, {time:?}", scene.name));
        tables::scene(&mut report, scene, &all);
        failed += all.iter().flatten().map(|outcome| outcome.failed).sum::<u64>();
    }
    if failed > 0 {
        report.say(&format!(
            "{failed} calls of tidegate to the server took more than 50 ms or failed. After one, a process admits its part of \
             the quota by itself."
        ));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::for_test;

    #[test]
    fn processes_together_get_no_more_than_the_burst_and_what_the_rate_brings() {
        let Some(mut server) = for_test() else { return };
        let scene = Scene { name: "", rate: 1000, processes: 4, hungry: 2 };
        let time = Duration::from_millis(500);
        for party in PARTIES {
            let Outcome { shares, trips, failed, .. } =
                (party.scene)(&mut server, scene, time).expect("a server");
            let admitted = shares.delivered * 1000.0;
            // One that has lost its server goes on with a share of its own. And redis-cell's keys may expire up to a
            // millisecond early.
            assert!(admitted < 1010.0 || failed > 0, "{}: {admitted} of 1000", party.name);
            let calls = trips * admitted;
            assert_eq!(calls == 0.0, party.name == PARTIES[3].name, "{}: {calls} calls", party.name);
        }
    }

    #[test]
    fn without_a_server_the_section_says_so_in_a_line() {
        let report = run_on("no-such-redis-server", Effort::TRY);
        assert!(
            report.text.contains("Not measured: no-such-redis-server could not be started"),
            "{}",
            report.text
        );
        assert!(report.raw.is_empty() && report.losses.is_empty());
    }
}
