//! The guide: what a limiter does, one page for each task.
//!
//! Every example is compiled and run as a test. The documentation of each method has its errors, panics, fairness and cancel
//! safety.
//!
//! - To begin: [waiting], [bursts], [quotas], [sizing].
//! - For a client: [http_clients], [llm_client], [pauses], [streams].
//! - For a server: [http_servers], [keys].
//! - For any program: [estimates], [several_limits], [lanes], [shares], [bytes], [watching], [testing].
//! - For users of other limiters: [compare].

// A page has links to other pages and to pictures, as files. Here the first line of a page gives each such name another target:
// the module, or the picture itself.

/// [lanes]: crate::guide::lanes
/// [sizing]: crate::guide::sizing
#[doc = include_str!("../docs/guide/waiting.md")]
pub mod waiting {}

/// [sizing]: crate::guide::sizing
#[doc = include_str!("../docs/pictures/bursts.link")]
#[doc = include_str!("../docs/pictures/windows.link")]
#[doc = include_str!("../docs/guide/bursts.md")]
pub mod bursts {}

#[doc = include_str!("../docs/guide/quotas.md")]
pub mod quotas {}

/// [bursts]: crate::guide::bursts
/// [keys]: crate::guide::keys
/// [shares]: crate::guide::shares
#[doc = include_str!("../docs/guide/sizing.md")]
pub mod sizing {}

#[doc = include_str!("../docs/guide/estimates.md")]
pub mod estimates {}

/// [http-clients]: crate::guide::http_clients
#[doc = include_str!("../docs/guide/pauses.md")]
pub mod pauses {}

#[doc = include_str!("../docs/guide/several_limits.md")]
pub mod several_limits {}

/// [several-limits]: crate::guide::several_limits
#[doc = include_str!("../docs/guide/lanes.md")]
pub mod lanes {}

#[cfg(feature = "keyed")]
#[doc = include_str!("../docs/guide/keys.md")]
pub mod keys {}

/// [keys]: crate::guide::keys
#[cfg(feature = "tower")]
#[doc = include_str!("../docs/guide/http_servers.md")]
pub mod http_servers {}

/// [estimates]: crate::guide::estimates
/// [llm-client]: crate::guide::llm_client
#[cfg(feature = "client")]
#[doc = include_str!("../docs/guide/http_clients.md")]
pub mod http_clients {}

/// [estimates]: crate::guide::estimates
/// [http-clients]: crate::guide::http_clients
/// [lanes]: crate::guide::lanes
#[cfg(feature = "tokio")]
#[doc = include_str!("../docs/guide/llm_client.md")]
pub mod llm_client {}

#[doc = include_str!("../docs/guide/shares.md")]
pub mod shares {}

/// [watching]: crate::guide::watching
#[cfg(feature = "redis")]
#[doc = include_str!("../docs/guide/fleet.md")]
pub mod fleet {}

#[doc = include_str!("../docs/guide/streams.md")]
pub mod streams {}

/// [lanes]: crate::guide::lanes
#[cfg(all(feature = "io", feature = "tokio"))]
#[doc = include_str!("../docs/guide/bytes.md")]
pub mod bytes {}

/// [estimates]: crate::guide::estimates
/// [lanes]: crate::guide::lanes
/// [listener]: crate::Listener
/// [max-waiters]: crate::RateLimiter::set_max_waiters
#[cfg(feature = "stats")]
#[doc = include_str!("../docs/pictures/watching.link")]
#[doc = include_str!("../docs/guide/watching.md")]
pub mod watching {}

#[doc = include_str!("../docs/guide/testing.md")]
pub mod testing {}

/// [bursts]: crate::guide::bursts
/// [http-servers]: crate::guide::http_servers
#[cfg(all(feature = "keyed", feature = "tokio", feature = "tower"))]
#[doc = include_str!("../docs/COMPARE.md")]
pub mod compare {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub mod readme {}
