//! Keys of several classes, such as plans.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tidegate::{Denied, Keyed, KeyedBuilder, ManualClock, Quota, QuotaError, WhenFull};

use super::{SECOND, poll};

/// Keys below 1,000 are of the class that the second value tells; others are of the class of their thousands.
fn plans(quotas: &[&str]) -> (KeyedBuilder<u64>, Arc<AtomicUsize>) {
    let quotas: Vec<Quota> = quotas.iter().map(|quota| quota.parse().unwrap()).collect();
    let class = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&class);
    let class_of =
        move |key: &u64| if *key < 1_000 { told.load(Ordering::Relaxed) } else { *key as usize / 1_000 };
    (Keyed::builder(quotas[0]).classes(quotas[1..].iter().copied(), class_of), class)
}

#[test]
fn each_class_has_its_quota_in_one_table() {
    let (builder, _) = plans(&["2/h", "5/h", "0/s", "unlimited"]);
    let users = builder.max_keys(100).build().unwrap();
    let admitted = |user: u64| (0..20).filter(|_| users.try_acquire(&user).is_ok()).count();
    assert_eq!([7, 1_007, 2_007, 3_007].map(admitted), [2, 5, 0, 20]);
    // They share the room.
    for user in 1_100..1_300 {
        users.try_acquire(&user).unwrap();
    }
    assert_eq!(users.len(), 100);
    assert!(format!("{users:?}").contains("5/h"));
}

#[test]
fn a_waiter_follows_the_class_of_its_key() {
    let clock = ManualClock::new();
    let (builder, class) = plans(&["1/h burst 1", "1/s burst 1 catch-up 0s"]);
    let users = builder.clock(clock.clone()).build().unwrap();
    users.try_acquire(&7).unwrap();
    let mut waiting = pin!(users.acquire(&7));
    assert!(poll(waiting.as_mut()).is_pending());
    class.store(1, Ordering::Relaxed);
    // The next call for the key finds the change. It stays behind the waiter.
    assert_eq!(users.try_acquire(&7).unwrap_err().retry_after(), Some(2 * SECOND));
    clock.advance(SECOND);
    assert!(poll(waiting.as_mut()).is_ready());
}

#[test]
fn a_change_of_class_that_grants_waiters_wakes_them_without_a_lock() {
    struct CallsBack(Keyed<u64, std::hash::RandomState, ManualClock>, AtomicUsize);
    impl std::task::Wake for CallsBack {
        fn wake(self: Arc<Self>) {
            // It would deadlock under the lock of the shard, or of changes.
            self.0.retain(|_, _| true);
            self.0.set_class_quota(0, Quota::per_hour(3)).unwrap();
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (builder, class) = plans(&["1/h burst 1", "unlimited"]);
    let users = builder.clock(ManualClock::new()).build().unwrap();
    let waker = Arc::new(CallsBack(users.clone(), AtomicUsize::new(0)));
    let mut waits = vec![];
    for user in [1, 2] {
        users.try_acquire(&user).unwrap();
        let limiter = users.limiter(&user).unwrap();
        let mut wait = Box::pin(limiter.acquire_n_owned(1));
        let task = waker.clone().into();
        assert!(wait.as_mut().poll(&mut std::task::Context::from_waker(&task)).is_pending());
        waits.push(wait);
    }
    class.store(1, Ordering::Relaxed);
    users.try_acquire(&1).unwrap();
    assert_eq!(waker.1.load(Ordering::Relaxed), 1);
    class.store(0, Ordering::Relaxed);
    users.set_quota(Quota::UNLIMITED).unwrap();
    assert_eq!(waker.1.load(Ordering::Relaxed), 2);
}

#[test]
fn a_quota_of_its_own_outlives_the_class() {
    let (builder, class) = plans(&["2/h", "5/h"]);
    let users = builder.build().unwrap();
    users.limiter(&7).unwrap().set_quota(Quota::per_hour(100)).unwrap();
    class.store(1, Ordering::Relaxed);
    users.set_class_quota(1, Quota::per_hour(6)).unwrap();
    assert_eq!(users.quota_of(&7), Quota::per_hour(100));
    assert!(users.try_acquire_n(&7, 2).is_ok() && users.level(&7).available() == 0);
    // The end of the exception.
    users.limiter(&7).unwrap().set_quota(users.class_quota(1).unwrap()).unwrap();
    users.set_class_quota(1, Quota::per_hour(8)).unwrap();
    assert_eq!(users.quota_of(&7), Quota::per_hour(8));
}

#[test]
fn a_request_above_the_burst_of_the_class_may_fit_a_quota_of_its_own() {
    let clock = ManualClock::new();
    let users = Keyed::<u64>::builder(Quota::per_second(2)).clock(clock.clone()).build().unwrap();
    users.limiter(&7).unwrap().set_quota(Quota::per_second(100)).unwrap();
    clock.advance(SECOND);
    assert!(users.try_acquire_n(&7, 50).is_ok());
    let _held = users.limiter(&7).unwrap();
    assert!(users.try_acquire_n(&7, 50).is_ok());
    assert!(users.try_acquire_n(&8, 50).unwrap_err().is_never());
}

#[test]
fn a_class_that_is_none_panics_and_breaks_nothing() {
    let (builder, class) = plans(&["2/h", "5/h"]);
    let users = builder.build().unwrap();
    users.try_acquire(&7).unwrap();
    class.store(2, Ordering::Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| users.try_acquire(&7))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| users.level(&7))).is_err());
    class.store(0, Ordering::Relaxed);
    assert_eq!(users.level(&7).available(), 1);
    assert_eq!(
        users.set_class_quota(2, Quota::per_hour(1)),
        Err(QuotaError::NoSuchClass { class: 2, classes: 2 })
    );
    assert_eq!(users.class_quota(2), None);
}

