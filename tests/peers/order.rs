//! The queue: order, and how often anybody is woken.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tidegate::{Clock, ManualClock, Quota, RateLimiter, TokioClock};
use tokio::time::Instant;

use super::support::{LateClock, Line, MILLI, SECOND, manual, within_ten_seconds};

/// A future that counts how often it is polled.
struct Counted<F> {
    future: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future> Future for Counted<F> {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        self.polls += 1;
        let polls = self.polls;
        self.future.as_mut().poll(cx).map(|_| polls)
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// 1,000 waiters at 1,000/s are done in the order they came, each at its time, and polled three times at
/// most. governor: 499,411 rechecks, and an order of chance.
#[tokio::test(start_paused = true)]
async fn a_thousand_waiters_in_tokio() {
    let limiter = RateLimiter::with_clock(Quota::per_second(1_000).with_burst(1), TokioClock::new());
    let start = Instant::now();
    let done = Arc::new(Mutex::new(Vec::new()));
    let arrivals = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (limiter, done, arrivals) = (limiter.clone(), done.clone(), arrivals.clone());
            tokio::spawn(async move {
                // Relaxed: one thread.
                let arrival = arrivals.fetch_add(1, Ordering::Relaxed);
                let polls = Counted { future: Box::pin(limiter.acquire_owned()), polls: 0 }.await;
                done.lock().expect("the list").push((arrival, start.elapsed()));
                polls
            })
        })
        .collect();
    let mut polls = Vec::new();
    for task in tasks {
        polls.push(task.await.expect("a waiter"));
    }
    assert!(polls.iter().all(|polls| *polls <= 3), "{:?} polls", polls.iter().max());
    let done = done.lock().expect("the list");
    assert!(done.iter().map(|(arrival, _)| *arrival).eq(0..1_000), "out of order");
    for (arrival, elapsed) in done.iter() {
        let due = Duration::from_millis(*arrival as u64);
        // tokio's timer counts milliseconds, and may add one.
        assert!((due..=due + Duration::from_millis(1)).contains(elapsed), "{arrival} at {elapsed:?}");
    }
}

/// The same without a runtime, to the nanosecond, and each is woken once.
#[test]
fn a_thousand_waiters_by_hand() {
    let (limiter, clock) = manual(Quota::per_second(1_000).with_burst(1));
    assert!(limiter.try_acquire().is_ok());
    let mut line = Line::new(&clock);
    for _ in 0..1_000 {
        line.wait(limiter.acquire_owned());
    }
    clock.advance(Duration::from_secs(1));
    let expected: Vec<_> = (0..1_000).map(|id| (id, (id as u64 + 1) * MILLI)).collect();
    assert_eq!(line.granted(), expected);
    assert!((0..1_000).all(|id| line.polls(id) == 2));
    assert_eq!(limiter.waiting(), 0);
}

/// A clock that keeps all the alarms it was asked for.
#[derive(Clone, Debug, Default)]
struct Alarms(Arc<Mutex<Vec<Waker>>>);

impl Clock for Alarms {
    fn now(&self) -> u64 {
        0
    }

    fn wake_at(&self, _: u64, waker: &Waker) -> bool {
        self.0.lock().expect("the alarms").push(waker.clone());
        true
    }
}

/// A thousand waiters have one timer, set once. In aiolimiter before 1.2 each waiter had its own timer, and waiters
/// were granted in the order in which the timers rang.
#[test]
fn one_timer_for_all() {
    let alarms = Alarms::default();
    let limiter =
        RateLimiter::with_clock(Quota::per_second(10).with_burst(1).with_initial(0), alarms.clone());
    let mut line = Line::new(&alarms);
    for _ in 0..1_000 {
        line.wait(limiter.acquire_owned());
    }
    assert_eq!(alarms.0.lock().expect("the alarms").len(), 1);
}

/// A waiter that was polled once and then parked blocks no other waiter, and loses no permit. In leaky-bucket all
/// waiters behind it stood still, for 60 s and more.
#[test]
fn a_parked_waiter_blocks_nobody() {
    let (limiter, clock) = manual(Quota::per_second(10).with_burst(1).with_initial(0));
    let mut line = Line::new(&clock);
    for _ in 0..10 {
        line.wait(limiter.acquire_owned());
    }
    clock.advance(Duration::from_secs(60));
    let expected: Vec<_> = (0..10).map(|id| (id, (id as u64 + 1) * SECOND / 10)).collect();
    assert_eq!(line.woken(), expected);
    for id in 1..10 {
        assert!(line.poll(id));
    }
    // Its permit has been kept for it.
    assert!(line.poll(0));
}

/// The same in tokio, where the parked waiter belongs to a task that does something else.
#[tokio::test(start_paused = true)]
async fn a_parked_waiter_blocks_nobody_in_tokio() {
    let limiter =
        RateLimiter::with_clock(Quota::per_second(10).with_burst(1).with_initial(0), TokioClock::new());
    let mut parked = Box::pin(limiter.acquire());
    assert!(poll_once(parked.as_mut()).is_pending());
    let others = async {
        for _ in 0..10 {
            limiter.acquire().await;
        }
    };
    let start = Instant::now();
    tokio::time::timeout(Duration::from_secs(60), others).await.expect("they are blocked");
    assert!(start.elapsed() <= Duration::from_millis(1_110), "{:?}", start.elapsed());
    assert!(poll_once(parked.as_mut()).is_ready());
}

