//! Histories as they come: several threads that make calls at once.

use std::{
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
    thread,
};

use tidegate::{Clock, Denied, ManualClock};

use super::{
    checker::{Entry, History, Spec, is_linearizable},
    random::Random,
};

/// How often a clock was read.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// A clock that slows its readers, and the threads that set its alarm: other threads run between a reading and its use.
#[derive(Clone, Debug)]
pub(crate) struct Slow(pub(crate) ManualClock);

impl Slow {
    /// Lets others go first, now and then.
    fn dawdle() {
        // Relaxed: only to have some yield and some not.
        if Random(CALLS.fetch_add(1, Ordering::Relaxed)).below(3) == 0 {
            thread::yield_now();
        }
    }
}

impl Clock for Slow {
    fn now(&self) -> u64 {
        let now = self.0.now();
        Self::dawdle();
        now
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        Self::dawdle();
        self.0.wake_at(deadline, waker)
    }
}

/// In how long a refused call is told to come again, in nanoseconds; `None` if never.
pub(crate) fn wait_ns(denied: &Denied) -> Option<u64> {
    let told = || denied.retry_after().expect("not yet").as_nanos() as u64;
    (!denied.is_never()).then(told)
}

/// Looks at a future that there is, which is gone once it is ready; `None` if it is not.
pub(crate) fn poll<F: Future + ?Sized>(future: &mut Option<Pin<Box<F>>>) -> Option<F::Output> {
    let made = future.as_mut().expect("it was made");
    match made.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => None,
        Poll::Ready(outcome) => {
            *future = None;
            Some(outcome)
        }
    }
}

/// Numbers that say what came before what.
#[derive(Debug, Default)]
pub(crate) struct Tickets(AtomicU64);

impl Tickets {
    fn draw(&self) -> u64 {
        // SeqCst: all that came before an earlier ticket happens before the draw of a later ticket.
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes a call.
    pub(crate) fn note<C, A>(&self, call: C, make: impl FnOnce() -> A) -> Entry<C, A> {
        let from = self.draw();
        let answer = make();
        Entry { call, answer, from, to: self.draw() }
    }
}

/// A thread that makes calls.
pub(crate) trait Actor: Send {
    type Spec: Spec<Call: Send, Answer: Send>;

    /// Makes its next calls, until it has no more.
    fn act(&mut self, tickets: &Tickets) -> Option<EntryOf<Self::Spec>>;
}

/// A call by that specification.
pub(crate) type EntryOf<S> = Entry<<S as Spec>::Call, <S as Spec>::Answer>;

/// A history of the calls of these actors.
pub(crate) type Of<A> = History<<<A as Actor>::Spec as Spec>::Call, <<A as Actor>::Spec as Spec>::Answer>;

/// Has them all make their calls at once, each on a thread of its own.
pub(crate) fn record<A: Actor>(tickets: &Tickets, actors: &mut [A]) -> Of<A> {
    let (ready, count) = (AtomicUsize::new(0), actors.len());
    let run = |actor: &mut A| {
        // SeqCst: so that they start as one.
        ready.fetch_add(1, Ordering::SeqCst);
        while ready.load(Ordering::SeqCst) < count {
            thread::yield_now();
        }
        std::iter::from_fn(|| actor.act(tickets)).collect()
    };
    let run = &run;
    thread::scope(|scope| {
        let running: Vec<_> = actors.iter_mut().map(|actor| scope.spawn(move || run(actor))).collect();
        running.into_iter().map(|thread| thread.join().expect("it panicked")).collect()
    })
}

/// Whether a call of one thread was made while one of another was.
fn overlaps<C, A>(history: &History<C, A>) -> bool {
    let meet = |a: &Entry<C, A>, b: &Entry<C, A>| a.from < b.to && b.from < a.to;
    history.iter().enumerate().any(|(i, thread)| {
        let others = || history[..i].iter().flatten();
        thread.iter().any(|entry| others().any(|other| meet(entry, other)))
    })
}

/// How many histories there are to be, of which so many are usual; the environment may ask for another number. Few
/// where all is slow.
fn histories(usual: u64) -> u64 {
    let usual = if cfg!(miri) { (usual / 500).max(1) } else { usual };
    std::env::var("TIDEGATE_HISTORIES").map_or(usual, |n| n.parse().expect("a number"))
}

/// How many calls a thread makes: from `least` to below `least + more`. Where all is slow, two.
pub(crate) fn length(random: &mut Random, least: u64, more: u64) -> u64 {
    if cfg!(miri) { 2 } else { least + random.below(more) }
}

/// Records histories, each from a seed, and looks for an order of each.
pub(crate) fn check<S: Spec + Debug>(usual: u64, record: impl Fn(u64) -> (S, History<S::Call, S::Answer>)) {
    let histories = histories(usual);
    let (mut calls, mut overlapping) = (0, 0);
    for seed in 0..histories {
        let (spec, history) = record(seed);
        assert!(is_linearizable(&spec, &history), "seed {seed}, {spec:?}: {history:#?}");
        calls += history.iter().map(Vec::len).sum::<usize>();
        overlapping += usize::from(overlaps(&history));
    }
    println!("{histories} histories, {calls} calls, {overlapping} histories with calls at the same time");
    assert!(overlapping > 0, "the calls of no two threads have met");
}
