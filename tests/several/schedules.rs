//! Random schedules of calls for several limits and for one, that wait or do not, and of cancellations over three limits: the
//! bound holds, the books balance, and every waiter is served.

use std::task::{Context, Wake, Waker};

use proptest::prelude::*;

use super::{
    AllOf, Arc, AtomicU64, Clock, Denied, Future, Lane, Limiter, ManualClock, Ordering, Pin, Poll, limiter,
    ms,
};

type Boxed = Pin<Box<dyn Future<Output = Result<(), Denied>>>>;

/// A waiter: for what, and how often it was woken.
struct Waiting {
    amounts: [u64; 3],
    future: Boxed,
    may_be_late: bool,
    wakes: Arc<Wakes>,
    /// Up to the last poll.
    seen: u64,
}

#[derive(Default)]
struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Waiting {
    fn new(amounts: [u64; 3], future: Boxed, may_be_late: bool) -> Self {
        Self { amounts, future, may_be_late, wakes: Arc::default(), seen: 0 }
    }

    /// Polls it; `Some(false)` if it was too late. A waiter that is served by now has been woken.
    fn poll(&mut self, first: bool) -> Option<bool> {
        let wakes = self.wakes.0.load(Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.wakes));
        let Poll::Ready(outcome) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) else {
            self.seen = wakes;
            return None;
        };
        assert!(first || wakes > self.seen, "nobody has woken it");
        assert!(self.may_be_late || outcome.is_ok(), "{outcome:?}");
        Some(outcome.is_ok())
    }
}

/// By limit.
type Lanes = [Lane; 3];

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Try([u64; 3], Lanes),
    TryOne(usize, u64, Lane),
    /// With a longest wait, in milliseconds, or without.
    Join([u64; 3], Lanes, Option<u64>),
    JoinOne(usize, u64, Lane),
    Poll(usize),
    Drop(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let amounts = || prop::array::uniform3(prop_oneof![2 => Just(0u64), 3 => 1u64..4]);
    // Mostly the normal lane.
    let lane = || prop_oneof![1 => Just(Lane::Urgent), 4 => Just(Lane::Normal), 1 => Just(Lane::Background)];
    let lanes = || prop::array::uniform3(lane());
    let step = prop_oneof![
        3 => prop_oneof![0u64..400, 0u64..3_000].prop_map(Step::Advance),
        2 => (amounts(), lanes()).prop_map(|(amounts, lanes)| Step::Try(amounts, lanes)),
        2 => (0usize..3, 1u64..4, lane()).prop_map(|(i, n, lane)| Step::TryOne(i, n, lane)),
        5 => (amounts(), lanes(), prop::option::weighted(0.4, 0u64..4_000))
            .prop_map(|(amounts, lanes, most)| Step::Join(amounts, lanes, most)),
        3 => (0usize..3, 1u64..4, lane()).prop_map(|(i, n, lane)| Step::JoinOne(i, n, lane)),
        2 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::Drop),
    ];
    prop::collection::vec(step, 1..60)
}

fn all_of(limiters: &[Limiter; 3], amounts: [u64; 3], lanes: Lanes) -> AllOf {
    // In an order of its own.
    let from = amounts[0] as usize;
    let order = [0, 1, 2].map(|i| (i + from) % 3);
    order.into_iter().fold(AllOf::new(), |all, i| all.and(&limiters[i].lane(lanes[i]), amounts[i]))
}

/// What was used at once and when, in milliseconds; what waiters have kept; and how many waited to the end.
struct Run {
    at_once: Vec<(u64, [u64; 3])>,
    kept: [u64; 3],
    now_ms: u64,
    unserved: usize,
}

