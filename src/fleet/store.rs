//! The server as the rest sees it.

use core::{fmt, future::Future, pin::Pin};
use std::sync::Arc;

use super::{
    authority::{Answer, Exchange},
    error::StoreError,
};

/// A call under way. Dropping it abandons the call, which may have been carried out.
pub(super) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The server of one fleet. The caller makes one call at a time. Each fails if it takes too long.
pub(super) trait Store: fmt::Debug + Send + Sync + 'static {
    fn exchange(&self, exchange: Exchange) -> Pending<'_, Answer>;

    /// The name of the fleet, for logs.
    #[cfg(feature = "tracing")]
    fn name(&self) -> &str;

    /// Reports that this process is there. Returns how many are. `None` if another task does that.
    fn beat(&self) -> Option<Pending<'_, u64>>;
}

/// The server of many keys.
pub(super) trait Stores: Send + Sync + 'static {
    /// The bucket of a key.
    fn of_key(&self, key: &dyn fmt::Display) -> Arc<dyn Store>;

    /// As [`Store::beat`], for all keys.
    fn beat(&self) -> Pending<'_, u64>;
}
