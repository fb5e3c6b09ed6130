//! Conversions from one scale to another.

use super::{super::proportion, *};

#[test]
fn a_proportion_is_rounded_down() {
    for (ticks, new, old, want) in [
        (0, 5, 7, 0),
        (7, 5, 7, 5),
        (8, 5, 7, 5),
        (13, 5, 7, 9),
        (-1, 5, 7, -1),
        (-7, 5, 7, -5),
        (-8, 5, 7, -6),
        (100, 1, 3, 33),
        (-100, 1, 3, -34),
    ] {
        assert_eq!(proportion(ticks, new, old), want, "{ticks} * {new} / {old}");
    }
}

/// Against long multiplication where that has room, over all sizes.
#[test]
fn a_proportion_equals_the_whole_product() {
    let numbers = [1, 2, 3, 999, 1_000_000, 86_400_000_000_000, MAX_TAT / 2 - 1, MAX_TAT];
    for new in numbers {
        for old in numbers {
            for ticks in [0, 1, 2, i128::from(old) - 1, old.into(), i128::from(old) + 1, MAX_TAT.into()] {
                for ticks in [ticks, -ticks] {
                    let whole = (ticks * i128::from(new)).div_euclid(old.into());
                    assert_eq!(proportion(ticks, new, old), whole, "{ticks} * {new} / {old}");
                }
            }
        }
    }
}

#[test]
fn a_proportion_does_not_overflow_at_the_extremes() {
    let most = i128::from(u64::MAX);
    for ticks in [most, -most] {
        assert_eq!(proportion(ticks, MAX_TAT, MAX_TAT), ticks);
        assert_eq!(proportion(ticks, MAX_TAT, 1), ticks * i128::from(MAX_TAT));
    }
    // 2^64 - 1 is four times 2^62 - 1, and three more.
    assert_eq!((proportion(most, 1, MAX_TAT), proportion(-most, 1, MAX_TAT)), (4, -5));
}
