//! Longest waits over several limits.

use proptest::prelude::*;

use super::{
    AllOf, Clock, Context, Denied, Duration, Future, Limiter, ManualClock, NotYet, Pin, Poll, Waker, limiter,
    ms,
};

fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T>>>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_wait_that_is_too_long_fails_at_once_and_costs_nothing() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 5), limiter(&clock, 10, 2, 0));
    let within = |n, m, most| AllOf::new().and(&a, n).and(&b, m).blocking_acquire_within(ms(most));
    // The second limit admits two permits after 200 ms.
    assert_eq!(within(1, 2, 199).unwrap_err().denied(), Denied::NotYet(NotYet::after(ms(1))));
    assert_eq!(within(1, 2, 150).unwrap_err().limit(), 1);
    assert!(within(6, 1, 10_000).unwrap_err().is_never());
    assert_eq!((a.available(), b.available(), a.waiting(), b.waiting()), (5, 0, 0, 0));
    clock.advance(ms(200));
    within(5, 2, 0).unwrap();
}

#[test]
fn a_wait_that_becomes_too_long_fails_when_that_is_known() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 5), limiter(&clock, 10, 2, 0));
    let mut call: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(AllOf::new().and(&a, 1).and(&b, 2).acquire_within(ms(300)));
    assert!(poll(&mut call).is_pending());
    b.charge(2).unwrap();
    assert!(matches!(poll(&mut call), Poll::Ready(Err(_))));
    assert_eq!((a.available(), a.waiting(), b.waiting()), (5, 0, 0));
}

/// Polls a call for `amounts` late by a millisecond, at the end of its longest wait of 100 ms.
fn polled_late(burst: u64, amounts: [u64; 2]) -> bool {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 10, 5, 0), limiter(&clock, 10, burst, burst));
    let mut call: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(AllOf::new().and(&a, amounts[0]).and(&b, amounts[1]).acquire_within(ms(100)));
    assert!(poll(&mut call).is_pending());
    clock.advance(ms(100));
    // `a` has granted its part. Another caller may take from `b` meanwhile.
    if burst == 1 {
        b.try_acquire().unwrap();
    }
    clock.advance(ms(1));
    let Poll::Ready(decision) = poll(&mut call) else { panic!("it waits on") };
    decision.is_ok()
}

#[test]
fn a_grant_in_time_counts_however_late_the_task_runs() {
    assert!(polled_late(5, [1, 0]), "one limit");
    assert!(polled_late(5, [1, 1]), "the other part is available");
    assert!(!polled_late(1, [1, 1]), "the other part would have to be waited for");
}

