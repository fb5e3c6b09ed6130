//! Which limit refuses, and what a refusal costs.

use std::sync::mpsc;

use super::*;

#[test]
fn a_refusal_names_the_limit_by_the_order_of_the_call() {
    let clock = ManualClock::new();
    let [a, b, c] = [1, 2, 5].map(|rate| limiter(&clock, rate, 10, 1));
    let denied = |all: AllOf| {
        let denied = all.try_acquire().unwrap_err();
        assert_eq!(denied.retry_after(), denied.denied().retry_after());
        assert_eq!(denied.is_never(), denied.denied().is_never());
        (denied.limit(), denied.retry_after())
    };
    // The one that refuses for longest, whatever the order in which they were made.
    for (order, index) in [([&a, &b, &c], 0), ([&b, &a, &c], 1), ([&c, &b, &a], 2)] {
        let all = order.iter().fold(AllOf::new(), |all, limiter| all.and(limiter, 2));
        assert_eq!(denied(all), (index, Some(ms(1_000))));
    }
    assert_eq!(denied(AllOf::new().and(&a, 1).and(&b, 2).and(&c, 2)), (1, Some(ms(500))));
    // Never is longer than any.
    assert_eq!(denied(AllOf::new().and(&a, 9).and(&b, 2).and(&c, 11)), (2, None));
    // Of a limiter that is named several times, the first.
    assert_eq!(denied(AllOf::new().and(&a, 1).and(&b, 1).and(&c, 1).and(&b, 1)), (1, Some(ms(500))));
    // Limits of which nothing is asked count, too.
    assert_eq!(denied(AllOf::new().and(&a, 0).and(&b, 2)), (1, Some(ms(500))));
    assert_eq!([&a, &b, &c].map(Limiter::available), [1; 3]);
}

#[test]
fn a_refusal_says_so_in_words() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 5), limiter(&clock, 1, 5, 5));
    let never = AllOf::new().and(&a, 3).and(&b, 1).and(&a, 3).try_acquire().unwrap_err();
    assert_eq!(never.denied(), too_many(6, 5));
    assert_eq!(never.to_string(), format!("refused by limit 0 (counted from 0): {}", never.denied()));
    let source = std::error::Error::source(&never).unwrap();
    assert_eq!(source.to_string(), never.denied().to_string());
    let invalid = AllOf::new().and(&b, 1).and(&a, u64::MAX).and(&a, 1).try_acquire().unwrap_err();
    assert_eq!(
        invalid.to_string(),
        "refused by limit 2 (counted from 0): invalid amount of 18446744073709551616 permits: write a number from 0 to below 2^64"
    );
}

#[test]
fn a_refusal_says_the_name_of_the_limit() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 0), limiter(&clock, 1, 5, 5));
    let pair = |n: i64, m: i64| AllOf::new().and_named("first", &a, n).and_named("second", &b, m);
    let denied = pair(1, 1).try_acquire().unwrap_err();
    assert_eq!((denied.name(), denied.limit()), (Some("first"), 0));
    assert_eq!(denied.to_string(), "first: rate limited: retry after 1s");
    let invalid = pair(1, -1).try_acquire().unwrap_err();
    assert_eq!(
        invalid.to_string(),
        "second: invalid amount of -1 permits: write a number from 0 to below 2^64"
    );
    assert_eq!(pair(1, -1).charge().unwrap_err().to_string(), invalid.to_string());
    // A call that waits says it, too.
    assert_eq!(pair(6, 1).blocking_acquire().unwrap_err().name(), Some("first"));
    assert_eq!(pair(1, 1).blocking_reserve_within(ms(999)).unwrap_err().name(), Some("first"));

    // Of nested limits the outer name counts, or else the inner one. Numbers are those of the outer calls.
    let name = |all: AllOf| {
        let denied = all.try_acquire().unwrap_err();
        (denied.name(), denied.limit())
    };
    assert_eq!(name(AllOf::new().and(&b, 0).and(&pair(1, 1), 2)), (Some("first"), 1));
    assert_eq!(name(AllOf::new().and(&b, 0).and_named("pair", &pair(1, 1), 2)), (Some("pair"), 1));
    assert_eq!(name(AllOf::new().and(&pair(-1, 1), 1)), (Some("first"), 0));
    assert_eq!(name(AllOf::new().and_named("pair", &pair(-1, 1), 1)), (Some("pair"), 0));
    // Of a limiter that is added several times, the first name.
    let twice = AllOf::new().and(&a, 1).and_named("one", &a, 1).and_named("two", &a, 1);
    assert_eq!(name(twice), (Some("one"), 0));
}

