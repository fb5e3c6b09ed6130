//! Iterators that block their thread.

use std::{sync::mpsc, thread};

use tidegate::PacedIterExt;

use super::{Limiter, SECOND, seconds};

/// Lets other threads run until one waits.
fn until_one_waits(limiter: &Limiter) {
    while limiter.waiting() != 1 {
        thread::yield_now();
    }
}

#[test]
fn a_thread_waits_for_each_item() {
    let (limiter, clock) = seconds(1);
    let (sender, items) = mpsc::channel();
    thread::scope(|scope| {
        let paced = ["a", "b", "c"].into_iter().blocking_paced_by(&limiter);
        assert_eq!(paced.size_hint(), (3, Some(3)));
        scope.spawn(move || paced.for_each(|item| sender.send(item).unwrap()));
        assert_eq!(items.recv(), Ok("a"));
        for item in ["b", "c"] {
            until_one_waits(&limiter);
            assert!(items.try_recv().is_err());
            clock.advance(SECOND);
            assert_eq!(items.recv(), Ok(item));
        }
        assert!(items.recv().is_err(), "the end takes no permit");
    });
    clock.advance(SECOND);
    assert_eq!(limiter.available(), 1);
}

#[test]
fn a_thread_pays_for_a_heavy_item_in_parts() {
    let (limiter, clock) = seconds(2);
    let (sender, items) = mpsc::channel();
    thread::scope(|scope| {
        let paced = [5_u64, 0].into_iter().blocking_paced_by(&limiter).weighing(|&weight| weight);
        scope.spawn(move || paced.for_each(|item| sender.send(item).unwrap()));
        // Two permits were there. The next part is of two.
        for seconds in [2, 1] {
            until_one_waits(&limiter);
            assert!(items.try_recv().is_err());
            clock.advance(seconds * SECOND);
        }
        assert_eq!(items.recv(), Ok(5));
        assert_eq!(items.recv(), Ok(0));
    });
    assert_eq!(limiter.available(), 0);
}

#[test]
fn a_thread_by_a_closed_limiter_panics() {
    let (limiter, _) = seconds(1);
    let mut paced = (0..3).blocking_paced_by(&limiter);
    assert_eq!(paced.next(), Some(0));
    thread::scope(|scope| {
        let thread = scope.spawn(move || paced.next());
        until_one_waits(&limiter);
        limiter.close();
        let panic = *thread.join().unwrap_err().downcast::<&str>().unwrap();
        assert!(panic.contains("the limiter is closed"), "{panic}");
    });
}

#[cfg(feature = "tokio")]
#[test]
fn an_iterator_panics_inside_a_task() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (limiter, _) = seconds(10);
    let outcome =
        std::panic::catch_unwind(|| runtime.block_on(async { (0..3).blocking_paced_by(&limiter).next() }));
    assert!(outcome.is_err());
    assert_eq!(limiter.available(), 10);
}
