//! Requests that wait, and how many may.

use std::{pin::pin, task::Poll, time::Duration};

use tidegate::{
    Denied,
    tower::{LimitLayer, Policy, Reason},
};
use tower::ServiceExt;

use super::{SECOND, get, limiter, poll, rig, user, users};

#[test]
fn requests_wait_for_all_policies_in_order() {
    let (all, clock) = limiter("1/s burst 1 catch-up 0s");
    let users = users("10/s burst 2 catch-up 0s", &clock);
    let layer = LimitLayer::new()
        .policy(Policy::keyed("user", &users, user))
        .policy(Policy::global("all", &all))
        .wait_up_to(2 * SECOND);
    let rig = rig(&layer);
    assert_eq!(rig.status("/", Some("ada")), 200);
    let send = |name| rig.service.clone().oneshot(get("/", Some(name)));
    let (mut first, mut second) = (pin!(send("ada")), pin!(send("grace")));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    // The third would wait for three seconds.
    let response = rig.send(get("/", Some("alan")));
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "1"));
    assert_eq!(rig.calls(), 1);

    clock.advance(SECOND);
    let Poll::Ready(response) = poll(&mut first) else { panic!("it was its turn") };
    assert_eq!(response.unwrap().status(), 200);
    assert!(poll(&mut second).is_pending());
    clock.advance(SECOND);
    let Poll::Ready(response) = poll(&mut second) else { panic!("it was its turn") };
    assert_eq!(response.unwrap().status(), 200);
    assert_eq!((rig.calls(), layer.counts().admitted, layer.counts().refused), (3, 3, 1));
}

#[test]
fn a_request_that_is_dropped_while_it_waits_costs_nothing() {
    let (all, clock) = limiter("1/s burst 1");
    let users = users("5/s", &clock);
    let layer = LimitLayer::new()
        .policy(Policy::keyed("user", &users, user))
        .policy(Policy::global("all", &all))
        .wait_up_to(9 * SECOND);
    let rig = rig(&layer);
    assert_eq!(rig.status("/", Some("ada")), 200);
    {
        let mut waiting = pin!(rig.service.clone().oneshot(get("/", Some("grace"))));
        assert!(poll(&mut waiting).is_pending());
        assert_eq!(all.waiting(), 1);
    }
    // One that is never polled takes nothing either.
    drop(rig.service.clone().oneshot(get("/", Some("grace"))));
    assert_eq!((all.waiting(), users.level("grace").available(), rig.calls()), (0, 5, 1));
    clock.advance(SECOND);
    assert_eq!(rig.status("/", Some("alan")), 200);
}

#[test]
fn a_bound_on_waiters_sheds_load() {
    let (all, _) = limiter("1/h");
    all.set_max_waiters(1);
    let layer = LimitLayer::new().policy(Policy::global("all", &all)).wait_up_to(Duration::MAX);
    let rig = rig(&layer);
    assert_eq!(rig.status("/", None), 200);
    let mut waiting = pin!(rig.service.clone().oneshot(get("/", None)));
    assert!(poll(&mut waiting).is_pending());
    assert_eq!(rig.status("/", None), 429);
}

#[test]
fn the_waiters_of_a_whole_layer_are_bounded() {
    let (_, clock) = limiter("1/s");
    let users = users("1/s burst 1 catch-up 0s", &clock);
    let layer = LimitLayer::new()
        .policy(Policy::keyed("user", &users, user))
        .wait_up_to(9 * SECOND)
        .max_waiting(2)
        .on_refusal(|refusal, _| {
            let Reason::Denied(Denied::QueueFull(full)) = refusal.reason() else { panic!("{refusal}") };
            assert_eq!(refusal.policy(), "user");
            http::Response::new(format!("{} {}", full.max_waiters(), full.retry_after().as_secs()))
        });
    let rig = rig(&layer);
    for name in ["ada", "grace", "alan"] {
        assert_eq!(rig.status("/", Some(name)), 200);
    }
    let send = |name| rig.service.clone().oneshot(get("/", Some(name)));
    let mut first = pin!(send("ada"));
    let mut second = Box::pin(send("grace"));
    assert!(poll(&mut first).is_pending() && poll(&mut second.as_mut()).is_pending());
    // The queue of each key is short, but there are two in all.
    assert_eq!(rig.send(get("/", Some("alan"))).into_body(), "2 1");
    // Those that need not wait are admitted.
    assert_eq!(rig.status("/", Some("edsger")), 200);
    // A request that is dropped makes room, and one that is served does.
    drop(second);
    let mut third = pin!(send("alan"));
    assert!(poll(&mut third).is_pending());
    assert_eq!(rig.send(get("/", Some("grace"))).into_body(), "2 1");
    clock.advance(SECOND);
    assert!(poll(&mut first).is_ready());
    assert_eq!(rig.status("/", Some("edsger")), 200);
    let mut fourth = pin!(send("edsger"));
    assert!(poll(&mut fourth).is_pending());
    assert_eq!((layer.counts().admitted, layer.counts().refused), (6, 2));
}

#[test]
fn a_full_waiting_room_is_429_with_retry_after() {
    let (all, _) = limiter("1/s burst 1");
    let layer = LimitLayer::new().policy(Policy::global("all", &all)).wait_up_to(9 * SECOND).max_waiting(0);
    let rig = rig(&layer);
    assert_eq!(rig.status("/", None), 200);
    let response = rig.send(get("/", None));
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "1"));
}
