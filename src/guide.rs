//! The guide: what a limiter does, one page for each task.
//!
//! Every example is compiled and run as a test. The documentation of each method has its errors, panics, fairness and cancel
//! safety.

#[doc = include_str!("../docs/guide/waiting.md")]
pub mod waiting {}

#[doc = include_str!("../docs/guide/bursts.md")]
pub mod bursts {}

#[doc = include_str!("../docs/guide/quotas.md")]
pub mod quotas {}

#[doc = include_str!("../docs/guide/estimates.md")]
pub mod estimates {}

#[doc = include_str!("../docs/guide/pauses.md")]
pub mod pauses {}

#[doc = include_str!("../docs/guide/several_limits.md")]
pub mod several_limits {}

#[doc = include_str!("../docs/guide/lanes.md")]
pub mod lanes {}

#[cfg(feature = "keyed")]
#[doc = include_str!("../docs/guide/keys.md")]
pub mod keys {}

#[cfg(feature = "tower")]
#[doc = include_str!("../docs/guide/http_servers.md")]
pub mod http_servers {}

#[cfg(feature = "client")]
#[doc = include_str!("../docs/guide/http_clients.md")]
pub mod http_clients {}

#[doc = include_str!("../docs/guide/shares.md")]
pub mod shares {}

#[doc = include_str!("../docs/guide/streams.md")]
pub mod streams {}

#[cfg(all(feature = "io", feature = "tokio"))]
#[doc = include_str!("../docs/guide/bytes.md")]
pub mod bytes {}

#[cfg(feature = "stats")]
#[doc = include_str!("../docs/guide/watching.md")]
pub mod watching {}

#[doc = include_str!("../docs/guide/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/guide/migrating.md")]
pub mod migrating {}
