//! Several limits at once, all or nothing, beside calls of each alone, while the clock moves.
//!
//! Of calls of one limiter, each is what it is in `spec.rs`. `AllOf::try_acquire` is as many points in time as there
//! are limits to it, and one more:
//! 1. it reads the clock for each of them, in the order in which the limiters were made (that in which they are
//!    locked). The clock may move in between, so that each limit is decided by a reading of its own;
//! 2. then it does all the rest in one step, in which all are locked and nothing changes: it takes from all; or, if
//!    any of them does not admit it, nothing from any. A refusal is one step, too, and tells the longest of the
//!    waits, each of them counted from its own reading.
//!
//! It looks after those who wait before that, and reads the clocks again if one of them seems to have stepped back.
//! Nobody waits here, and no clock steps back. Who does wait for all is in `groups.rs`.

use std::time::Duration;

use tidegate::{AllOf, ManualClock, Quota, RateLimiter};

use super::{
    checker::{self, Entry, History, Then, Turn},
    plain::{ask, told},
    random::Random,
    record::{Actor, Slow, Tickets, length, record},
    spec::{self, Answer, Scale},
};

/// The most limiters there are.
pub(crate) const MOST: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// So many permits of each, and none of those that are not named.
    All([u64; MOST]),
    /// A call of that limiter; to move the clock is one of the first.
    Of(usize, spec::Call),
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// It has read the clock of one limiter: first, and last.
    Read(u64, u64),
    /// It has read the clock for so many of the limiters.
    ReadFor(usize, [u64; MOST]),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    now_ns: u64,
    /// The theoretical arrival times.
    tats: Vec<i64>,
}

/// The scales of the limiters, and the buckets at first.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    scales: Vec<Scale>,
    tats: Vec<i64>,
}

impl Spec {
    pub(crate) fn new(quotas: &[Quota]) -> Self {
        let scales: Vec<_> = quotas.iter().map(Scale::new).collect();
        let tats = scales.iter().zip(quotas).map(|(scale, quota)| scale.first_tat(quota)).collect();
        Self { scales, tats }
    }

    /// The answer to a call for several, by a reading for each, and the arrival times after it.
    fn all(&self, tats: &[i64], read_ns: [u64; MOST], amounts: [u64; MOST]) -> (Answer, Vec<i64>) {
        let mut then = tats.to_vec();
        let mut longest = None;
        for (i, scale) in self.scales.iter().enumerate().filter(|&(i, _)| amounts[i] > 0) {
            let (answer, tat) = scale.step(tats[i], read_ns[i], read_ns[i], spec::Call::Try(amounts[i]));
            match answer {
                Answer::Wait(ns) => longest = longest.max(Some(ns)),
                Answer::Never => return (Answer::Never, tats.to_vec()),
                _ => then[i] = tat,
            }
        }
        longest.map_or((Answer::Done, then), |ns| (Answer::Wait(ns), tats.to_vec()))
    }
}

impl checker::Spec for Spec {
    type Call = Call;
    type Answer = Answer;
    type State = State;
    type Stage = Stage;

    fn start(&self) -> State {
        State { now_ns: 0, tats: self.tats.clone() }
    }

    fn points(&self, state: &State, turn: &Turn<Call, Answer, Stage>) -> Vec<Then<State, Stage>> {
        let now_ns = state.now_ns;
        let read = |stage| (state.clone(), Some(stage));
        let over = |tats| (State { now_ns, tats }, None);
        match (turn.call, turn.stage) {
            (Call::Of(_, spec::Call::Advance(ns)), _) => {
                vec![(State { now_ns: now_ns + ns, ..state.clone() }, None)]
            }
            (Call::Of(i, call), Some(Stage::Read(first_ns, latest_ns))) => {
                let again = matches!(call, spec::Call::Charge(_)) && latest_ns < now_ns;
                let (right, tat) = self.scales[i].step(state.tats[i], latest_ns, first_ns, call);
                let mut tats = state.tats.clone();
                tats[i] = tat;
                let over = (right == turn.answer).then(|| over(tats));
                again.then(|| read(Stage::Read(first_ns, now_ns))).into_iter().chain(over).collect()
            }
            (Call::Of(..), _) => vec![read(Stage::Read(now_ns, now_ns))],
            (Call::All(amounts), stage) => {
                let (done, mut read_ns) = match stage {
                    Some(Stage::ReadFor(done, read_ns)) => (done, read_ns),
                    _ => (0, [0; MOST]),
                };
                if let Some(next) = (done..MOST).find(|&i| amounts[i] > 0) {
                    read_ns[next] = now_ns;
                    return vec![read(Stage::ReadFor(next + 1, read_ns))];
                }
                let (right, tats) = self.all(&state.tats, read_ns, amounts);
                (right == turn.answer).then(|| over(tats)).into_iter().collect()
            }
        }
    }
}

