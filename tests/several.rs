//! Several limits at once: all or nothing, in turn, and nobody starves.

use std::{
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
    AcquireAll, AcquireNOwned, AllOf, Clock, Denied, ManualClock, QuantaClock, Quota, RateLimiter,
};

#[path = "several/passing.rs"]
mod passing;
#[path = "several/runtimes.rs"]
mod runtimes;
#[path = "several/schedules.rs"]
mod schedules;

type Limiter = RateLimiter<ManualClock>;

fn limiter(clock: &ManualClock, rate: u64, burst: u64, initial: u64) -> Limiter {
    let quota = Quota::per_second(rate).burst(burst).initial(initial).catch_up(Duration::ZERO);
    RateLimiter::with_clock(quota, clock.clone())
}

/// A future that is polled over and over, and when it was first found to be served, in milliseconds.
struct Waiter<F> {
    future: Pin<Box<F>>,
    served: Option<u64>,
}

impl<F: Future<Output = Result<(), Denied>>> Waiter<F> {
    /// Joins, and has to wait.
    fn new(future: F) -> Self {
        let mut this = Self { future: Box::pin(future), served: None };
        assert_eq!(this.poll(), None, "it should have to wait");
        this
    }

    fn poll(&mut self) -> Option<Result<(), Denied>> {
        match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }
}

trait Look {
    fn look(&mut self, now_ms: u64);
}

impl<F: Future<Output = Result<(), Denied>>> Look for Waiter<F> {
    fn look(&mut self, now_ms: u64) {
        if self.served.is_none()
            && let Some(outcome) = self.poll()
        {
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

/// Moves the clock by so many milliseconds, and looks who is served each ten.
fn pass(clock: &ManualClock, by_ms: u64, waiters: &mut [&mut dyn Look]) {
    for _ in 0..by_ms / 10 {
        clock.advance(ms(10));
        for waiter in &mut *waiters {
            waiter.look(clock.now() / 1_000_000);
        }
    }
}

type Group = Waiter<AcquireAll<ManualClock>>;
type Single = Waiter<AcquireNOwned<ManualClock>>;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn all_or_nothing() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 5), limiter(&clock, 10, 2, 2));
    let both = |n: u64, m: u64| AllOf::new().and(&a, n).and(&b, m);
    both(1, 2).try_acquire().unwrap();
    // The longest wait of all, and nothing taken.
    let denied = both(5, 1).try_acquire().unwrap_err();
    assert_eq!(denied, Denied::NotYet { retry_after: ms(1_000) });
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
    let never = AllOf::new().and(&a, 3).and(&b, 1).and(&a, 3).try_acquire().unwrap_err();
    assert_eq!(never, Denied::Never { requested: 6.into(), burst: 5.into() });
    let invalid = AllOf::new().and(&a, u64::MAX).and(&a, 1).try_acquire().unwrap_err();
    assert_eq!(
        invalid.to_string(),
        "18446744073709551616 is not an amount of permits: it must be from 0 to below 2^64"
    );
}

#[test]
fn amounts_that_are_none_and_limits_too_small_are_errors_at_once() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 0), limiter(&clock, 1, 5, 0));
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = |all: AllOf<_>| Box::pin(all.acquire()).as_mut().poll(&mut cx);
    assert!(matches!(poll(AllOf::new().and(&a, 1).and(&b, -1)), Poll::Ready(Err(Denied::Invalid(_)))));
    assert!(matches!(poll(AllOf::new().and(&a, 1).and(&b, 6)), Poll::Ready(Err(Denied::Never { .. }))));
    // Nothing at all is to be had at any time.
    assert_eq!(poll(AllOf::new()), Poll::Ready(Ok(())));
    assert_eq!(poll(AllOf::new().and(&a, 0)), Poll::Ready(Ok(())));
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
}

