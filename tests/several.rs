//! Several limits at once: all or nothing, and every caller that waits is served.

use std::{
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate::{
    AcquireAll, AcquireNOwned, AllOf, Clock, Denied, Lane, ManualClock, NotYet, QuantaClock, Quota,
    RateLimiter,
};

#[path = "several/chains.rs"]
mod chains;
#[path = "several/charges.rs"]
mod charges;
#[path = "several/front.rs"]
mod front;
#[path = "several/kinds.rs"]
mod kinds;
#[path = "several/leaving.rs"]
mod leaving;
#[path = "several/real_time.rs"]
mod real_time;
#[path = "several/refusals.rs"]
mod refusals;
#[path = "several/reserving.rs"]
mod reserving;
#[path = "several/schedules.rs"]
mod schedules;
#[path = "several/singly.rs"]
mod singly;
#[path = "several/within.rs"]
mod within;

type Limiter = RateLimiter<ManualClock>;

fn limiter(clock: &ManualClock, rate: u64, burst: u64, initial: u64) -> Limiter {
    let quota = Quota::per_second(rate).with_burst(burst).with_initial(initial).with_catch_up(Duration::ZERO);
    RateLimiter::with_clock(quota, clock.clone())
}

/// A future that is polled over and over, and when it was first found to be served, in milliseconds.
struct Waiter<F> {
    future: Pin<Box<F>>,
    served: Option<u64>,
}

impl<F, E> Waiter<F>
where
    F: Future<Output = Result<(), E>>,
    E: Debug + PartialEq,
{
    /// Joins, and has to wait.
    fn new(future: F) -> Self {
        let mut this = Self { future: Box::pin(future), served: None };
        assert_eq!(this.poll(), None, "it should have to wait");
        this
    }

    fn poll(&mut self) -> Option<Result<(), E>> {
        match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }
}

trait Look {
    fn look(&mut self, now_ms: u64);
}

impl<F, E> Look for Waiter<F>
where
    F: Future<Output = Result<(), E>>,
    E: Debug + PartialEq,
{
    fn look(&mut self, now_ms: u64) {
        if self.served.is_some() {
            return;
        }
        if let Some(outcome) = self.poll() {
            outcome.unwrap();
            self.served = Some(now_ms);
        }
    }
}

impl<T: Look> Look for Vec<T> {
    fn look(&mut self, now_ms: u64) {
        for waiter in self {
            waiter.look(now_ms);
        }
    }
}

/// Moves the clock by so many milliseconds, and polls the waiters each ten.
fn pass(clock: &ManualClock, by_ms: u64, waiters: &mut [&mut dyn Look]) {
    for _ in 0..by_ms / 10 {
        clock.advance(ms(10));
        for waiter in &mut *waiters {
            waiter.look(clock.now() / 1_000_000);
        }
    }
}

type Group = Waiter<AcquireAll>;
type Single = Waiter<AcquireNOwned<ManualClock>>;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How a limiter with this burst refuses a request for more.
fn too_many(requested: u64, burst: u64) -> Denied {
    limiter(&ManualClock::new(), 1, burst, 0).try_acquire_n(requested).unwrap_err()
}

#[test]
fn all_or_nothing() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 5), limiter(&clock, 10, 2, 2));
    let both = |n: u64, m: u64| AllOf::new().and(&a, n).and(&b, m);
    both(1, 2).try_acquire().unwrap();
    // The longest wait of all, and nothing taken.
    let denied = both(5, 1).try_acquire().unwrap_err();
    assert_eq!(denied.denied(), Denied::NotYet(NotYet::after(ms(1_000))));
    assert_eq!((a.available(), b.available()), (4, 0));
    clock.advance(ms(1_000));
    both(5, 1).try_acquire().unwrap();
    assert_eq!((a.available(), b.available()), (0, 1));
}

#[test]
fn what_is_asked_of_one_limiter_adds_up() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 5), limiter(&clock, 1, 5, 5));
    AllOf::new().and(&a, 1.5).and(&b, 1).and(&a, 2.5).try_acquire().unwrap();
    assert_eq!((a.available(), b.available()), (1, 4));
    // So it does for a caller that waits, which has one place in the queue.
    let mut group = Group::new(AllOf::new().and(&a, 1.5).and(&b, 1).and(&a, 2.5).acquire());
    assert_eq!((a.waiting(), b.waiting()), (1, 0));
    pass(&clock, 2_990, &mut [&mut group]);
    assert_eq!(group.served, None);
    pass(&clock, 10, &mut [&mut group]);
    assert_eq!((a.available(), b.available()), (0, 4));
}

#[test]
fn without_limits_every_call_is_admitted() {
    let clock = ManualClock::new();
    let a = limiter(&clock, 1, 5, 0);
    let nothing = [AllOf::new(), AllOf::default(), AllOf::new().and(&a, 0), AllOf::new().and(&a, 0.0)];
    for all in nothing {
        all.try_acquire().unwrap();
        let mut future = Box::pin(all.acquire());
        assert_eq!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
    }
    assert_eq!((a.available(), a.waiting()), (0, 0));
}