fn run(limiters: &[Limiter; 3], clock: &ManualClock, steps: &[Step]) -> Run {
    let mut waiters: Vec<Waiting> = Vec::new();
    let mut run = Run { at_once: Vec::new(), kept: [0; 3], now_ms: 0, unserved: 0 };
    let only = |i: usize, n: u64| std::array::from_fn(|j| if i == j { n } else { 0 });
    for step in steps {
        let now_ms = clock.now() / 1_000_000;
        let mut join = |amounts, future, may_be_late, waiters: &mut Vec<_>| {
            let mut waiting = Waiting::new(amounts, future, may_be_late);
            match waiting.poll(true) {
                Some(true) => run.at_once.push((now_ms, amounts)),
                Some(false) => {}
                None => waiters.push(waiting),
            }
        };
        match *step {
            Step::Advance(by) => clock.advance(ms(by)),
            Step::Try(amounts, lanes) => {
                let before = limiters.each_ref().map(Limiter::available);
                let waits = limiters.iter().any(|limiter| limiter.waiting() > 0);
                let took = all_of(limiters, amounts, lanes).try_acquire().is_ok();
                let after = limiters.each_ref().map(Limiter::available);
                for i in 0..3 {
                    let (taken, due) = (before[i] - after[i], if took { amounts[i] as i64 } else { 0 });
                    // A waiter of a lower lane that is too late now is refused, and those behind it may be granted.
                    assert!(taken == due || (took && waits && taken > due), "{taken}, not {due}");
                }
                if took {
                    run.at_once.push((now_ms, amounts));
                }
            }
            Step::TryOne(i, n, lane) if limiters[i].lane(lane).try_acquire_n(n).is_ok() => {
                run.at_once.push((now_ms, only(i, n)));
            }
            Step::Join(amounts, lanes, most) => {
                let all = all_of(limiters, amounts, lanes);
                let all = most.map_or_else(|| all.acquire(), |most| all.acquire_within(ms(most)));
                let future = async { all.await.map_err(|denied| denied.denied()) };
                join(amounts, Box::pin(future), most.is_some(), &mut waiters);
            }
            Step::JoinOne(i, n, lane) => {
                let one = limiters[i].lane(lane).acquire_n_owned(n);
                let future = async { one.await.map_err(Denied::from) };
                join(only(i, n), Box::pin(future), false, &mut waiters);
            }
            Step::Poll(i) if !waiters.is_empty() => {
                let i = i % waiters.len();
                if let Some(served) = waiters[i].poll(false) {
                    let amounts = waiters.remove(i).amounts;
                    (0..3).filter(|_| served).for_each(|j| run.kept[j] += amounts[j]);
                }
            }
            Step::Drop(i) if !waiters.is_empty() => drop(waiters.remove(i % waiters.len())),
            _ => {}
        }
    }
    // Far more than all of them can need. Each time some that wait for several limits go on to the next.
    for _ in 0..4 {
        clock.advance(ms(1_000_000));
        waiters.retain_mut(|waiting| {
            let decided = waiting.poll(false);
            (0..3).filter(|_| decided == Some(true)).for_each(|j| run.kept[j] += waiting.amounts[j]);
            decided.is_none()
        });
    }
    run.now_ms = clock.now() / 1_000_000;
    run.unserved = waiters.len();
    run
}

proptest! {
    /// Every waiter is served, and what is used at once keeps to the bound of each limit.
    #[test]
    fn every_waiter_is_served_within_the_bound(bursts in prop::array::uniform3(3u64..6), steps in steps()) {
        let clock = ManualClock::new();
        let mut rate = 0;
        let limiters = bursts.map(|burst| { rate += 1; limiter(&clock, rate, burst, burst) });
        let run = run(&limiters, &clock, &steps);
        prop_assert_eq!(run.unserved, 0);
        for i in 0..3 {
            prop_assert_eq!(limiters[i].waiting(), 0);
            for from in 0..run.at_once.len() {
                let mut sum = 0;
                for (at, amounts) in &run.at_once[from..] {
                    sum += amounts[i];
                    let most = bursts[i] * 1_000 + (i as u64 + 1) * (at - run.at_once[from].0);
                    prop_assert!(sum * 1_000 <= most, "limit {i}: {sum} until {at}");
                }
            }
        }
    }

    /// Buckets that are too large to fill keep exact books: all of a group is taken, or nothing.
    #[test]
    fn the_books_of_all_limits_balance(steps in steps()) {
        let clock = ManualClock::new();
        let limiters = [1, 2, 3].map(|rate| limiter(&clock, rate, 10_000_000, 0));
        let run = run(&limiters, &clock, &steps);
        prop_assert_eq!(run.unserved, 0);
        for i in 0..3 {
            let taken = run.kept[i] + run.at_once.iter().map(|(_, amounts)| amounts[i]).sum::<u64>();
            let earned = run.now_ms * (i as u64 + 1) / 1_000;
            prop_assert_eq!(limiters[i].available(), earned as i64 - taken as i64);
        }
    }
}
