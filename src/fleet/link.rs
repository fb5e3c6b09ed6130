//! The connection to a server, which all fleets of a process may share. The only file that names the client's crate.
//!
//! Calls of several members are under way at a time, one after the other in the connection's buffer (pipelined). The caller
//! bounds the time of each.
//!
//! A connection is made when a call needs it, by one call at a time. It is given up after a call that failed or was
//! abandoned, if no call has succeeded on it since that one was sent: a connection to a server that is gone without a word
//! looks like one to a slow server. But one call that fails among others is not the connection's fault, as when one
//! node of a cluster is away. The client's own reconnection is not used, because nothing bounds its time.

use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};
use std::sync::Arc;

use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, ToRedisArgs, aio::MultiplexedConnection,
};
#[cfg(feature = "redis-cluster")]
use redis::{cluster::ClusterClient, cluster_async::ClusterConnection};

use super::error::{FleetError, StoreError};
use crate::sync::plain::Mutex;

/// A script and its hash.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }
}

enum Client {
    One(redis::Client),
    #[cfg(feature = "redis-cluster")]
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    #[cfg(feature = "redis-cluster")]
    Cluster(ClusterConnection),
}

impl Client {
    async fn connect(&self) -> RedisResult<Connection> {
        match self {
            Self::One(client) => {
                // The caller bounds the time.
                let config =
                    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
            }
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

impl Connection {
    async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(connection) => command.query_async(connection).await,
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

/// A connection that is in use.
struct Live {
    connection: Connection,
    /// The calls that have succeeded.
    succeeded: AtomicU64,
}

pub(super) struct Link {
    client: Client,
    live: Mutex<Option<Arc<Live>>>,
    /// Held by the call that connects.
    connecting: tokio::sync::Mutex<()>,
}

impl Link {
    pub(super) fn one(address: &str) -> Result<Self, FleetError> {
        let client = address.into_connection_info().and_then(redis::Client::open);
        Self::new(client.map(Client::One))
    }

    #[cfg(feature = "redis-cluster")]
    pub(super) fn cluster(nodes: Vec<String>) -> Result<Self, FleetError> {
        // Without retries: the member asks again by itself, and later and later.
        let client = ClusterClient::builder(nodes).retries(1).build();
        Self::new(client.map(|client| Client::Cluster(Box::new(client))))
    }

    fn new(client: RedisResult<Client>) -> Result<Self, FleetError> {
        let client = client.map_err(|error| FleetError::Address(error.to_string()))?;
        Ok(Self { client, live: Mutex::new(None), connecting: tokio::sync::Mutex::new(()) })
    }

    /// Runs a script on keys of one slot. Dropping the future abandons the call, which may have been carried out.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[impl ToRedisArgs],
        arguments: &[impl ToRedisArgs],
    ) -> Result<T, StoreError> {
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        let live = self.live().await.map_err(|error| failed(&error))?;
        let attempt = Attempt::begin(self, &live);
        let mut connection = live.connection.clone();
        let mut reply = connection.query(&command("EVALSHA", &script.hash)).await;
        // After a restart, a failover or SCRIPT FLUSH.
        if reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)) {
            reply = connection.query(&command("EVAL", script.text)).await;
        }
        let reply = reply.map_err(|error| failed(&error))?;
        attempt.succeed();
        Ok(reply)
    }

    async fn live(&self) -> RedisResult<Arc<Live>> {
        if let Some(live) = self.present() {
            return Ok(live);
        }
        let _connecting = self.connecting.lock().await;
        // Another call may have connected meanwhile.
        if let Some(live) = self.present() {
            return Ok(live);
        }
        let connection = self.client.connect().await?;
        let live = Arc::new(Live { connection, succeeded: AtomicU64::new(0) });
        *self.live.lock() = Some(Arc::clone(&live));
        Ok(live)
    }

    fn present(&self) -> Option<Arc<Live>> {
        self.live.lock().clone()
    }

    fn give_up(&self, live: &Arc<Live>) {
        let mut present = self.live.lock();
        if present.as_ref().is_some_and(|present| Arc::ptr_eq(present, live)) {
            *present = None;
        }
    }
}

/// A call that is under way. If it is dropped before it succeeds, the connection may be given up.
struct Attempt<'a> {
    link: &'a Link,
    live: &'a Arc<Live>,
    /// The calls that had succeeded when this one was sent. `None` once it has succeeded.
    before: Option<u64>,
}

impl<'a> Attempt<'a> {
    fn begin(link: &'a Link, live: &'a Arc<Live>) -> Self {
        // Relaxed, here and below: a count alone.
        Self { link, live, before: Some(live.succeeded.load(Ordering::Relaxed)) }
    }

    fn succeed(mut self) {
        self.live.succeeded.fetch_add(1, Ordering::Relaxed);
        self.before = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.before == Some(self.live.succeeded.load(Ordering::Relaxed)) {
            self.link.give_up(self.live);
        }
    }
}

fn failed(error: &RedisError) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the client, whose address may hold a password.
        f.debug_struct("Link").field("is_connected", &self.present().is_some()).finish_non_exhaustive()
    }
}
