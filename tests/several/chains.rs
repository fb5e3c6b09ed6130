//! Many calls of which each shares a limit with the next: wakes that would nest use up the stack.

use std::thread;

use super::*;

const CALLS: usize = 10_000;

/// On a small stack.
fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(256 << 10).spawn(f).unwrap();
    thread.join().unwrap();
}

/// In which order the calls come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Each second one waits for the same limit as the one before.
    FirstFirst,
    /// Each call waits for the second of its limits, where it is the only waiter.
    LastFirst,
}

/// Call i is for one permit of each of the limits i and i + 1.
fn chain(clock: &ManualClock, burst: u64, order: Order) -> (Vec<Limiter>, Vec<Group>) {
    let limiters: Vec<_> = (0..=CALLS).map(|_| limiter(clock, 1, burst, 0)).collect();
    let all = |i: usize| AllOf::new().and(&limiters[i], 1).and(&limiters[i + 1], 1);
    let wait = |i| Group::new(all(i).acquire());
    let groups = match order {
        Order::FirstFirst => (0..CALLS).map(wait).collect(),
        Order::LastFirst => {
            let mut groups: Vec<_> = (0..CALLS).rev().map(wait).collect();
            groups.reverse();
            assert!(limiters[1..].iter().all(|limiter| limiter.waiting() == 1));
            groups
        }
    };
    (limiters, groups)
}

/// Polls all; how many are served in all.
fn served(groups: &mut [Group]) -> usize {
    for group in &mut *groups {
        group.look(0);
    }
    groups.iter().filter(|group| group.served.is_some()).count()
}

#[test]
fn ten_thousand_that_are_due_at_once_are_all_served() {
    on_a_small_stack(|| {
        let clock = ManualClock::new();
        let (limiters, mut groups) = chain(&clock, 1, Order::FirstFirst);
        let mut seconds = 0;
        while served(&mut groups) < CALLS {
            assert!(seconds < 10, "{} are served", served(&mut groups));
            clock.advance(ms(1_000));
            seconds += 1;
        }
        // Of two permits each, and one of each limit a second.
        assert!(seconds >= 2);
        assert_eq!(limiters.iter().map(Limiter::waiting).sum::<usize>(), 0);
    });
}

/// All stand at the front of both their queues, each behind the one before it. When the first can go, all go in turn,
/// and none of them is polled.
#[test]
fn ten_thousand_let_each_other_go_on() {
    on_a_small_stack(|| {
        let clock = ManualClock::new();
        let (limiters, mut groups) = chain(&clock, 2, Order::LastFirst);
        // Each holds its part of one limit, whose bucket is full for all that.
        clock.advance(ms(3_000));
        for limiter in &limiters {
            limiter.try_acquire_n(2).unwrap();
        }
        assert_eq!(served(&mut groups), 0);
        clock.advance(ms(1_000));
        // Of one permit of each, the first has taken two. All others have two of theirs, but for one.
        assert_eq!(served(&mut groups), 0);
        assert_eq!(limiters.iter().map(Limiter::waiting).sum::<usize>(), 2 * (CALLS - 1));
        assert_eq!((limiters[1].available(), limiters[2].available()), (0, 1));
        clock.advance(ms(1_000));
        assert_eq!(limiters.iter().map(Limiter::waiting).sum::<usize>(), 0);
        assert_eq!(served(&mut groups), CALLS);
    });
}

/// Each call that is dropped gives back what another one waits for.
#[test]
fn ten_thousand_are_dropped() {
    on_a_small_stack(|| {
        let clock = ManualClock::new();
        let (limiters, mut groups) = chain(&clock, 1, Order::LastFirst);
        clock.advance(ms(1_000));
        assert_eq!(served(&mut groups), 1);
        drop(groups);
        assert!(limiters.iter().all(|limiter| limiter.waiting() == 0));
        clock.advance(ms(1_000));
        assert!(limiters.iter().all(|limiter| limiter.available() == 1));
    });
}
