//! Shares, by core and by `Local`, one permit at a time, while permits come.
//!
//! A call may be refused although there are permits: permits may be on their way to a slot, or another thread may park
//! permits in a slot that the call has already seen. `src/shares.rs` promises what is checked here: a refused call has
//! seen the limiter without permits, and then each slot, one after the other, empty, while the limiter still had none.
//! So the specification has the permits of the limiter, of the slots, and of the `Local`s, and two calls are more than
//! one step:
//! - a draw for a slot takes the share from the limiter in one step, and parks it in another;
//! - a refused call looks at each slot in a step of its own.
//!
//! All else is one step. A call that needs the limiter has read the clock before, and uses only this reading. Taking
//! parked permits needs no reading. Moving the clock is one step.
//!
//! What comes with time comes to the limiter. It counts together with what is parked up to a burst; there is never as
//! much as that here, not in the limiter alone either, so that none of it is lost. So a permit is in one place at any
//! time, and there are no others: permits that no call took are available at the end, to the permit.

use tidegate::{Denied, Local, ManualClock, PerCore, Quota, RateLimiter};

use super::{
    checker::{self, Entry, History, Then, Turn},
    random::Random,
    record::{Actor, Slow, Tickets, length, record, wait_ns},
};

/// The most permits there are.
const MOST: u64 = 12;

/// How long a permit takes to come, in nanoseconds.
const ONE_NS: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// From the limiter itself.
    Try,
    /// By `PerCore`.
    ByCore,
    /// By the thread's own `Local`.
    ByHand,
    /// The permits that a `Local` holds.
    GiveBack,
    /// The permits left. None is in a `Local` or on its way.
    Available,
    /// Moves the clock, in nanoseconds.
    Advance(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// The `Local` holds so many, after it took one or gave all back.
    Held(u64),
    /// In nanoseconds; the `Local` holds nothing.
    Wait(u64),
    Count(u64),
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// So many have been drawn for a slot.
    Drawn(u64),
    /// It has read the clock; so many slots were empty.
    Read(u64, usize),
}

/// Where the permits are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    now_ns: u64,
    /// What there was in the limiter at first, less what has been taken out of it, in the time that this takes to come.
    limiter_ns: i64,
    slots: Vec<u64>,
    hands: Vec<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) start: State,
    /// The largest share.
    pub(crate) largest: u64,
}

impl Spec {
    pub(crate) fn new(limiter: u64, slots: usize, hands: usize, largest: u64) -> Self {
        let start = State {
            now_ns: 0,
            limiter_ns: (limiter * ONE_NS) as i64,
            slots: vec![0; slots],
            hands: vec![0; hands],
        };
        Self { start, largest }
    }

    /// What share may be drawn along with a permit by that reading.
    fn shares(&self, state: &State, read_ns: u64) -> impl Iterator<Item = u64> + use<> {
        let most = state.permits(read_ns).checked_sub(1).map(|left| left.min(self.largest));
        most.into_iter().flat_map(|most| 0..=most)
    }
}

impl Spec {
    /// What a call may do first: read the clock, or all that takes no clock.
    fn begin(state: &State, turn: &Turn<Call, Answer, Stage>) -> Vec<Then<State, Stage>> {
        let i = turn.thread;
        let held = state.hands[i];
        match (turn.call, turn.answer) {
            (Call::Advance(ns), _) => vec![(state.with(|after| after.now_ns += ns), None)],
            (Call::ByHand, answer) if held > 0 => {
                let then = state.with(|after| after.hands[i] -= 1);
                (answer == Answer::Held(held - 1)).then_some((then, None)).into_iter().collect()
            }
            (Call::GiveBack, Answer::Held(0)) => {
                let then = state.with(|after| {
                    after.hands[i] = 0;
                    after.limiter_ns += (held * ONE_NS) as i64;
                });
                vec![(then, None)]
            }
            (call, answer) => {
                let read = (state.clone(), Some(Stage::Read(state.now_ns, 0)));
                let stolen = state.stolen().map(|then| (then, None));
                let steals = match call {
                    Call::Try | Call::ByCore => answer == Answer::Done,
                    _ => call == Call::ByHand && answer == Answer::Held(0),
                };
                stolen.filter(|_| steals).chain([read]).collect()
            }
        }
    }
}

impl State {
    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut after = self.clone();
        change(&mut after);
        after
    }

    /// What the limiter has by that reading, in the time that it takes to come.
    fn level_ns(&self, read_ns: u64) -> u64 {
        (self.limiter_ns + read_ns as i64).max(0) as u64
    }

    /// The whole permits that the limiter has by that reading.
    fn permits(&self, read_ns: u64) -> u64 {
        self.level_ns(read_ns) / ONE_NS
    }

    /// A permit is taken from a slot, whichever has one.
    fn stolen(&self) -> impl Iterator<Item = Self> {
        (0..self.slots.len()).filter(|&j| self.slots[j] > 0).map(|j| self.with(|after| after.slots[j] -= 1))
    }

    /// A share is drawn along with a permit.
    fn drawn(&self, share: u64) -> Self {
        self.with(|after| after.limiter_ns -= ((1 + share) * ONE_NS) as i64)
    }
}

impl checker::Spec for Spec {
    type Call = Call;
    type Answer = Answer;
    type State = State;
    type Stage = Stage;

    fn start(&self) -> State {
        self.start.clone()
    }