#[test]
fn the_number_and_depth_of_classes_is_bounded() {
    let (builder, _) = plans(&["1/h"; 7]);
    assert!(builder.build().is_ok());
    let (builder, _) = plans(&["1/h"; 8]);
    let error = builder.build().unwrap_err();
    assert_eq!(error, QuotaError::TooManyClasses { classes: 8, max: 7 });
    assert_eq!(error.to_string(), "8 classes of keys, with class 0, are too many: write at most 7");
    // A bucket that takes longer to fill than the word of a key can tell.
    let deep = |burst: u64| Keyed::<u64>::builder(Quota::per_second(1).with_burst(burst)).build();
    let Err(QuotaError::BurstTooDeep { max, .. }) = deep(2_000_000_000) else { panic!("it fits") };
    assert!(deep(max).is_ok() && deep(max + 1).is_err(), "{max}");
    let users = deep(max).unwrap();
    assert!(users.try_acquire_n(&7, max).is_ok() && users.try_acquire(&7).is_err());
}

#[test]
fn the_function_may_use_the_table() {
    let first: Arc<std::sync::OnceLock<Keyed<u64>>> = Arc::default();
    let table = Arc::clone(&first);
    let class_of = move |key: &u64| match table.get() {
        // Other keys are of class 1 while key 0 is in the table.
        Some(table) if *key > 0 => table.len().min(1),
        _ => 0,
    };
    let users = Keyed::builder(Quota::per_hour(1)).classes([Quota::per_hour(9)], class_of).build().unwrap();
    first.set(users.clone()).unwrap();
    assert_eq!(users.level(&5).available(), 1);
    users.try_acquire(&0).unwrap();
    assert_eq!(users.level(&5).available(), 9);
}

#[test]
fn new_keys_of_a_class_share_its_bucket() {
    let (builder, _) = plans(&["1/h", "3/h"]);
    let users = builder.max_keys(1).when_full(WhenFull::ShareOverflow).build().unwrap();
    users.try_acquire(&7).unwrap();
    let admitted = |users: &Keyed<u64>, class: u64| {
        (1..9).filter(|user| users.try_acquire(&(class * 1_000 + user)).is_ok()).count()
    };
    assert_eq!(admitted(&users, 1), 3);
    assert!(users.try_acquire(&8).is_ok() && users.try_acquire(&9).is_err());
    assert_eq!(users.limiter(&9).unwrap_err(), Denied::TooManyKeys);
}

/// The class changes to and fro, on words and on limiters: nobody gets more than the largest burst.
#[test]
fn the_bound_holds_while_the_class_changes() {
    let clock = ManualClock::new();
    let (builder, class) = plans(&["100/h", "60/h", "80/h"]);
    let users = builder.clock(clock).build().unwrap();
    let admitted: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let (users, class) = (&users, &class);
                scope.spawn(move || {
                    let mut admitted = 0;
                    for i in 0..5_000 {
                        class.store((i + thread) % 3, Ordering::Relaxed);
                        let held = (i % 7 == 0).then(|| users.limiter(&7).unwrap());
                        admitted += usize::from(users.try_acquire(&7).is_ok());
                        drop(held);
                    }
                    admitted
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // A bucket is full of the new class only before its first call.
    assert!((60..=100).contains(&admitted), "{admitted}");
    class.store(0, Ordering::Relaxed);
    assert_eq!(users.quota_of(&7), Quota::per_hour(100));
}