/// A waiter that is leaked takes its permit with it, and nothing else.
#[test]
fn a_forgotten_waiter_blocks_nobody() {
    let (limiter, clock) = manual(Quota::per_second(10).with_burst(1).with_initial(0));
    let mut forgotten = Box::pin(limiter.acquire_owned());
    assert!(poll_once(forgotten.as_mut()).is_pending());
    std::mem::forget(forgotten);
    let mut line = Line::new(&clock);
    line.wait(limiter.acquire_owned());
    line.wait(limiter.acquire_owned());
    clock.advance(Duration::from_secs(1));
    assert_eq!(line.granted(), [(0, 2 * SECOND / 10), (1, 3 * SECOND / 10)]);
    assert_eq!(limiter.waiting(), 0);
}

/// One a millisecond delivers 1,000 in a second, though each timer rings late. leaky-bucket never makes
/// lateness up (`deadline = now + interval`): 462.
#[test]
fn late_timers_lose_nothing() {
    let quota = Quota::per_second(1_000).with_burst(1).with_initial(0);
    for late_ns in [0, 100_000, 900_000, 2_500_000, 8_000_000] {
        let (granted, allowed) = a_second_of_late_timers(quota, late_ns);
        assert!(granted <= allowed, "{late_ns} ns late: {granted} of {allowed}");
        assert!(granted + 10 >= allowed, "{late_ns} ns late: {granted} of {allowed}");
    }
    // The textbook's way, for comparison: half is lost.
    let (granted, _) = a_second_of_late_timers(quota.with_catch_up(Duration::ZERO), 1_000_000);
    assert!((490..=510).contains(&granted), "{granted}");
}

/// A loop of acquires; how many were granted, and how many the time was worth.
fn a_second_of_late_timers(quota: Quota, late_ns: u64) -> (usize, usize) {
    let clock = LateClock::default();
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut line = Line::new(&clock);
    let (mut granted, mut now) = (0, 0);
    while now < SECOND {
        // The next waiter follows as soon as one is granted. A waiter that is granted from credit yields once.
        loop {
            let at_once = line.join(limiter.acquire_owned()).1;
            let through = usize::from(at_once) + line.granted().len();
            if through == 0 {
                break;
            }
            granted += through;
        }
        let due = clock.deadline().expect("an alarm is set while somebody waits");
        let ring = due.max(now) + late_ns;
        clock.advance(ring - now);
        now = ring;
        clock.ring();
        granted += line.granted().len();
    }
    (granted, (now / MILLI) as usize)
}

/// The same under tokio's own timer, of whole milliseconds, which rings up to one late.
#[tokio::test(start_paused = true)]
async fn tokio_timers_lose_nothing() {
    for (rate, burst) in [(1_000, 1), (3_000, 1), (777, 1), (10_000, 1), (1_000, 5)] {
        let quota = Quota::per_second(rate).with_burst(burst).with_initial(0);
        let limiter = RateLimiter::with_clock(quota, TokioClock::new());
        let start = Instant::now();
        let mut granted = 0;
        while start.elapsed() < Duration::from_secs(1) {
            limiter.acquire().await;
            granted += 1;
        }
        let allowed = (start.elapsed().as_nanos() * u128::from(rate) / u128::from(SECOND)) as u64;
        assert!(granted <= allowed, "{rate}/s: {granted} of {allowed}");
        assert!(granted + rate / 100 >= allowed, "{rate}/s: {granted} of {allowed}");
    }
}

/// Whatever a waker does, it is not under a lock: it may ask the limiter, take from it, and drop another
/// waiter. leaky-bucket wakes under its lock; .NET deadlocked between a cancel callback and the replenisher
/// (85523).
#[test]
fn wakers_may_call_back() {
    type Other = Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>;
    struct CallBack {
        limiter: RateLimiter<ManualClock>,
        other: Other,
        rang: AtomicUsize,
    }
    impl Wake for CallBack {
        fn wake(self: Arc<Self>) {
            self.limiter.available();
            self.limiter.waiting();
            let _ = self.limiter.try_acquire();
            let _ = self.limiter.time_until(1);
            self.limiter.refund(1).unwrap();
            drop(self.other.lock().expect("the other").take());
            // Relaxed: one thread.
            self.rang.fetch_add(1, Ordering::Relaxed);
        }
    }
    within_ten_seconds(|| {
        let (limiter, clock) = manual(Quota::per_second(10).with_burst(1).with_initial(0));
        let back = Arc::new(CallBack {
            limiter: limiter.clone(),
            other: Mutex::new(None),
            rang: AtomicUsize::new(0),
        });
        let waker = Waker::from(back.clone());
        let poll = |future: &mut Pin<Box<dyn Future<Output = ()> + Send>>| {
            future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        };
        let mut first: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(limiter.acquire_owned());
        let mut second: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(limiter.acquire_owned());
        assert!(!poll(&mut first) && !poll(&mut second));
        *back.other.lock().expect("the other") = Some(second);
        clock.advance(Duration::from_secs(1));
        assert!(back.rang.load(Ordering::Relaxed) >= 1);
        assert!(poll(&mut first));
        assert_eq!(limiter.waiting(), 0);
    });
}
