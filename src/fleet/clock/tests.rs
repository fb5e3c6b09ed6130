//! The clock stands at its cover, wakes the member, and goes on without a jump.

use core::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::task::Wake;

use super::{Cover, LeaseClock, Mail};
use crate::{Clock, ManualClock};

#[derive(Default)]
struct Bell(AtomicU64);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn rings(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn mail() -> Arc<Mail> {
    Arc::new(Mail::new(Arc::default()))
}

fn clock() -> (LeaseClock<Arc<ManualClock>>, ManualClock, Arc<Cover>) {
    let base = ManualClock::starting_at(1_000);
    let cover = Cover::new(base.now());
    (LeaseClock::new(Arc::new(base.clone()), Arc::clone(&cover), mail(), Duration::ZERO), base, cover)
}

fn is_notified(cover: &Cover) -> bool {
    pin!(cover.wanted()).poll_once()
}

trait PollOnce: Future<Output = ()> {
    fn poll_once(self: core::pin::Pin<&mut Self>) -> bool {
        self.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }
}

impl<F: Future<Output = ()>> PollOnce for F {}

#[test]
fn it_stands_at_the_cover_and_goes_on_from_there() {
    let (clock, base, cover) = clock();
    base.set(5_000);
    assert_eq!((clock.now(), cover.reading(base.now())), (1_000, (1_000, 1_000)));
    assert_eq!(cover.go_on(base.now()), (1_000, 1_000));
    cover.extend(1_100);
    base.set(5_060);
    assert_eq!((clock.now(), cover.reading(base.now())), (1_060, (1_060, 1_100)));
    // It has not stood: it runs on.
    assert_eq!(cover.go_on(base.now()), (1_060, 1_100));
    cover.extend(1_200);
    base.set(5_150);
    assert_eq!(clock.now(), 1_150);
    base.set(9_000);
    assert_eq!(clock.now(), 1_200);
}

#[test]
fn a_reading_while_it_stands_wakes_the_member_once() {
    let (clock, base, cover) = clock();
    assert!(!is_notified(&cover));
    clock.now();
    clock.now();
    assert!(is_notified(&cover) && cover.take_wanted());
    assert!(!is_notified(&cover) && !cover.take_wanted());
    // The member itself wants nothing.
    Cover::quietly(|| clock.now());
    assert!(!is_notified(&cover) && !cover.take_wanted());
    clock.now();
    assert!(is_notified(&cover) && cover.take_wanted());
    // Nor does anybody while the clock runs.
    cover.go_on(base.now());
    cover.extend(2_000);
    clock.now();
    assert!(!is_notified(&cover) && !cover.take_wanted());
}

#[test]
fn an_alarm_beyond_the_cover_wakes_the_member_and_rings_when_the_cover_moves() {
    let (clock, base, cover) = clock();
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    assert!(clock.wake_at(1_500, &waker));
    assert!(is_notified(&cover));
    // The same alarm again is no news.
    assert!(clock.wake_at(1_600, &waker));
    assert!(!is_notified(&cover));
    cover.extend(1_200);
    assert_eq!(bell.rings(), 1);
    // Within the cover it is an alarm of the base clock, by the time for which the clock has stood.
    base.set(1_200);
    base.set(3_200);
    cover.go_on(base.now());
    cover.extend(1_400);
    assert!(clock.wake_at(1_300, &waker));
    base.set(3_299);
    assert_eq!(bell.rings(), 1);
    base.set(3_300);
    assert_eq!((bell.rings(), clock.now()), (2, 1_300));
}

/// No thread ever reads more than has been covered.
#[test]
fn threads_never_read_beyond_the_cover() {
    let base = Arc::new(crate::QuantaClock::new());
    let cover = Cover::new(base.now());
    let clock = LeaseClock::new(Arc::clone(&base), Arc::clone(&cover), mail(), Duration::ZERO);
    let start = clock.now();
    let covered = AtomicU64::new(start);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while done.load(Ordering::Acquire) == 0 {
                    let reading = clock.now();
                    // Stored before the cover that the reading may have seen.
                    assert!(reading <= covered.load(Ordering::Acquire));
                }
            });
        }
        let mut total = 0;
        for i in 0..20_000_u64 {
            let (_, until_ns) = cover.go_on(base.now());
            total += i % 50;
            covered.store(start + total, Ordering::Release);
            cover.extend(until_ns + i % 50);
        }
        assert!(clock.now() <= start + total);
        done.store(1, Ordering::Release);
    });
}
