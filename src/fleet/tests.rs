//! Members of a fleet on one virtual clock, with a server in memory that can be slow, away, or forgetful.

mod bound;
mod failures;
mod keys;
mod needs;
#[path = "../../tests/support/random.rs"]
pub(super) mod random;
#[path = "../../tests/support/redis_server.rs"]
pub(super) mod redis_server;
mod server;
mod skew;
