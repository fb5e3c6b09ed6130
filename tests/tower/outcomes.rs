//! Policies that give permits back by the response.

use tidegate::{
    ManualClock,
    tower::{LimitLayer, Policy},
};

use super::{limiter, rig, user, users};

#[test]
fn requests_are_limited_by_their_outcome() {
    let clock = ManualClock::new();
    let users = users("2/h", &clock);
    let layer = LimitLayer::new().policy(
        Policy::keyed("failed logins", &users, user).refund_if(|response| response.status.is_success()),
    );
    let rig = rig(&layer);
    assert!((0..10).all(|_| rig.status("/200", Some("ada")) == 200));
    assert_eq!([(); 3].map(|()| rig.status("/401", Some("ada"))), [401, 401, 429]);
    assert_eq!(rig.status("/200", Some("ada")), 429);
    assert_eq!(layer.counts().refunded, 10);
}

#[test]
fn other_policies_keep_what_they_took() {
    let (all, clock) = limiter("5/h");
    let users = users("2/h", &clock);
    let layer = LimitLayer::new()
        .policy(
            Policy::keyed("failed logins", &users, user).refund_if(|response| response.status.is_success()),
        )
        .policy(Policy::global("all", &all));
    let rig = rig(&layer);
    assert_eq!([(); 4].map(|()| rig.status("/200", Some("ada"))), [200; 4]);
    assert_eq!((users.level("ada").available(), all.available(), layer.counts().refunded), (2, 1, 4));
    assert_eq!(rig.status("/401", Some("ada")), 401);
    assert_eq!((users.level("ada").available(), all.available()), (1, 0));
}

#[test]
fn a_shadow_is_refunded_as_others_are() {
    let clock = ManualClock::new();
    let users = users("2/h", &clock);
    let logins =
        Policy::keyed("failed logins", &users, user).refund_if(|response| response.status.is_success());
    let layer = LimitLayer::new().policy(logins.shadow());
    let rig = rig(&layer);
    assert!((0..5).all(|_| rig.status("/200", Some("ada")) == 200));
    assert_eq!(layer.counts().shadowed, 0);
    assert_eq!([(); 3].map(|()| rig.status("/401", Some("ada"))), [401; 3]);
    assert_eq!((layer.counts().shadowed, layer.counts().refunded), (1, 5));
}
