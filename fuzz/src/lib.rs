//! What the fuzz targets run, apart from the fuzzer, so that a test can run it too.

pub mod decision;
mod line;
mod model;
pub mod ops;
#[allow(dead_code, reason = "what only the tests of the promises use")]
#[path = "../../tests/promises/oracle.rs"]
mod oracle;
pub mod quota_text;
pub mod schedules;

use arbitrary::{Arbitrary, Unstructured};

/// The input that these bytes stand for, if there are enough of them.
fn decode<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}