/// A thread with its plan.
struct Caller<'a> {
    limiters: &'a [RateLimiter<Slow>],
    /// Whether it names the limits from the last to the first.
    backwards: bool,
    plan: std::vec::IntoIter<Call>,
}

/// So many permits of each of the limiters.
pub(crate) fn all_of(limiters: &[RateLimiter<Slow>], amounts: [u64; MOST], backwards: bool) -> AllOf<Slow> {
    let count = limiters.len();
    let order = (0..count).map(|i| if backwards { count - 1 - i } else { i });
    order.fold(AllOf::new(), |all, i| all.and(&limiters[i], amounts[i]))
}

impl Actor for Caller<'_> {
    type Spec = Spec;

    fn act(&mut self, tickets: &Tickets) -> Option<Entry<Call, Answer>> {
        let call = self.plan.next()?;
        Some(tickets.note(call, || match call {
            Call::All(amounts) => told(all_of(self.limiters, amounts, self.backwards).try_acquire()),
            Call::Of(i, call) => ask(&self.limiters[i], call),
        }))
    }
}

/// From one to three permits of each of so many limiters, and now and then of two only.
pub(crate) fn amounts(random: &mut Random, count: usize) -> [u64; MOST] {
    let unnamed = random.below(6) as usize;
    let mut amounts = [0; MOST];
    for (i, n) in amounts[..count].iter_mut().enumerate() {
        *n = if count > 2 && i == unnamed { 0 } else { 1 + random.below(3) };
    }
    amounts
}

/// The calls of one thread. The first thread moves the clock, and does nothing else.
fn plan(random: &mut Random, thread: usize, one_ns: u64, count: usize) -> Vec<Call> {
    let call = |random: &mut Random| {
        if thread == 0 {
            return Call::Of(0, spec::Call::Advance(random.below(12) * one_ns / 4 + random.below(2)));
        }
        let (i, n) = (random.below(count as u64) as usize, 1 + random.below(3));
        match random.below(12) {
            0..=5 => Call::All(amounts(random, count)),
            6 | 7 => Call::Of(i, spec::Call::Try(n)),
            8 => Call::Of(i, spec::Call::Charge(n)),
            9 | 10 => Call::Of(i, spec::Call::Refund(n)),
            _ => Call::Of(i, spec::Call::Available),
        }
    };
    let count = length(random, 2, 3);
    (0..count).map(|_| call(random)).collect()
}

/// Has several threads make random calls at once, and then looks at what is left of each.
pub(crate) fn run(random: &mut Random) -> (Spec, History<Call, Answer>) {
    let rates = [(1, 1_000), (3, 1_000), (1, 600), (7, 60_000)];
    let count = 2 + random.below(2) as usize;
    let mut quota = |_| {
        let (permits, period_ns) = rates[random.below(4) as usize];
        let burst = 2 + random.below(4);
        let initial = random.below(burst + 1);
        Quota::new(permits, Duration::from_nanos(period_ns)).burst(burst).initial(initial)
    };
    let quotas: Vec<_> = (0..count).map(&mut quota).collect();
    let clock = Slow(ManualClock::new());
    let limiters: Vec<_> =
        quotas.iter().map(|&quota| RateLimiter::with_clock(quota, clock.clone())).collect();
    let threads = 3 + random.below(2) as usize;
    let mut caller = |i| {
        let plan = plan(random, i, 1_000, count).into_iter();
        Caller { limiters: &limiters, backwards: i % 2 == 1, plan }
    };
    let mut callers: Vec<_> = (0..threads).map(&mut caller).collect();
    let tickets = Tickets::default();
    let mut history = record(&tickets, &mut callers);
    let left: Vec<_> = (0..count).map(|i| Call::Of(i, spec::Call::Available)).collect();
    callers[0].plan = left.into_iter();
    history.push(std::iter::from_fn(|| callers[0].act(&tickets)).collect());
    (Spec::new(&quotas), history)
}
