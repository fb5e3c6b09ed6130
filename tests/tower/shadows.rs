//! Policies that are tried on real traffic, beside others that are in force.

use std::{pin::pin, task::Poll};

use tidegate::tower::{HeaderStyle, LimitLayer, Policy};
use tower::ServiceExt;

use super::{SECOND, get, limiter, poll, rig, user, users};

#[test]
fn a_shadow_admits_and_counts() {
    let (limiter, _) = limiter("1/h");
    let layer = LimitLayer::new().policy(Policy::global("all", &limiter).shadow());
    let rig = rig(&layer);
    assert!((0..5).all(|_| rig.status("/", None) == 200));
    let counts = layer.counts();
    assert_eq!((counts.admitted, counts.shadowed, counts.refused, rig.calls()), (5, 4, 0, 5));
}

#[test]
fn a_shadow_stands_beside_policies_in_force() {
    let (all, clock) = limiter("3/h");
    let users = users("2/h", &clock);
    let layer = LimitLayer::new()
        .policy(Policy::keyed("user", &users, user).shadow())
        .policy(Policy::global("all", &all))
        .headers(HeaderStyle::Draft10);
    let rig = rig(&layer);
    assert_eq!([(); 4].map(|()| rig.status("/", Some("ada"))), [200, 200, 200, 429]);
    let counts = layer.counts();
    assert_eq!((counts.admitted, counts.shadowed, counts.refused), (3, 1, 1));
    // What another policy refuses takes nothing of the shadow.
    assert_eq!(rig.status("/", Some("grace")), 429);
    assert_eq!((users.level("ada").available(), users.level("grace").available()), (0, 2));
    // Clients are told of what is in force alone.
    let response = rig.send(get("/", Some("ada")));
    assert_eq!(response.headers()["ratelimit-policy"], "\"all\";q=3;w=3600");
}

#[test]
fn a_shadow_counts_what_it_would_refuse_for_other_reasons() {
    let (fewer, clock) = limiter("1/h");
    let users = users("2/h", &clock);
    let layer = LimitLayer::new()
        .policy(Policy::global("fewer", &fewer).shadow())
        .policy(Policy::keyed("user", &users, user).shadow());
    let rig = rig(&layer);
    // Without a key, and with a function that panics.
    assert_eq!([rig.status("/", None), rig.status("/", Some("mallory"))], [200, 200]);
    assert_eq!((layer.counts().admitted, layer.counts().shadowed, fewer.available()), (2, 2, 1));
    assert_eq!(rig.status("/", Some("ada")), 200);
    assert_eq!((layer.counts().shadowed, fewer.available(), users.level("ada").available()), (2, 0, 1));
    // One would refuse, so the other would get its permit back.
    assert_eq!(rig.status("/", Some("ada")), 200);
    assert_eq!((layer.counts().shadowed, users.level("ada").available()), (3, 1));
}

#[test]
fn a_shadow_neither_waits_nor_keeps_others_from_waiting() {
    let (all, clock) = limiter("1/s burst 1 catch-up 0s");
    let users = users("1/h", &clock);
    let layer = LimitLayer::new()
        .policy(Policy::keyed("user", &users, user).shadow())
        .policy(Policy::global("all", &all))
        .wait_up_to(9 * SECOND);
    let rig = rig(&layer);
    assert_eq!(rig.status("/", Some("ada")), 200);
    let mut waiting = pin!(rig.service.clone().oneshot(get("/", Some("ada"))));
    assert!(poll(&mut waiting).is_pending());
    assert_eq!(layer.counts().shadowed, 0, "it is not admitted yet");
    clock.advance(SECOND);
    let Poll::Ready(response) = poll(&mut waiting) else { panic!("it was its turn") };
    assert_eq!((response.unwrap().status().as_u16(), layer.counts().shadowed), (200, 1));
}