    fn points(&self, state: &State, turn: &Turn<Call, Answer, Stage>) -> Vec<Then<State, Stage>> {
        let i = turn.thread;
        let (read_ns, empty) = match turn.stage {
            Some(Stage::Drawn(share)) => {
                let parked = |j: usize| (state.with(|after| after.slots[j] += share), None);
                return (0..state.slots.len()).map(parked).collect();
            }
            Some(Stage::Read(read_ns, empty)) => (read_ns, empty),
            None => return Self::begin(state, turn),
        };
        match (turn.call, turn.answer) {
            (Call::ByHand, Answer::Held(held)) => {
                let drawn = self.shares(state, read_ns).find(|&share| share == held);
                let drawn = drawn.map(|share| state.drawn(share).with(|after| after.hands[i] = held));
                drawn.map(|then| (then, None)).into_iter().collect()
            }
            (Call::ByCore, Answer::Done) => {
                let on_its_way = |share| (share > 0).then_some(Stage::Drawn(share));
                self.shares(state, read_ns).map(|share| (state.drawn(share), on_its_way(share))).collect()
            }
            (Call::Try, Answer::Done) if state.permits(read_ns) > 0 => vec![(state.drawn(0), None)],
            (Call::Try | Call::ByCore | Call::ByHand, Answer::Wait(ns)) => {
                if state.slots[empty] > 0 || ns as i64 != ONE_NS as i64 - state.limiter_ns - read_ns as i64 {
                    return Vec::new();
                }
                let more = empty + 1 < state.slots.len();
                vec![(state.clone(), more.then_some(Stage::Read(read_ns, empty + 1)))]
            }
            (Call::Available, Answer::Count(count)) => {
                let there = state.permits(read_ns) + state.slots.iter().sum::<u64>();
                (there == count).then(|| (state.clone(), None)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A thread with its plan, and its `Local`.
struct Caller {
    per_core: PerCore<Slow>,
    hand: Local<Slow>,
    plan: std::vec::IntoIter<Call>,
}

impl Actor for Caller {
    type Spec = Spec;

    fn act(&mut self, tickets: &Tickets) -> Option<Entry<Call, Answer>> {
        let call = self.plan.next()?;
        let refused =
            |denied: &Denied| Answer::Wait(wait_ns(denied).expect("one permit is no more than a burst"));
        let done =
            |taken: Result<(), Denied>| taken.map_or_else(|denied| refused(&denied), |()| Answer::Done);
        let held = |hand: &Local<Slow>| Answer::Held(whole(hand));
        Some(tickets.note(call, || match call {
            Call::Try => done(self.per_core.limiter().try_acquire()),
            Call::ByCore => done(self.per_core.try_acquire()),
            Call::ByHand => match self.hand.try_acquire() {
                Ok(()) => held(&self.hand),
                Err(denied) => refused(&denied),
            },
            Call::GiveBack => {
                self.hand.give_back();
                held(&self.hand)
            }
            Call::Available => Answer::Count(self.per_core.limiter().available() as u64),
            Call::Advance(ns) => {
                self.per_core.limiter().clock().0.advance(std::time::Duration::from_nanos(ns));
                Answer::Done
            }
        }))
    }
}

/// The permits that the `Local` holds.
fn whole(hand: &Local<Slow>) -> u64 {
    let held = (0..=MOST).find(|&n| hand.held() == n.into());
    held.expect("whole permits")
}

/// The calls of one thread. The first thread moves the clock, if it moves, and does nothing else.
fn plan(random: &mut Random, moves: bool) -> Vec<Call> {
    let call = |random: &mut Random| match random.below(8) {
        _ if moves => Call::Advance(random.below(5) * ONE_NS / 4),
        0 => Call::Try,
        1..=3 => Call::ByCore,
        4..=6 => Call::ByHand,
        _ => Call::GiveBack,
    };
    let count = length(random, 2, 4);
    (0..count).map(|_| call(random)).collect()
}

/// Has several threads make random calls at once, and then looks at what is left.
pub(crate) fn run(random: &mut Random) -> (Spec, History<Call, Answer>) {
    let slots = 1 + random.below(2) as usize;
    let largest = 2 + random.below(3);
    // Not all of them may be parked, so that `Local`s and slots compete for capacity.
    let moves = random.below(2) == 0;
    let initial = if moves { random.below(5) } else { 1 + random.below(MOST) };
    let quota = Quota::new(1_000_000, std::time::Duration::from_secs(1));
    let quota = quota.with_burst(8 * largest * slots as u64).with_initial(initial);
    let limiter = RateLimiter::with_clock(quota, Slow(ManualClock::new()));
    let builder = PerCore::builder(&limiter).slots(slots);
    let builder = if random.below(2) == 0 { builder } else { builder.share(1 + random.below(largest)) };
    let per_core = builder.build().expect("a small share");
    let threads = 3 + random.below(2) as usize;
    let mut caller = |i| {
        let (per_core, plan) = (per_core.clone(), plan(random, moves && i == 0).into_iter());
        Caller { hand: per_core.local(), per_core, plan }
    };
    let mut callers: Vec<_> = (0..threads).map(&mut caller).collect();
    let tickets = Tickets::default();
    let mut history = record(&tickets, &mut callers);
    callers[0].plan = vec![Call::Available].into_iter();
    history.push(callers[0].act(&tickets).into_iter().collect());
    (Spec::new(initial, slots, history.len(), largest), history)
}
