//! The server as users name it.

use core::convert::Infallible;
use std::sync::Arc;

use super::{error::FleetError, link::Link};

/// A Redis or Valkey server, or a cluster of them, with one connection for all fleets that join on it.
///
/// [`FleetBuilder::join`](crate::FleetBuilder::join) takes an address as well; the fleet has a connection of its own then.
/// Cloning gives another handle on the same connection. It is made when it is first needed, and made anew after a fault.
///
/// # Examples
/// ```no_run
/// use tidegate::{Fleet, FleetStore, Quota};
///
/// # async fn f() -> Result<(), tidegate::FleetError> {
/// let server = FleetStore::new("redis://:password@10.0.0.7:6379/2")?;
/// let requests = Fleet::builder("requests", Quota::per_minute(600)).join(&server).await?;
/// let tokens = Fleet::builder("tokens", Quota::per_minute(100_000)).join(&server).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FleetStore {
    link: Arc<Link>,
}

impl FleetStore {
    /// The server at this address, such as `redis://localhost:6379`, `redis://user:password@host:6379/2` for a database, or
    /// `unix:///run/redis.sock`. For `rediss://`, which is TLS, add a feature such as `tokio-rustls-comp` to the crate
    /// `redis` in your own `Cargo.toml`.
    ///
    /// # Errors
    /// [`FleetError::Address`] if it cannot be parsed. Whether a server is there shows only later.
    pub fn new(address: &str) -> Result<Self, FleetError> {
        Link::one(address).map(|link| Self { link: Arc::new(link) })
    }

    /// The cluster that has these nodes, of which one has to be there; the others are found by it. Calls follow a key that
    /// moves to another node. Needs the feature `redis-cluster`.
    ///
    /// # Errors
    /// [`FleetError::Address`] if there is no address, or one cannot be parsed.
    ///
    /// ```no_run
    /// use tidegate::{Fleet, FleetStore, Quota};
    ///
    /// # async fn f() -> Result<(), tidegate::FleetError> {
    /// let cluster = FleetStore::cluster(["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"])?;
    /// let fleet = Fleet::builder("api", Quota::per_second(1000)).join(&cluster).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "redis-cluster")]
    pub fn cluster<A: Into<String>>(nodes: impl IntoIterator<Item = A>) -> Result<Self, FleetError> {
        let nodes = nodes.into_iter().map(Into::into).collect();
        Link::cluster(nodes).map(|link| Self { link: Arc::new(link) })
    }

    pub(super) const fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl From<&Self> for FleetStore {
    fn from(server: &Self) -> Self {
        server.clone()
    }
}

impl TryFrom<&str> for FleetStore {
    type Error = FleetError;

    fn try_from(address: &str) -> Result<Self, FleetError> {
        Self::new(address)
    }
}

impl TryFrom<&String> for FleetStore {
    type Error = FleetError;

    fn try_from(address: &String) -> Result<Self, FleetError> {
        Self::new(address)
    }
}

impl TryFrom<String> for FleetStore {
    type Error = FleetError;

    fn try_from(address: String) -> Result<Self, FleetError> {
        Self::new(&address)
    }
}

/// For [`FleetBuilder::join`](crate::FleetBuilder::join), which takes a server or an address.
impl From<Infallible> for FleetError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