#[test]
fn others_use_what_it_cannot_use_yet() {
    let clock = ManualClock::new();
    let (user, everybody) = (limiter(&clock, 1, 1, 0), limiter(&clock, 100, 1, 1));
    let mut group = Group::new(AllOf::new().and(&user, 1).and(&everybody, 1).acquire());
    // It waits for its user's limit alone.
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
fn it_keeps_its_turn_where_it_has_to_wait_twice() {
    let clock = ManualClock::new();
    let (user, everybody) = (limiter(&clock, 1, 1, 0), limiter(&clock, 10, 1, 0));
    let mut group = Group::new(AllOf::new().and(&user, 1).and(&everybody, 1).acquire());
    let mut before: Vec<_> = (0..12).map(|_| Single::new(everybody.acquire_n_owned(1))).collect();
    pass(&clock, 1_000, &mut [&mut group, &mut before]);
    // Due for its user; two are ahead of it for everybody, and those who come now are behind.
    let mut after: Vec<_> = (0..5).map(|_| Single::new(everybody.acquire_n_owned(1))).collect();
    assert_eq!(group.served, None);
    pass(&clock, 1_000, &mut [&mut group, &mut before, &mut after]);
    assert_eq!(before[11].served, Some(1_200));
    assert_eq!(group.served, Some(1_300));
    assert_eq!(after[0].served, Some(1_400));
    assert_eq!(after[4].served, Some(1_800));
}

#[test]
fn others_pass_as_long_as_they_do_not_put_it_off() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 2, 2), limiter(&clock, 10, 1, 0));
    let mut ahead: Vec<_> = (0..30).map(|_| Single::new(b.acquire_n_owned(1))).collect();
    let mut group = Group::new(AllOf::new().and(&a, 2).and(&b, 1).acquire());
    // It waits for `b` first. Emptied, `a` needs until 2,000 ms.
    assert_eq!((a.waiting(), b.waiting()), (0, 31));
    pass(&clock, 2_500, &mut [&mut group, &mut ahead]);
    a.try_acquire_n(2).unwrap();
    pass(&clock, 600, &mut [&mut group, &mut ahead]);
    // At 3,100 it is due there, and joins the queue of `a`, where it will be due at 4,500.
    assert_eq!((a.waiting(), b.waiting()), (1, 1));
    let mut passing = Box::pin(b.acquire_n_owned(1));
    assert_eq!(passing.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
    let mut behind: Vec<_> = (0..20).map(|_| Single::new(b.acquire_n_owned(1))).collect();
    pass(&clock, 3_000, &mut [&mut group, &mut behind]);
    assert_eq!(group.served, Some(4_500));
    assert!(ahead.iter().all(|waiter| waiter.served.is_some()));
    let served: Vec<_> = behind.iter().map_while(|waiter| waiter.served).collect();
    // Each 100 ms, but for the one turn that is the group's.
    let expected: Vec<_> = (3_200..=4_400).chain(4_600..=5_300).step_by(100).collect();
    assert_eq!(served[..13], expected[..13]);
    assert_eq!(served[13], 4_600);
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

#[test]
fn a_large_group_beside_hungry_waiters_has_its_turn() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 10, 10, 0), limiter(&clock, 10, 10, 0));
    let hungry = |limiter: &Limiter| Single::new(limiter.acquire_n_owned(1));
    let mut ones: Vec<_> = (0..50).map(|i| (i % 2 == 0, hungry(if i % 2 == 0 { &a } else { &b }))).collect();
    let mut group = Group::new(AllOf::new().and(&a, 10).and(&b, 10).acquire());
    for _ in 0..200 {
        pass(&clock, 50, &mut [&mut group]);
        for (of_a, waiter) in &mut ones {
            if waiter.poll().is_some() {
                *waiter = hungry(if *of_a { &a } else { &b });
            }
        }
    }
    // First behind 25 and for its own ten; then, in the other queue, behind the 25 hungry ones once more.
    assert!(group.served.is_some_and(|at| at <= 7_000), "{:?}", group.served);
}

