//! Waiters that move from task to task, thread to thread, runtime to runtime.

use super::*;

#[test]
fn a_waiter_keeps_its_place_from_thread_to_thread() {
    let (limiter, clock) = limiter(10);
    let mut ahead = queued(&limiter, 1);
    let mut moving: Waiter = Box::pin(limiter.acquire_n_owned(1));
    let hooked: Vec<_> = (0..4).map(|_| Hooked::new()).collect();
    let mut behind = None;
    for hooked in &hooked {
        let waker = hooked.waker();
        moving = thread::spawn(move || {
            assert!(poll(&mut moving, &waker).is_pending());
            moving
        })
        .join()
        .unwrap();
        behind.get_or_insert_with(|| queued(&limiter, 1));
    }
    clock.advance(SECOND);
    assert!(is_granted(&mut ahead));
    clock.advance(SECOND);
    // The task that had it last is woken, and no other; it may be polled by yet another.
    assert!(hooked.iter().map(Hooked::wakes).eq([0, 0, 0, 1]));
    assert!(hooked.iter().all(|hooked| hooked.alive() == 0));
    assert!(thread::spawn(move || is_granted(&mut moving)).join().unwrap());
    // Dropped on another thread, granted and not granted.
    let (granted, mut last) = (behind.unwrap(), queued(&limiter, 1));
    let waiting = queued(&limiter, 1);
    clock.advance(SECOND);
    thread::spawn(move || drop((granted, waiting))).join().unwrap();
    assert!(is_granted(&mut last));
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_keeps_its_place_from_task_to_task() {
    let limiter = RateLimiter::with_clock(
        Quota::per_second(1).with_initial(0).with_burst(1),
        tidegate::TokioClock::new(),
    );
    let start = tokio::time::Instant::now();
    let mut moving = Box::pin(limiter.acquire_n_owned(1));
    for _ in 0..3 {
        // Each task ends after one look; what is left of it must not be woken in place of the last.
        let (send, receive) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            assert!(futures_util::poll!(moving.as_mut()).is_pending());
            assert!(send.send(moving).is_ok());
        })
        .await
        .unwrap();
        moving = receive.await.unwrap();
    }
    let behind = tokio::spawn(limiter.acquire_owned());
    tokio::spawn(async move { moving.await.unwrap() }).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 1);
    behind.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 2);
}
