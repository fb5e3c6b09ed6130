//! The code that the fuzz targets run, without the fuzzer, so that a test can run it too.

mod alarms;
pub mod decision;
mod line;
mod model;
pub mod ops;
#[allow(dead_code, reason = "what only the tests of the promises use")]
#[path = "../../tests/promises/oracle.rs"]
mod oracle;
pub mod quota_text;
pub mod schedules;
mod windows;

use arbitrary::{Arbitrary, Unstructured};
use tidegate::Inherit;

/// An operation that a target has always had, or one that was added to it: by bits of the number that stands for the
/// former, of which only the highest matter. So what was kept from before means what it meant.
#[derive(Clone, Copy, Debug)]
enum Extended<A, B> {
    First(A),
    Added(B),
}

impl<'a, A: Arbitrary<'a>, B: Arbitrary<'a>> Arbitrary<'a> for Extended<A, B> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        if bytes.peek_bytes(1).is_some_and(|lowest| lowest[0] & 15 == ADDED) {
            bytes.bytes(1)?;
            return B::arbitrary(bytes).map(Self::Added);
        }
        A::arbitrary(bytes).map(Self::First)
    }
}

/// No operation of an input that was kept from before has these lowest bits.
const ADDED: u8 = 2;

/// The input that these bytes stand for, if there are enough of them.
fn decode<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

/// A way to change the quota.
fn inherit(number: u8) -> Inherit {
    [Inherit::AsIs, Inherit::Additively, Inherit::Proportionally, Inherit::Reset][usize::from(number % 4)]
}
