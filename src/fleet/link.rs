//! The connection to a server, which all fleets of a process may share. The only file that names the client's crate.
//!
//! Many calls are under way at a time, one after the other in the connection's buffer (pipelined), but at most [`AT_A_TIME`]:
//! others wait for their turn. A call's time begins with its turn. Else many keys that call at once would count the wait for each other as
//! a server that is away.
//!
//! A task of its own makes a connection when a call needs one, and has a time of its own for it: a connection takes more
//! round trips than a call. All calls wait for the same one, each within its time.
//!
//! A connection is given up after a call that failed or was out of time, if no call has succeeded on it since that one was
//! sent: a connection to a server that is gone without a word looks like one to a slow server. But one call that fails
//! among others is not the connection's fault, as when one node of a cluster is away. The client's own reconnection is
//! not used, because nothing bounds its time.

use core::{fmt, sync::atomic::Ordering, time::Duration};
use std::sync::{Arc, OnceLock};

use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, ToRedisArgs, aio::MultiplexedConnection,
};
#[cfg(feature = "redis-cluster")]
use redis::{cluster::ClusterClient, cluster_async::ClusterConnection};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

use super::error::{FleetError, StoreError};
use crate::sync::plain::{AtomicU64, Mutex};

/// With twenty thousand calls a second, what a server does, the last of so many takes some ten milliseconds.
const AT_A_TIME: usize = 256;

/// How long a connection may take, with the name of the server, TLS, and a password.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

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

/// A connection that is in use, or is being made.
struct Live {
    /// Empty while it is being made.
    connection: OnceLock<Result<Connection, StoreError>>,
    is_made: Notify,
    /// The calls that have succeeded.
    succeeded: AtomicU64,
}

impl Live {
    async fn connection(&self) -> Result<Connection, StoreError> {
        let mut made = core::pin::pin!(self.is_made.notified());
        // Before the look, so that none is missed.
        made.as_mut().enable();
        if self.connection.get().is_none() {
            made.await;
        }
        match self.connection.get() {
            Some(made) => made.clone(),
            None => Err(StoreError::Failed("the connection is not made".to_owned())),
        }
    }
}

pub(super) struct Link {
    client: Client,
    live: Mutex<Option<Arc<Live>>>,
    turns: Semaphore,
}

impl Link {
    pub(super) fn one(address: &str) -> Result<Self, FleetError> {
        let client = address.into_connection_info().and_then(redis::Client::open);
        Self::new(client.map(Client::One))
    }

    #[cfg(feature = "redis-cluster")]
    pub(super) fn cluster(nodes: Vec<String>) -> Result<Self, FleetError> {
        // Without more retries: the caller asks again by itself, and later and later.
        let client = ClusterClient::builder(nodes).retries(1).build();
        Self::new(client.map(|client| Client::Cluster(Box::new(client))))
    }

    fn new(client: RedisResult<Client>) -> Result<Self, FleetError> {
        let client = client.map_err(|error| FleetError::Address(error.to_string()))?;
        Ok(Self { client, live: Mutex::new(None), turns: Semaphore::new(AT_A_TIME) })
    }

    /// Runs a script on these keys, all in one slot, for at most `limit` once it is its turn. Dropping the future abandons the
    /// call, which may have been carried out.
    pub(super) async fn call<T: FromRedisValue>(
        self: &Arc<Self>,
        script: &Script,
        keys: &[&str],
        arguments: &[impl ToRedisArgs],
        limit: Duration,
    ) -> Result<T, StoreError> {
        let turn = self.turns.acquire().await;
        let live = self.live();
        // Relaxed, here and below: a count alone.
        let before = live.succeeded.load(Ordering::Relaxed);
        let reply = timeout(limit, query(&live, script, keys, arguments)).await;
        drop(turn);
        let reply = reply.unwrap_or(Err(Failure::Link(StoreError::TimedOut(limit))));
        if !matches!(reply, Err(Failure::Link(_))) {
            live.succeeded.fetch_add(1, Ordering::Relaxed);
        } else if live.connection.get().is_some() && live.succeeded.load(Ordering::Relaxed) == before {
            // It is made, and not still being made, which may take longer than a call.
            self.give_up(&live);
        }
        reply.map_err(|(Failure::Reply(error) | Failure::Link(error))| error)
    }

    /// The connection, which a task makes if there is none.
    fn live(self: &Arc<Self>) -> Arc<Live> {
        let mut present = self.live.lock();
        if let Some(live) = &*present {
            return Arc::clone(live);
        }
        let live = Arc::new(Live {
            connection: OnceLock::new(),
            is_made: Notify::new(),
            succeeded: AtomicU64::new(0),
        });
        *present = Some(Arc::clone(&live));
        drop(present);
        // Without the lock: a runtime that shuts down drops the task at once.
        tokio::spawn(Making { link: Arc::clone(self), live: Arc::clone(&live) }.run());
        live
    }

    fn give_up(&self, live: &Arc<Live>) {
        let mut present = self.live.lock();
        if present.as_ref().is_some_and(|present| Arc::ptr_eq(present, live)) {
            *present = None;
        }
    }
}

/// The task that makes a connection.
struct Making {
    link: Arc<Link>,
    live: Arc<Live>,
}

impl Making {
    async fn run(self) {
        let made = timeout(CONNECT_TIMEOUT, self.link.client.connect()).await;
        let made = match made {
            Ok(made) => made.map_err(|error| failed(&error)),
            Err(_) => Err(StoreError::TimedOut(CONNECT_TIMEOUT)),
        };
        // Nobody else sets it.
        let _ = self.live.connection.set(made);
    }
}

/// Also if the runtime of the task ends before it has a connection.
impl Drop for Making {
    fn drop(&mut self) {
        let ended = || Err(StoreError::Failed("the runtime of the connection has ended".to_owned()));
        if self.live.connection.get_or_init(ended).is_err() {
            self.link.give_up(&self.live);
        }
        self.live.is_made.notify_waiters();
    }
}

/// Why a call failed.
enum Failure {
    /// The server has answered.
    Reply(StoreError),
    /// The connection may be broken, or lead to the wrong server.
    Link(StoreError),
}

impl Failure {
    fn of(error: &RedisError) -> Self {
        let kind = error.kind();
        // After these, another server is right, or this one later.
        let leads_astray = [
            ServerErrorKind::ReadOnly,
            ServerErrorKind::MasterDown,
            ServerErrorKind::BusyLoading,
            ServerErrorKind::ClusterDown,
        ];
        match kind {
            ErrorKind::Server(kind) if !leads_astray.contains(&kind) => Self::Reply(failed(error)),
            _ => Self::Link(failed(error)),
        }
    }
}

async fn query<T: FromRedisValue>(
    live: &Live,
    script: &Script,
    keys: &[&str],
    arguments: &[impl ToRedisArgs],
) -> Result<T, Failure> {
    let command = |name: &str, script: &str| {
        let mut command = redis::cmd(name);
        command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
        command
    };
    let mut connection = live.connection().await.map_err(Failure::Link)?;
    let mut reply = connection.query(&command("EVALSHA", &script.hash)).await;
    // After a restart, a failover or SCRIPT FLUSH.
    if reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)) {
        reply = connection.query(&command("EVAL", script.text)).await;
    }
    reply.map_err(|error| Failure::of(&error))
}

fn failed(error: &RedisError) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the client, whose address may hold a password.
        f.debug_struct("Link").field("is_connected", &self.live.lock().is_some()).finish_non_exhaustive()
    }
}