#[test]
fn a_group_that_is_polled_over_and_over_keeps_its_time() {
    let clock = ManualClock::new();
    // The first is going to wait for `d` until 100 s, ahead in `a`.
    let (a, d) = (limiter(&clock, 1, 2, 2), limiter(&clock, 1, 100, 100));
    let (one, two) = (limiter(&clock, 1, 1, 0), limiter(&clock, 1, 3, 0));
    let mut first = Group::new(AllOf::new().and(&a, 2).and(&d, 100).and(&one, 1).acquire());
    d.try_acquire_n(100).unwrap();
    pass(&clock, 1_000, &mut [&mut first]);
    assert_eq!((a.waiting(), d.waiting()), (1, 1));
    // The second may pass it, but finds hungry waiters in `c`; more come than that has permits.
    let c = limiter(&clock, 10, 2, 2);
    let mut second = Group::new(AllOf::new().and(&a, 2).and(&c, 2).and(&two, 3).acquire());
    let mut hungry: Vec<_> = (0..2).map(|_| c.acquire_n_owned(1)).map(Box::pin).collect();
    for _ in 0..1_000 {
        pass(&clock, 10, &mut [&mut second]);
        for waiter in &mut hungry {
            while waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                *waiter = Box::pin(c.acquire_n_owned(1));
            }
        }
    }
    // Due in `two` at 3,000 ms, and then promised two more seconds.
    assert!(second.served.is_some_and(|at| at <= 5_000), "{:?}", second.served);
    assert_eq!(first.served, None);
}

#[test]
fn a_refusal_counts_what_a_group_is_promised() {
    let clock = ManualClock::new();
    let (a, b, c) = (limiter(&clock, 10, 10, 10), limiter(&clock, 1, 5, 5), limiter(&clock, 1, 1, 0));
    let mut group = Group::new(AllOf::new().and(&a, 10).and(&b, 5).and(&c, 1).acquire());
    b.try_acquire_n(5).unwrap();
    pass(&clock, 1_000, &mut [&mut group]);
    // It is promised to go at 5,000 ms, and then `a` is empty.
    assert_eq!((a.waiting(), b.waiting(), c.waiting()), (1, 1, 1));
    let denied = Err(Denied::NotYet { retry_after: ms(4_100) });
    assert_eq!(a.try_acquire(), denied);
    assert_eq!(a.try_reserve(1).map(drop), denied);
    assert_eq!(AllOf::new().and(&a, 1).try_acquire(), denied);
    assert_eq!(a.time_until(1), Ok(ms(4_100)));
    pass(&clock, 4_100, &mut [&mut group]);
    assert_eq!(a.try_acquire(), Ok(()));
    assert_eq!(group.served, Some(5_000));
}

#[test]
fn who_leaves_takes_nothing_along_and_lets_the_others_go() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 3, 0), limiter(&clock, 1, 3, 0));
    let group = Group::new(AllOf::new().and(&a, 3).and(&b, 3).acquire());
    let waiting = if a.waiting() == 1 { &a } else { &b };
    let mut behind = Single::new(waiting.acquire_n_owned(1));
    pass(&clock, 1_500, &mut [&mut behind]);
    assert_eq!(behind.served, None);
    drop(group);
    assert_eq!(behind.poll(), Some(Ok(())));
    // Granted, but dropped before it hears of it: all goes back.
    let group = Group::new(AllOf::new().and(&a, 3).and(&b, 3).acquire());
    clock.advance(ms(10_000));
    assert_eq!((a.available(), b.available()), (3, 3));
    drop(group);
}

#[test]
fn a_grant_that_nobody_used_goes_back_to_all() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 100, 0), limiter(&clock, 2, 100, 0));
    let group = Group::new(AllOf::new().and(&a, 3).and(&b, 3).acquire());
    clock.advance(ms(5_000));
    assert_eq!((a.available(), b.available()), (2, 7));
    drop(group);
    assert_eq!((a.available(), b.available()), (5, 10));
}

