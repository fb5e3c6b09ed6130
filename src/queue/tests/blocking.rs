//! What a blocked thread does next, and what it leaves behind.

use core::{pin::Pin, task::Waker, time::Duration};
use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread,
};

use super::{
    alarms::{Dial, SECOND, queue},
    giving_back::Fragile,
    waiters::Counter,
};
use crate::{
    Quota,
    gcra::Scale,
    queue::{
        WaitQueue,
        blocking::{Waiting, Watch},
        hand_off::By,
        inner::{Place, Request},
    },
};

/// A thread that waits for one permit, by hand.
struct Blocked {
    place: Pin<Box<Place>>,
    woken: Arc<Counter>,
    waker: Waker,
}

impl Blocked {
    fn new(queue: &WaitQueue<Dial>, max_wait: Option<Duration>) -> Self {
        let woken = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&woken));
        let place = Box::pin(queue.place());
        let request = Request { permits: 1.into(), max_wait, thread: true, gate: None };
        let now_ns = queue.clock.0.load(Relaxed);
        queue.enter(place.as_ref(), request, &waker, now_ns).unwrap();
        Self { place, woken, waker }
    }

    fn waiting<'a>(&'a self, queue: &'a WaitQueue<Dial>) -> Waiting<'a, Dial> {
        Waiting { queue, place: self.place.as_ref(), waker: &self.waker }
    }
}

fn one_a_second() -> Arc<WaitQueue<Dial>> {
    queue(Quota::per_second(1).burst(5).initial(0))
}

#[test]
fn one_thread_keeps_the_time_and_the_others_sleep() {
    let queue = one_a_second();
    let first = Blocked::new(&queue, None);
    let second = Blocked::new(&queue, None);
    let hasty = Blocked::new(&queue, Some(Duration::from_secs(9)));
    let keeper = first.waiting(&queue);
    let others = [second.waiting(&queue), hasty.waiting(&queue)];
    // The alarm is set, for whoever asks first.
    assert_eq!(queue.watch(&keeper), Watch::ParkUntil(SECOND));
    assert_eq!(
        others.each_ref().map(|other| queue.watch(other)),
        [Watch::Park, Watch::ParkUntil(9 * SECOND)]
    );
    queue.clock.0.store(SECOND - 1, Relaxed);
    assert_eq!(queue.watch(&keeper), Watch::ParkUntil(SECOND));
    queue.clock.0.store(SECOND, Relaxed);
    assert_eq!(queue.watch(&keeper), Watch::Drive, "it is time");
    assert_eq!(queue.watch(&others[0]), Watch::Park);
    queue.drive(By::Other);
    assert_eq!((queue.watch(&keeper), queue.waiting()), (Watch::Over, 2));
    // The next one takes over, and goes by the alarm.
    drop(keeper);
    assert!(second.woken.count() > 0);
    assert_eq!(queue.watch(&others[0]), Watch::ParkUntil(2 * SECOND));
    // A clock with alarms of its own needs no keeper.
    queue.inner.lock().rings = true;
    assert_eq!(
        others.each_ref().map(|other| queue.watch(other)),
        [Watch::Park, Watch::ParkUntil(9 * SECOND)]
    );
    queue.inner.lock().rings = false;
    let [next, last] = others;
    queue.leave(next.place);
    drop(next);
    assert_eq!(queue.watch(&last), Watch::ParkUntil(2 * SECOND));
    // The longest wait is over, whoever keeps the time.
    queue.clock.0.store(9 * SECOND, Relaxed);
    queue.inner.lock().recheck = false;
    assert_eq!(queue.watch(&last), Watch::Drive);
    assert!(queue.inner.lock().recheck);
    queue.leave(last.place);
}

/// No later than its own longest wait.
#[test]
fn a_keeper_looks_after_itself() {
    let queue = one_a_second();
    let hasty = Blocked::new(&queue, Some(Duration::from_secs(1)));
    let waiting = hasty.waiting(&queue);
    assert_eq!(queue.watch(&waiting), Watch::ParkUntil(SECOND));
    queue.inner.lock().armed = Some(3 * SECOND);
    assert_eq!(queue.watch(&waiting), Watch::ParkUntil(SECOND));
    queue.inner.lock().armed = None;
    assert_eq!(queue.watch(&waiting), Watch::Drive, "nobody has set an alarm");
    queue.leave(waiting.place);
}

/// With alarms of the clock's own, nobody relied on the thread, and they stay as they are.
#[test]
fn who_leaves_takes_its_own_alarm_along() {
    for (rings, armed) in [(false, None), (true, Some(SECOND))] {
        let queue = one_a_second();
        let thread = Blocked::new(&queue, None);
        let waiting = thread.waiting(&queue);
        assert_eq!(queue.watch(&waiting), Watch::ParkUntil(SECOND));
        {
            let mut inner = queue.inner.lock();
            inner.remove(waiting.place);
            (inner.rings, inner.armed) = (rings, Some(SECOND));
        }
        drop(waiting);
        let inner = queue.inner.lock();
        assert!(inner.keeper.is_none());
        assert_eq!(inner.armed, armed);
    }
}

/// Wherever it panics.
#[test]
fn a_thread_whose_clock_panics_is_out_of_the_queue() {
    let quota = Quota::per_second(1).initial(0);
    for readings in 1..=5 {
        let queue = WaitQueue::new(quota, Scale::new(&quota).unwrap(), Fragile::default());
        queue.clock.0.store(readings, Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| queue.wait_blocking(1.into(), None))).is_err());
        assert_eq!(queue.clock.0.load(Relaxed), 0, "it panicked for another reason");
        assert_eq!(queue.waiting(), 0);
        assert!(queue.inner.lock().keeper.is_none());
    }
}

/// Waits when its thread goes down, and says when it has.
struct Late(Arc<WaitQueue<Dial>>, Arc<AtomicBool>);

impl Drop for Late {
    fn drop(&mut self) {
        self.0.wait_blocking(1.into(), None).unwrap();
        self.1.store(true, Release);
    }
}

/// In whatever order that of the thread is dropped.
#[test]
fn a_thread_that_is_going_down_can_wait() {
    std::thread_local!(static LATE: RefCell<Option<Late>> = const { RefCell::new(None) });
    for late_first in [true, false] {
        let (queue, over) = (one_a_second(), Arc::new(AtomicBool::new(false)));
        let late = Late(Arc::clone(&queue), Arc::clone(&over));
        let thread = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                if late_first {
                    LATE.set(Some(late));
                    queue.wait_blocking(1.into(), None).unwrap();
                } else {
                    queue.wait_blocking(1.into(), None).unwrap();
                    LATE.set(Some(late));
                }
            }
        });
        // A thread counts as joined before it has gone down.
        while !over.load(Acquire) {
            // To the time that the thread waits for, whichever of its calls it is in.
            let armed = queue.inner.lock().armed;
            if let Some(due_ns) = armed {
                queue.clock.0.fetch_max(due_ns, Relaxed);
                queue.drive(By::Other);
            }
            thread::yield_now();
        }
        thread.join().unwrap();
        assert_eq!((queue.waiting(), queue.available()), (0, 0));
        assert_eq!(queue.clock.0.load(Relaxed), 2 * SECOND);
    }
}
