//! The part of a call for several limits.

use super::*;

#[test]
fn parts_stand_at_the_front_in_the_order_in_which_they_came() {
    let mut rig = Rig::of("10/s burst 3 initial 0");
    let waiter = rig.join(1, NEVER);
    let (first, second) = (rig.join_front(2), rig.join_front(3));
    for (place, due_ns) in [(first, SECOND / 5), (second, SECOND / 2), (waiter, 6 * SECOND / 10)] {
        // By the burst it may be due before the sum has come in.
        let due_ns = START + due_ns;
        assert_eq!(rig.with(place, Core::final_part_due_ns), due_ns);
    }
    assert!(rig.core.is_front(rig.at(first)));
    rig.now_ns += SECOND;
    assert!(rig.with(first, Core::is_final_part_due));
    assert!(!rig.with(second, Core::is_final_part_due), "it is not its turn");
}

/// It is woken once when it comes to be due, and again only after it was not.
#[test]
fn a_part_is_woken_when_it_comes_to_be_due() {
    let mut rig = Rig::of("10/s burst 1 initial 0");
    let final_part = rig.join_front(1);
    let waiter = rig.join(1, NEVER);
    // A batch with room for one: it is full after a wake.
    let woken = |rig: &mut Rig| {
        let mut batch = WakeBatch::new();
        let next = rig.step(|core| core.grant_due(&mut batch));
        let mut room = 0;
        while !batch.is_full() {
            batch.push(Some(Waker::noop().clone()));
            room += 1;
        }
        (next, 32 - room)
    };
    // It goes later than was known, and not later than that.
    let due_ns = START + SECOND / 10;
    assert_eq!(woken(&mut rig), (Next::At(due_ns), 1));
    rig.with(final_part, |core, place| core.keep_final_part(place, due_ns));
    assert_eq!(woken(&mut rig), (Next::At(due_ns), 0));
    rig.now_ns = due_ns;
    assert_eq!(woken(&mut rig), (Next::Unknown, 1));
    assert_eq!(woken(&mut rig), (Next::Unknown, 0));
    // Not tried after all.
    rig.with(final_part, Core::wake_final_part_when_due);
    assert_eq!(woken(&mut rig), (Next::Unknown, 1));
    rig.with(final_part, |core, place| core.keep_final_part(place, START + SECOND));
    assert_eq!(woken(&mut rig), (Next::Unknown, 0));
    // Not due any more, and due again.
    let permit = rig.permits(1) as u64;
    rig.step(|core| core.charge(permit).unwrap());
    let due_ns = rig.now_ns + SECOND / 10;
    assert_eq!(woken(&mut rig), (Next::At(due_ns), 0));
    rig.now_ns = due_ns;
    assert_eq!(woken(&mut rig), (Next::Unknown, 1));
    assert_eq!(rig.granted(waiter), None);
    assert!(rig.with(final_part, Core::take_final_part).is_some());
    rig.now_ns += SECOND / 10;
    assert_eq!(woken(&mut rig), (Next::Unknown, 1));
    assert!(rig.granted(waiter).is_some());
}

/// Newcomers are told of the time at which the last part goes, at the earliest.
#[test]
fn what_a_part_waits_for_counts_for_newcomers() {
    let mut rig = Rig::of("10/s burst 1 initial 0");
    let final_part = rig.join_front(1);
    assert_eq!(rig.thaw.unwrap().queued, [0, UNTOLD, UNTOLD]);
    assert_eq!(rig.take(1), Err(START + SECOND / 5));
    rig.with(final_part, |core, place| core.keep_final_part(place, START + 3 * SECOND));
    assert_eq!(rig.take(1), Err(START + 31 * SECOND / 10));
    rig.leave(final_part);
    rig.step(|_| ());
    assert_eq!(rig.thaw.unwrap().queued, [0; Lane::COUNT]);
    let waiter = rig.join(1, NEVER);
    assert_eq!(rig.take(1), Err(START + SECOND / 5), "nothing is left of what the final part waited for");
    rig.leave(waiter);
}