#[test]
fn a_quota_that_has_become_too_small_turns_it_away() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 3, 0), limiter(&clock, 2, 3, 0));
    let mut group = Group::new(AllOf::new().and(&a, 3).and(&b, 3).acquire());
    assert_eq!((a.waiting(), b.waiting()), (1, 0));
    a.set_quota(Quota::per_second(1).burst(2)).unwrap();
    assert_eq!(group.poll(), Some(Err(Denied::Never { requested: 3.into(), burst: 2.into() })));
    // The other, which it does not wait for yet.
    let mut group = Group::new(AllOf::new().and(&a, 2).and(&b, 3).acquire());
    b.set_quota(Quota::per_second(1).burst(2)).unwrap();
    clock.advance(ms(3_000));
    assert_eq!(group.poll(), Some(Err(Denied::Never { requested: 3.into(), burst: 2.into() })));
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn tasks_on_tokios_clock() {
    let user = RateLimiter::with_clock(Quota::per_second(10).burst(1), tidegate::TokioClock::new());
    let everybody = RateLimiter::with_clock(Quota::per_second(100).burst(1), tidegate::TokioClock::new());
    let start = tokio::time::Instant::now();
    let tasks: Vec<_> = (0..5)
        .map(|_| tokio::spawn(AllOf::new().and(&user, 1).and(&everybody, 1).acquire()))
        .chain((0..50).map(|_| tokio::spawn(AllOf::new().and(&everybody, 1).acquire())))
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    // One was served at once. The second is due for its user at 100 ms, and for everybody behind those 40
    // who are left then; the others after it, by their user's quota.
    assert_eq!(start.elapsed(), ms(800));
}

/// A clock that stands still until it is started, and once it has been stopped.
#[derive(Clone, Debug, Default)]
struct StopClock {
    real: QuantaClock,
    /// What it shows while it stands: zero for its time.
    stands_at: Arc<AtomicU64>,
}

impl StopClock {
    fn stop(&self) {
        self.stands_at.store(self.real.now(), Ordering::Relaxed);
    }

    fn start(&self) {
        self.stands_at.store(0, Ordering::Relaxed);
    }
}

impl Clock for StopClock {
    fn now(&self) -> u64 {
        match self.stands_at.load(Ordering::Relaxed) {
            0 => self.real.now(),
            then => then,
        }
    }
}

/// In real time, on two workers: groups in both orders, waiters and cancellations, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_time_groups_and_waiters_take_exactly_what_they_should() {
    let clock = StopClock::default();
    clock.stop();
    let quota = Quota::per_second(20_000).burst(1_000_000).initial(50).catch_up(ms(0));
    let [a, b] = [(); 2].map(|()| RateLimiter::with_clock(quota, clock.clone()));
    clock.start();
    let tasks: Vec<_> = (0..400_u64)
        .map(|i| {
            let (a, b) = (a.clone(), b.clone());
            tokio::spawn(async move {
                for round in 0..5 {
                    let (one, two) = if i % 2 == 0 { (&a, &b) } else { (&b, &a) };
                    match (i + round) % 4 {
                        0 => one.acquire().await,
                        1 => {
                            // Given up at once, or after a while: it takes all or nothing either way.
                            let all = AllOf::new().and(one, 1).and(two, 1).acquire();
                            let within = Duration::from_micros(i * 50);
                            if tokio::time::timeout(within, all).await.is_ok() {
                                // Made good for, so that the sum below is exact.
                                a.refund(1).unwrap();
                                b.refund(1).unwrap();
                            }
                        }
                        _ => AllOf::new().and(one, 1).and(two, 1).acquire().await.unwrap(),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(Duration::from_secs(60), task).await.expect("somebody waits forever").unwrap();
    }
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
    // Each of 400 tasks went through five rounds; those with i + round = 0 mod 4 took one, by turns.
    let kinds = (0..400_u64).flat_map(|i| (0..5).map(move |round| (i, (i + round) % 4)));
    let (mut of_a, mut of_b) = (0, 0);
    for (i, kind) in kinds {
        let both = i64::from(kind >= 2);
        of_a += both + i64::from(kind == 0 && i % 2 == 0);
        of_b += both + i64::from(kind == 0 && i % 2 == 1);
    }
    // Both began with 50 and have earned the same since.
    clock.stop();
    assert_eq!(a.available() + of_a, b.available() + of_b);
}
