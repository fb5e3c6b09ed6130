//! Several limits at once, all or nothing, beside calls of each alone, while the clock moves.
//!
//! Of calls of one limiter, each is what it is in `spec.rs`. `AllOf::try_acquire` is
//! 1. a look at each limit without a lock, in the order in which the limiters were made: it reads the clock, and then
//!    looks whether that limit refuses. Only a limit that is locked just then is not looked at. If any limit refuses,
//!    that is the answer, with the longest of the waits, each of them counted from its own reading;
//! 2. else another reading of the clock for each of them, in the same order (that in which they are locked). The clock
//!    may move in between, so that each limit is decided by a reading of its own;
//! 3. then all the rest in one step, in which all are locked and nothing changes: it takes from all; or, if any of them
//!    does not admit it, nothing from any. Such a refusal is one step, too, and tells the longest of the waits.
//!
//! `AllOf::try_reserve` is the same call. `AllOf::charge` does not look: it has the last two points, and tells how long it is
//! until the last debt is paid.
//!
//! No caller waits here, and no clock steps back. Calls that wait for all limits are in `groups.rs`.

use std::time::Duration;

use tidegate::{AllOf, ManualClock, Quota, RateLimiter, ReservationAll};

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
    /// So many permits of each limit, and none of the limits that are not named.
    All([u64; MOST]),
    /// A charge of the same.
    ChargeAll([u64; MOST]),
    /// A call of that limiter; to move the clock is one of the first.
    Of(usize, spec::Call),
}

