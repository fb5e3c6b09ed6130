//! Shares, by core and by hand, one permit at a time, while the clock stands still.
//!
//! What a bucket promises as a whole it cannot keep in parts: a call may be refused although there are permits, if
//! they are on their way to a slot, or if they are parked in a slot behind its back. `src/shares.rs` promises what is
//! checked here: whoever is refused has seen the limiter to have none, and each slot, one after the other, to be
//! empty, while the limiter still had none. So the specification has the limiter's own permits, the slots, and what is
//! in hands, and two calls are more than one step:
//! - who draws a share for a slot takes it from the limiter in one step, and parks it in another;
//! - who is refused looks at each slot in a step of its own.
//!
//! All else is one step. A permit is in one place at any time, and there are no others: what nobody has taken is there
//! at the end, to the permit.

use tidegate::{Denied, Local, ManualClock, PerCore, Quota, RateLimiter};

use super::{
    checker::{self, Entry, History, Then, Turn},
    random::Random,
    record::{Actor, Slow, Tickets, length, record, wait_ns},
};

/// The most permits there are.
const MOST: u64 = 12;

/// In how long there is a permit where there is none, in nanoseconds.
const ONE_NS: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// From the limiter itself.
    Try,
    /// By `PerCore`.
    ByCore,
    /// By the thread's own `Local`.
    ByHand,
    /// What is in hand.
    GiveBack,
    /// What is left, of which nothing is in hand or on its way.
    Available,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// One was taken; so many are in hand.
    Held(u64),
    /// In nanoseconds; nothing is in hand.
    Wait(u64),
    Count(u64),
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// So many have been drawn for a slot.
    Drawn(u64),
    /// So many slots were empty.
    Empty(usize),
}

/// Where the permits are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    limiter: u64,
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
        Self { start: State { limiter, slots: vec![0; slots], hands: vec![0; hands] }, largest }
    }

    /// What share may be drawn along with a permit.
    fn shares(&self, state: &State) -> impl Iterator<Item = u64> + use<> {
        let most = state.limiter.checked_sub(1).map(|left| left.min(self.largest));
        most.into_iter().flat_map(|most| 0..=most)
    }
}

impl State {
    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut after = self.clone();
        change(&mut after);
        after
    }

    /// A permit is taken from a slot, whichever has one.
    fn stolen(&self) -> impl Iterator<Item = Self> {
        (0..self.slots.len()).filter(|&j| self.slots[j] > 0).map(|j| self.with(|after| after.slots[j] -= 1))
    }

    /// A share is drawn along with a permit.
    fn drawn(&self, share: u64) -> Self {
        self.with(|after| after.limiter -= 1 + share)
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
        let empty = match turn.stage {
            Some(Stage::Drawn(share)) => {
                let parked = |j: usize| (state.with(|after| after.slots[j] += share), None);
                return (0..state.slots.len()).map(parked).collect();
            }
            Some(Stage::Empty(empty)) => empty,
            None => 0,
        };
        match (turn.call, turn.answer) {
            (Call::ByHand, Answer::Held(held)) if state.hands[i] > 0 => {
                let then = state.with(|after| after.hands[i] -= 1);
                (then.hands[i] == held).then_some((then, None)).into_iter().collect()
            }
            (Call::ByHand, Answer::Held(held)) => {
                let drawn = self.shares(state).find(|&share| share == held).map(|share| state.drawn(share));
                let drawn = drawn.map(|drawn| drawn.with(|after| after.hands[i] = held));
                let stolen = state.stolen().filter(|_| held == 0);
                drawn.into_iter().chain(stolen).map(|then| (then, None)).collect()
            }
            (Call::ByCore, Answer::Done) => {
                let on_its_way = |share| (share > 0).then_some(Stage::Drawn(share));
                let drawn = self.shares(state).map(|share| (state.drawn(share), on_its_way(share)));
                state.stolen().map(|then| (then, None)).chain(drawn).collect()
            }
            (Call::Try, Answer::Done) => {
                let there = (state.limiter > 0).then(|| state.drawn(0));
                state.stolen().chain(there).map(|then| (then, None)).collect()
            }
            (Call::ByHand, Answer::Wait(ONE_NS)) if state.hands[i] > 0 => Vec::new(),
            (Call::Try | Call::ByCore | Call::ByHand, Answer::Wait(ONE_NS)) => {
                if state.limiter > 0 || state.slots[empty] > 0 {
                    return Vec::new();
                }
                let more = empty + 1 < state.slots.len();
                vec![(state.clone(), more.then_some(Stage::Empty(empty + 1)))]
            }
            (Call::GiveBack, Answer::Held(0)) => {
                let held = state.hands[i];
                vec![(
                    state.with(|after| {
                        after.hands[i] = 0;
                        after.limiter += held;
                    }),
                    None,
                )]
            }
            (Call::Available, Answer::Count(count)) => {
                let there = state.limiter + state.slots.iter().sum::<u64>();
                (there == count).then(|| (state.clone(), None)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A thread with its plan, and its hand.
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
        }))
    }
}

/// The permits in hand.
fn whole(hand: &Local<Slow>) -> u64 {
    let held = (0..=MOST).find(|&n| hand.held() == n.into());
    held.expect("whole permits")
}

/// The calls of one thread.
fn plan(random: &mut Random) -> Vec<Call> {
    let call = |random: &mut Random| match random.below(8) {
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
    // Of which not all may be parked, so that hands and slots are in each other's way.
    let initial = 1 + random.below(MOST);
    let quota = Quota::new(1_000_000, std::time::Duration::from_secs(1));
    let quota = quota.burst(8 * largest * slots as u64).initial(initial);
    let limiter = RateLimiter::with_clock(quota, Slow(ManualClock::new()));
    let builder = PerCore::builder(&limiter).slots(slots);
    let builder = if random.below(2) == 0 { builder } else { builder.share(1 + random.below(largest)) };
    let per_core = builder.build().expect("a small share");
    let threads = 3 + random.below(2) as usize;
    let mut caller = |_| {
        let (per_core, plan) = (per_core.clone(), plan(random).into_iter());
        Caller { hand: per_core.local(), per_core, plan }
    };
    let mut callers: Vec<_> = (0..threads).map(&mut caller).collect();
    let tickets = Tickets::default();
    let mut history = record(&tickets, &mut callers);
    callers[0].plan = vec![Call::Available].into_iter();
    history.push(callers[0].act(&tickets).into_iter().collect());
    (Spec::new(initial, slots, threads, largest), history)
}