#[test]
fn amounts_that_are_none_and_limits_too_small_are_errors_at_once() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 0), limiter(&clock, 1, 5, 0));
    let poll = |all: AllOf| {
        let outcome = Box::pin(all.acquire()).as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Err(denied)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(all.try_acquire(), Err(denied));
        denied
    };
    let invalid = poll(AllOf::new().and(&a, 1).and(&b, -1));
    assert!(matches!(invalid.denied(), Denied::Invalid(_)));
    assert_eq!(invalid.limit(), 1);
    // The first of them.
    assert_eq!(poll(AllOf::new().and(&b, f64::NAN).and(&a, -1)).limit(), 0);
    let never = poll(AllOf::new().and(&a, 1).and(&b, 6));
    assert_eq!((never.denied(), never.limit()), (too_many(6, 5), 1));
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
}

/// A reading reports that it has begun, and ends when all senders are gone.
type Stop = (mpsc::Sender<()>, mpsc::Receiver<()>);

/// A clock that counts its readings, and can be stopped in the middle of one.
#[derive(Clone, Debug, Default)]
struct Watched {
    clock: ManualClock,
    readings: Arc<AtomicU64>,
    /// For the next reading.
    stop: Arc<std::sync::Mutex<Option<Stop>>>,
}

impl Clock for Watched {
    fn now(&self) -> u64 {
        // Relaxed: read by the thread that has made the calls.
        self.readings.fetch_add(1, Ordering::Relaxed);
        let stop = self.stop.lock().unwrap().take();
        if let Some((stopped, go_on)) = stop {
            stopped.send(()).unwrap();
            assert!(go_on.recv().is_err(), "nothing is sent");
        }
        self.clock.now()
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        self.clock.wake_at(deadline, waker)
    }
}

/// With a lock it would be another reading for each.
#[test]
fn a_refused_try_reads_each_clock_once() {
    let clock = Watched::default();
    let quota = Quota::per_second(1).with_burst(2);
    let limiters =
        [2, 2, 0].map(|initial| RateLimiter::with_clock(quota.with_initial(initial), clock.clone()));
    let all = limiters.iter().fold(AllOf::new(), |all, limiter| all.and(limiter, 1));
    let readings = |all: &AllOf| {
        let before = clock.readings.load(Ordering::Relaxed);
        let taken = all.try_acquire().is_ok();
        (taken, clock.readings.load(Ordering::Relaxed) - before)
    };
    assert_eq!(readings(&all), (false, 3));
    // Behind a waiter as well, and of more than a burst.
    let mut waiter = Box::pin(limiters[2].acquire());
    assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(readings(&all), (false, 3));
    assert_eq!(readings(&AllOf::new().and(&limiters[0], 3).and(&limiters[1], 1)), (false, 2));
    assert_eq!(readings(&AllOf::new().and(&limiters[0], 1).and(&limiters[1], 1)), (true, 4));
}

/// Another thread stands still while it holds the lock of a limiter.
#[test]
fn a_refused_try_waits_for_no_lock() {
    let clock = Watched::default();
    let quota = Quota::per_second(1).with_burst(2).with_initial(0);
    let [a, b] = [(); 2].map(|()| RateLimiter::with_clock(quota, clock.clone()));
    let mut waiter = Box::pin(a.acquire());
    assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let (stopped, is_stopped) = mpsc::channel();
    let (let_go, go_on) = mpsc::channel();
    *clock.stop.lock().unwrap() = Some((stopped, go_on));
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| a.refund(0.5).unwrap());
        is_stopped.recv().unwrap();
        let (done, is_done) = mpsc::channel();
        let caller = scope.spawn({
            let all = AllOf::new().and(&a, 1).and(&b, 1);
            move || done.send(all.try_acquire()).unwrap()
        });
        let outcome = is_done.recv_timeout(Duration::from_secs(30));
        // In any case, so that a failure is one.
        drop::<mpsc::Sender<()>>(let_go);
        let denied = outcome.expect("it waits for the lock").unwrap_err();
        assert_eq!((denied.limit(), denied.retry_after()), (0, Some(ms(2_000))));
        caller.join().unwrap();
        holder.join().unwrap();
    });
}

/// What it held of the other limits is granted to the waiters there.
#[test]
fn a_final_round_that_is_refused_hands_on_what_it_held() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 4, 0), limiter(&clock, 1, 2, 0));
    // It waits for four of `a`, to 4,000 ms, and then for `b`.
    let mut group = Group::new(AllOf::new().and(&a, 4).and(&b, 1).acquire());
    b.charge(4).unwrap();
    clock.advance(ms(4_000));
    assert_eq!((group.poll(), a.waiting(), b.waiting()), (None, 0, 1));
    clock.advance(ms(500));
    // Four are too many from now on.
    a.set_quota(Quota::per_second(1).with_burst(3).with_catch_up(Duration::ZERO)).unwrap();
    let mut next = Single::new(a.acquire_n_owned(2));
    clock.advance(ms(500));
    let refused = group.poll().unwrap().unwrap_err();
    assert_eq!((refused.limit(), refused.is_never()), (0, true));
    assert_eq!((next.poll(), a.waiting()), (Some(Ok(())), 0));
}