/// A wait that is longer than any.
const NEVER: u64 = u64::MAX;

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// It has read the clock of one limiter.
    Read(u64),
    /// It has looked at so many of the limiters, of which some have refused it for so long at most.
    Looked(usize, Option<u64>),
    /// The same, and it has read the clock for the next.
    Looking(usize, Option<u64>, u64),
    /// It has read the clock for so many of the limiters, which are locked.
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
            let (answer, tat) = scale.step(tats[i], read_ns[i], spec::Call::Try(amounts[i]));
            match answer {
                Answer::Wait(ns) => longest = longest.max(Some(ns)),
                Answer::Never => return (Answer::Never, tats.to_vec()),
                _ => then[i] = tat,
            }
        }
        longest.map_or((Answer::Done, then), |ns| (Answer::Wait(ns), tats.to_vec()))
    }

    /// The answer to a charge of several, by a reading for each, and the arrival times after it.
    fn charged(&self, tats: &[i64], read_ns: [u64; MOST], amounts: [u64; MOST]) -> (Answer, Vec<i64>) {
        let mut then = tats.to_vec();
        let mut longest = 0;
        for (i, scale) in self.scales.iter().enumerate().filter(|&(i, _)| amounts[i] > 0) {
            let (answer, tat) = scale.step(tats[i], read_ns[i], spec::Call::Charge(amounts[i]));
            let Answer::Wait(ns) = answer else { unreachable!("the time until it is paid") };
            longest = longest.max(ns);
            then[i] = tat;
        }
        (Answer::Wait(longest), then)
    }

    /// What may come of a look at one limit after others have refused for so long, by that reading.
    fn look(&self, state: &State, i: usize, n: u64, read_ns: u64, refused: Option<u64>) -> Option<u64> {
        match self.scales[i].step(state.tats[i], read_ns, spec::Call::Try(n)).0 {
            Answer::Wait(ns) => refused.max(Some(ns)),
            Answer::Never => Some(NEVER),
            _ => refused,
        }
    }

    /// The next point of a call for several.
    fn all_points(
        &self,
        state: &State,
        turn: &Turn<Call, Answer, Stage>,
        amounts: [u64; MOST],
    ) -> Vec<Then<State, Stage>> {
        let now_ns = state.now_ns;
        let to = |stage| (state.clone(), Some(stage));
        let next = |done: usize| (done..MOST).find(|&i| amounts[i] > 0);
        let charges = matches!(turn.call, Call::ChargeAll(_));
        let (done, refused) = match turn.stage {
            None if charges => return vec![to(Stage::ReadFor(0, [0; MOST]))],
            Some(Stage::Looking(i, refused, read_ns)) => {
                let looked = self.look(state, i, amounts[i], read_ns, refused);
                let locked = (!turn.alone).then_some(refused);
                return [looked]
                    .into_iter()
                    .chain(locked)
                    .map(|refused| to(Stage::Looked(i + 1, refused)))
                    .collect();
            }
            Some(Stage::ReadFor(done, mut read_ns)) => {
                if let Some(i) = next(done) {
                    read_ns[i] = now_ns;
                    return vec![to(Stage::ReadFor(i + 1, read_ns))];
                }
                let decide = if charges { Self::charged } else { Self::all };
                let (right, tats) = decide(self, &state.tats, read_ns, amounts);
                let over = (State { now_ns, tats }, None);
                return (right == turn.answer).then_some(over).into_iter().collect();
            }
            Some(Stage::Looked(done, refused)) => (done, refused),
            _ => (0, None),
        };
        match (next(done), refused) {
            (Some(i), _) => vec![to(Stage::Looking(i, refused, now_ns))],
            (None, None) => vec![to(Stage::ReadFor(0, [0; MOST]))],
            (None, Some(ns)) => {
                let right = if ns == NEVER { Answer::Never } else { Answer::Wait(ns) };
                (right == turn.answer).then(|| (state.clone(), None)).into_iter().collect()
            }
        }
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

    fn may_lock(call: &Call) -> bool {
        !matches!(call, Call::Of(_, spec::Call::Advance(_)))
    }

    fn points(&self, state: &State, turn: &Turn<Call, Answer, Stage>) -> Vec<Then<State, Stage>> {
        let now_ns = state.now_ns;
        let read = || (state.clone(), Some(Stage::Read(now_ns)));
        match (turn.call, turn.stage) {
            (Call::Of(_, spec::Call::Advance(ns)), _) => {
                vec![(State { now_ns: now_ns + ns, ..state.clone() }, None)]
            }
            (Call::Of(i, call), Some(Stage::Read(read_ns))) => {
                let (right, tat) = self.scales[i].step(state.tats[i], read_ns, call);
                let mut tats = state.tats.clone();
                tats[i] = tat;
                let over = (right == turn.answer).then_some((State { now_ns, tats }, None));
                (read_ns < now_ns).then(read).into_iter().chain(over).collect()
            }
            (Call::Of(..), _) => vec![read()],
            (Call::All(amounts) | Call::ChargeAll(amounts), _) => self.all_points(state, turn, amounts),
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
pub(crate) fn all_of(limiters: &[RateLimiter<Slow>], amounts: [u64; MOST], backwards: bool) -> AllOf {
    let count = limiters.len();
    let order = (0..count).map(|i| if backwards { count - 1 - i } else { i });
    order.fold(AllOf::new(), |all, i| all.and(&limiters[i], amounts[i]))
}

impl Actor for Caller<'_> {
    type Spec = Spec;

    fn act(&mut self, tickets: &Tickets) -> Option<Entry<Call, Answer>> {
        let call = self.plan.next()?;
        Some(tickets.note(call, || match call {
            Call::All(amounts) => {
                let all = all_of(self.limiters, amounts, self.backwards);
                let taken = if self.backwards {
                    all.try_reserve().map(ReservationAll::spend)
                } else {
                    all.try_acquire()
                };
                told(taken.map_err(|denied| denied.denied()))
            }
            Call::ChargeAll(amounts) => {
                let paid = all_of(self.limiters, amounts, self.backwards).charge();
                Answer::Wait(paid.expect("a small debt").as_nanos() as u64)
            }
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
            0..=4 => Call::All(amounts(random, count)),
            5 => Call::ChargeAll(amounts(random, count)),
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
        Quota::new(permits, Duration::from_nanos(period_ns)).with_burst(burst).with_initial(initial)
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
