//! Runtimes that go down, and timers that go with them.

use super::{paused::*, *};

#[test]
fn waiters_on_another_runtime_outlive_the_one_that_kept_the_time() {
    // The head is held by nobody that goes down: it stays in the queue, and hears of it.
    let (limiter, clock) = mute_limiter(10);
    let (first, second) = (paused(), paused());
    let hooked = Hooked::new();
    let mut head = Box::pin(limiter.acquire_n_owned(1));
    first.block_on(async {
        assert!(poll(&mut head, &hooked.waker()).is_pending());
    });
    let waiters: Vec<_> = (0..3).map(|_| second.spawn(limiter.acquire_owned())).collect();
    second.block_on(async {
        while limiter.waiting() < 4 {
            tokio::task::yield_now().await;
        }
    });
    drop(first);
    assert_eq!(hooked.wakes(), 1, "asked for another timer");
    second.block_on(async {
        pass(&clock, 1).await;
        assert_eq!(limiter.waiting(), 3, "the head is granted although nobody polls it");
        pass(&clock, 3).await;
        assert_eq!(limiter.waiting(), 0);
        for waiter in waiters {
            waiter.await.unwrap();
        }
    });
    assert!(is_granted(&mut head));
    assert_eq!(limiter.available(), 0);
}

#[test]
fn a_runtime_that_goes_down_with_its_waiters_leaves_the_rest() {
    let (limiter, clock) = mute_limiter(10);
    let (first, second) = (paused(), paused());
    // By turns, so that those that go leave gaps.
    let (mut going, mut staying, mut joined) = (Vec::new(), Vec::new(), 0);
    for _ in 0..4 {
        for (runtime, tasks) in [(&first, &mut going), (&second, &mut staying)] {
            tasks.push(runtime.spawn(limiter.acquire_owned()));
            joined += 1;
            runtime.block_on(async {
                while limiter.waiting() < joined {
                    tokio::task::yield_now().await;
                }
            });
        }
    }
    drop(first);
    assert_eq!(limiter.waiting(), 4, "the tasks are gone, and their places");
    second.block_on(async {
        for left in [3, 2, 1, 0] {
            pass(&clock, 1).await;
            assert_eq!(limiter.waiting(), left);
        }
        for waiter in staying {
            waiter.await.unwrap();
        }
    });
    assert_eq!(limiter.available(), 0);
    for task in going {
        assert!(task.is_finished());
    }
}

#[test]
fn a_timer_lasts_for_longer_than_its_longest_sleep() {
    const DAY: u32 = 86_400;
    let clock = Mute::default();
    let quota = Quota::new(1, 10 * DAY * SECOND).burst(1).initial(0);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let runtime = paused();
    let mut waiter = Box::pin(limiter.acquire_n_owned(1));
    let hooked = Hooked::new();
    runtime.block_on(async {
        // Once, and never again.
        assert!(poll(&mut waiter, &hooked.waker()).is_pending());
        for _ in 0..11 {
            assert_eq!(hooked.wakes(), usize::from(clock.now() >= quota.period().as_nanos() as u64));
            clock.advance(DAY * SECOND);
            tokio::time::sleep(DAY * SECOND).await;
        }
    });
    assert!(is_granted(&mut waiter));
}

#[test]
fn a_queue_without_any_runtime_goes_on_with_the_next_that_comes() {
    let (limiter, clock) = mute_limiter(10);
    let first = paused();
    let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(limiter.acquire_n_owned(1))).collect();
    for waiter in &mut waiters {
        assert!(poll_on(&first, waiter).is_pending());
    }
    // Nobody drives it any more, and nobody is left to bring another.
    drop(first);
    assert_eq!(limiter.waiting(), 3);
    clock.advance(SECOND);
    // The last one is polled elsewhere; those before it are served first.
    let second = paused();
    assert!(poll_on(&second, &mut waiters[2]).is_pending());
    assert_eq!(limiter.waiting(), 2);
    second.block_on(async {
        pass(&clock, 1).await;
        assert_eq!(limiter.waiting(), 1, "timed by a runtime on which the head never was");
        pass(&clock, 1).await;
        for waiter in waiters {
            waiter.await.unwrap();
        }
    });
    // And once more, with a newcomer.
    let mut left = Box::pin(limiter.acquire_n_owned(1));
    assert!(poll_on(&second, &mut left).is_pending());
    drop(second);
    let third = paused();
    third.block_on(async {
        let newcomer = tokio::spawn(limiter.acquire_owned());
        pass(&clock, 2).await;
        newcomer.await.unwrap();
    });
    assert!(is_granted(&mut left));
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}