#[test]
fn one_call_can_be_made_many_times_and_cloned() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 5), limiter(&clock, 1, 5, 5));
    let all = AllOf::new().and(&a, 1).and(&b, 2);
    let more = all.clone().and(&a, 1);
    all.try_acquire().unwrap();
    more.try_acquire().unwrap();
    assert_eq!((a.available(), b.available()), (2, 1));
    // Several futures of one call at the same time.
    let mut groups = [all.acquire(), all.clone().acquire(), more.acquire()].map(Group::new);
    drop((all, more));
    for _ in 0..600 {
        pass(&clock, 10, &mut groups.each_mut().map(|group| group as &mut dyn Look));
    }
    // Two of `b` each, of which one was there.
    let served = groups.map(|group| group.served);
    assert_eq!(served, [1_000, 3_000, 5_000].map(Some));
}

#[test]
fn others_use_what_it_does_not_hold_yet() {
    let clock = ManualClock::new();
    let (user, everybody) = (limiter(&clock, 1, 1, 0), limiter(&clock, 100, 1, 1));
    let mut group = Group::new(AllOf::new().and(&everybody, 1).and(&user, 1).acquire());
    // It waits for its user's limit alone, which is the scarcest.
    assert_eq!((user.waiting(), everybody.waiting()), (1, 0));
    for _ in 0..99 {
        everybody.try_acquire().unwrap();
        pass(&clock, 10, &mut [&mut group]);
    }
    assert_eq!(group.served, None);
    pass(&clock, 10, &mut [&mut group]);
    assert_eq!(group.served, Some(1_000));
    assert_eq!((user.available(), everybody.available()), (0, 0));
}

#[test]
fn it_waits_in_its_turn_for_one_limit_and_then_for_the_next() {
    let clock = ManualClock::new();
    let (user, everybody) = (limiter(&clock, 1, 2, 0), limiter(&clock, 10, 1, 0));
    let mut group = Group::new(AllOf::new().and(&user, 1).and(&everybody, 1).acquire());
    let mut before: Vec<_> = (0..12).map(|_| Single::new(everybody.acquire_n_owned(1))).collect();
    pass(&clock, 1_000, &mut [&mut group, &mut before]);
    // It holds the permit of its user's limit. Two waiters are ahead of it in the common limit; new callers join behind
    // it.
    let mut after: Vec<_> = (0..5).map(|_| Single::new(everybody.acquire_n_owned(1))).collect();
    assert_eq!((group.served, user.waiting(), everybody.waiting()), (None, 0, 8));
    pass(&clock, 1_000, &mut [&mut group, &mut before, &mut after]);
    assert_eq!(before[11].served, Some(1_200));
    assert_eq!(group.served, Some(1_300));
    assert_eq!(after[0].served, Some(1_400));
    assert_eq!(after[4].served, Some(1_800));
}

#[test]
fn two_groups_never_wait_for_each_other() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 1, 0), limiter(&clock, 1, 1, 0));
    let mut groups: Vec<_> = (0..10)
        .map(|i| {
            let all = if i % 2 == 0 {
                AllOf::new().and(&a, 1).and(&b, 1)
            } else {
                AllOf::new().and(&b, 1).and(&a, 1)
            };
            Group::new(all.acquire())
        })
        .collect();
    pass(&clock, 10_000, &mut [&mut groups]);
    let served: Vec<_> = groups.iter().map(|group| group.served).collect();
    assert_eq!(served, (1..=10).map(|s| Some(s * 1_000)).collect::<Vec<_>>());
}

/// Each holds all that there is of one limit, and waits for the other.
#[test]
fn two_groups_that_hold_what_the_other_waits_for_block_nobody() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 2, 0), limiter(&clock, 1, 2, 0));
    let mut first = Group::new(AllOf::new().and(&a, 2).and(&b, 2).acquire());
    let (held, other) = if a.waiting() > 0 { (&a, &b) } else { (&b, &a) };
    // So that the second begins with the other one.
    other.charge(10).unwrap();
    let mut second = Group::new(AllOf::new().and(&a, 2).and(&b, 2).acquire());
    other.refund(10).unwrap();
    assert_eq!((held.waiting(), other.waiting()), (1, 1));
    pass(&clock, 2_000, &mut [&mut first, &mut second]);
    assert_eq!((a.available(), b.available(), a.waiting(), b.waiting()), (0, 0, 1, 1));
    // At 4,000 ms each is granted the other part, but what they have held is worth nothing any more. The first is
    // served of what the second gives back.
    pass(&clock, 2_000, &mut [&mut first, &mut second]);
    assert_eq!((first.poll(), second.poll()), (Some(Ok(())), None));
    pass(&clock, 2_000, &mut [&mut second]);
    assert_eq!(second.served, Some(6_000));
    assert_eq!((a.available(), b.available(), a.waiting(), b.waiting()), (0, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn tasks_on_tokios_clock() {
    let [user, everybody] = [10, 100].map(|rate| {
        let quota = Quota::per_second(rate).with_burst(1).with_catch_up(Duration::ZERO);
        RateLimiter::with_clock(quota, tidegate::TokioClock::new())
    });
    let start = tokio::time::Instant::now();
    let tasks: Vec<_> = (0..5)
        .map(|_| tokio::spawn(AllOf::new().and(&user, 1).and(&everybody, 1).acquire()))
        .chain((0..50).map(|_| tokio::spawn(AllOf::new().and(&everybody, 1).acquire())))
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    // One call was granted at once. The others wait for the user's limit, and then for the common limit, behind its
    // remaining waiters. By then their permits of the user's limit have overflowed, so they go on from the front, at
    // the user's rate.
    assert_eq!(start.elapsed(), ms(810));
}