#[test]
fn the_missing_parts_are_not_waited_for_beyond_the_longest_wait() {
    let clock = ManualClock::new();
    // While the call waits for `b`, its part of `a` is lost: the bucket of `a` would have been full again.
    let (a, b) = (limiter(&clock, 1, 2, 1), limiter(&clock, 1, 4, 0));
    let mut call: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(AllOf::new().and(&a, 2).and(&b, 4).acquire_within(ms(4_500)));
    let mut decided = None;
    while decided.is_none() && clock.now() < 10_000_000_000 {
        if let Poll::Ready(outcome) = poll(&mut call) {
            decided = Some((outcome.is_ok(), clock.now() / 1_000_000));
        }
        clock.advance(ms(100));
        // Others take what they can, whenever they can.
        let _ = a.try_acquire();
    }
    let (_, at_ms) = decided.expect("neither granted nor refused");
    assert!(at_ms <= 4_500, "{at_ms} ms");
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Join([u64; 3], u64),
    JoinOne(usize, u64),
    Charge(usize, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let amounts = prop::array::uniform3(prop_oneof![1 => Just(0u64), 3 => 1u64..4]);
    let step = prop_oneof![
        4 => prop_oneof![0u64..400, 0u64..3_000].prop_map(Step::Advance),
        5 => (amounts, 0u64..6_000).prop_map(|(amounts, most)| Step::Join(amounts, most)),
        3 => (0usize..3, 1u64..4).prop_map(|(i, n)| Step::JoinOne(i, n)),
        1 => (0usize..3, 1u64..4).prop_map(|(i, n)| Step::Charge(i, n)),
    ];
    prop::collection::vec(step, 1..50)
}

struct Waiting {
    deadline: u64,
    /// Whether it is a call for several limits.
    is_several: bool,
    /// Whether another call for several limits was waiting at its deadline. Behind its final round, a grant that is due in time
    /// may come later.
    may_be_late: bool,
    call: Pin<Box<dyn Future<Output = bool>>>,
}

impl Waiting {
    fn new(deadline: u64, is_several: bool, call: impl Future<Output = bool> + 'static) -> Self {
        Self { deadline, is_several, may_be_late: false, call: Box::pin(call) }
    }
}

/// Moves the clock, and stops at each deadline on the way. Each call is polled at its deadline, so that it has been
/// polled after each grant in time.
fn advance(clock: &ManualClock, by: Duration, waiting: &mut Vec<Waiting>) {
    let end = clock.now() + by.as_nanos() as u64;
    loop {
        // A call may have to be polled once for each limit. One that is decided may have others granted.
        for _ in 0..5 * (waiting.len() + 1) {
            waiting.retain_mut(|Waiting { deadline, may_be_late, call, .. }| {
                let polled = poll(call);
                let late = clock.now() > *deadline && !*may_be_late;
                assert!(polled != Poll::Ready(true) || !late, "admitted after its deadline of {deadline}");
                polled.is_pending()
            });
        }
        let several = waiting.iter().filter(|waiting| waiting.is_several).count();
        for waits in waiting.iter_mut().filter(|waits| waits.deadline == clock.now()) {
            waits.may_be_late = several > usize::from(waits.is_several);
        }
        let to_come = waiting.iter().map(|waits| waits.deadline).filter(|&deadline| deadline > clock.now());
        let next = to_come.min().unwrap_or(end).min(end);
        if clock.now() == end {
            return;
        }
        clock.advance(Duration::from_nanos(next - clock.now()));
    }
}

proptest! {
    /// No call is admitted after its deadline, except behind the final round of another one, and every call is decided, whatever
    /// others do.
    #[test]
    fn no_call_is_admitted_after_its_deadline(bursts in prop::array::uniform3(3u64..6), steps in steps()) {
        let clock = ManualClock::new();
        let mut rate = 0;
        let limiters: [Limiter; 3] = bursts.map(|burst| { rate += 1; limiter(&clock, rate, burst, burst) });
        let mut waiting: Vec<Waiting> = Vec::new();
        for step in steps {
            match step {
                Step::Advance(by) => advance(&clock, ms(by), &mut waiting),
                Step::Join(amounts, most) => {
                    let all = (0..3).fold(AllOf::new(), |all, i| all.and(&limiters[i], amounts[i]));
                    let call = all.acquire_within(ms(most));
                    let deadline = clock.now() + most * 1_000_000;
                    let is_several = amounts.iter().filter(|&&n| n > 0).count() > 1;
                    waiting.push(Waiting::new(deadline, is_several, async { call.await.is_ok() }));
                    advance(&clock, Duration::ZERO, &mut waiting);
                }
                Step::JoinOne(i, n) => {
                    let call = limiters[i].acquire_n_owned(n);
                    waiting.push(Waiting::new(u64::MAX, false, async { call.await.is_ok() }));
                    advance(&clock, Duration::ZERO, &mut waiting);
                }
                Step::Charge(i, n) => drop(limiters[i].charge(n)),
            }
        }
        for _ in 0..4 {
            advance(&clock, ms(1_000_000), &mut waiting);
        }
        prop_assert!(waiting.is_empty());
        prop_assert!(limiters.iter().all(|limiter| limiter.waiting() == 0));
    }
}

/// A call whose part is due in time, but stands behind the final round of another call, which waits for another limit.
#[test]
fn a_grant_that_is_due_in_time_counts_also_behind_a_final_round() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 2, 5, 2), limiter(&clock, 3, 4, 3));
    let call = |amounts: [u64; 2], most: u64| {
        let call = AllOf::new().and(&a, amounts[0]).and(&b, amounts[1]).acquire_within(ms(most));
        Waiting::new(most * 1_000_000, amounts[1] > 0, async { call.await.is_ok() })
    };
    let mut waiting = Vec::new();
    for (amounts, most) in
        [([3, 0], 4_500), ([3, 1], 5_000), ([3, 0], 9_000), ([1, 1], 4_500), ([1, 0], 4_500)]
    {
        waiting.push(call(amounts, most));
        advance(&clock, Duration::ZERO, &mut waiting);
    }
    advance(&clock, ms(4_500), &mut waiting);
    assert!(waiting.iter().any(|waits| waits.deadline == clock.now() && waits.may_be_late));
    advance(&clock, ms(500), &mut waiting);
    assert!(waiting.is_empty());
}
