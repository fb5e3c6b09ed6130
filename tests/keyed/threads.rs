//! Threads that use the same keys.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use tidegate::{Keyed, ManualClock, Quota};

#[test]
fn each_permit_goes_once() {
    let clock = ManualClock::new();
    let users = Keyed::<u64>::builder(Quota::per_hour(100)).clock(clock).build().unwrap();
    let admitted: Vec<AtomicU64> = (0..50).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        for seed in 0..4_u64 {
            let (users, admitted) = (&users, &admitted);
            scope.spawn(move || {
                let mut x = seed + 1;
                for i in 0..10_000 {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let key = (x >> 33) % 50;
                    // Now and then through a limiter of its own.
                    let took = if i % 97 == 0 {
                        users.limiter(&key).unwrap().try_acquire().is_ok()
                    } else {
                        users.try_acquire(&key).is_ok()
                    };
                    admitted[key as usize].fetch_add(u64::from(took), Ordering::Relaxed);
                }
            });
        }
    });
    let admitted: Vec<u64> = admitted.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    assert_eq!(admitted, [100; 50]);
}

#[test]
fn the_bound_holds_while_the_quota_changes_and_keys_come_and_go() {
    let clock = ManualClock::new();
    let users = Keyed::<u64>::builder(Quota::per_hour(100)).max_keys(5_000).clock(clock).build().unwrap();
    // Before the quota changes: a new key begins with the burst of that time.
    users.try_acquire(&7).unwrap();
    let admitted = AtomicU64::new(1);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    admitted.fetch_add(u64::from(users.try_acquire(&7).is_ok()), Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| (0..40).for_each(|i| users.set_quota(Quota::per_hour(100 + i % 2)).unwrap()));
        scope.spawn(|| (1_000..3_000).for_each(|key| users.try_acquire(&key).unwrap()));
    });
    assert_eq!(admitted.into_inner(), 100);
}

#[test]
fn threads_wait_for_their_keys() {
    let users: Keyed<u64> = Keyed::new(Quota::per_second(100).with_burst(1));
    let start = std::time::Instant::now();
    thread::scope(|scope| {
        for key in 0..4 {
            let users = &users;
            scope.spawn(move || (0..5).for_each(|_| users.blocking_acquire_n(&key, 1).unwrap()));
        }
    });
    // Four waits of 10 ms for each key, at the same time, but for the catch-up.
    assert!(start.elapsed() >= Duration::from_millis(30), "{:?}", start.elapsed());
}
