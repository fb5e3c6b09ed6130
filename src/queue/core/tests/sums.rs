//! The sums over the entries of each lane.

use core::task::Waker;

use super::*;
use crate::queue::entry::{Kind, Sum};

fn entry(lane: Lane, cost: u64, deadline_ns: u64, kind: Kind) -> Entry {
    Entry { permits: 1.into(), cost, deadline_ns, lane, waker: Some(Waker::noop().clone()), kind }
}

#[test]
fn the_sum_of_a_lane_counts_with_those_of_higher_lanes() {
    let entries = [
        entry(Lane::Urgent, 1, NEVER, Kind::Single),
        entry(Lane::Urgent, 2, 7, Kind::Single),
        entry(Lane::Normal, 4, NEVER, Kind::FinalPart { woken: false }),
        entry(Lane::Background, u64::MAX, 7, Kind::Single),
        entry(Lane::Background, u64::MAX, 7, Kind::Single),
    ];
    let mut sums = Sums::default();
    for entry in &entries {
        sums.add(entry);
    }
    let sum = |entries, ticks, deadlines, final_parts| Sum { entries, ticks, deadlines, final_parts };
    let most = 2 * u128::from(u64::MAX);
    assert_eq!(Lane::ALL.map(|lane| sums.of(lane)), [sum(2, 3, 1, 0), sum(1, 4, 0, 1), sum(2, most, 2, 0)]);
    let up_to = [sum(2, 3, 1, 0), sum(3, 7, 1, 1), sum(5, 7 + most, 3, 1)];
    assert_eq!(Lane::ALL.map(|lane| *sums.up_to(lane)), up_to);
    assert_eq!(*sums.all(), up_to[2]);
    for gone in [&entries[2], &entries[0], &entries[4]] {
        sums.subtract(gone);
    }
    let left = [sum(1, 2, 1, 0), sum(0, 0, 0, 0), sum(1, u128::from(u64::MAX), 1, 0)];
    assert_eq!(Lane::ALL.map(|lane| sums.of(lane)), left);
}
