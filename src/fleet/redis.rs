//! The server as Redis or Valkey. The only file that names the client's crate.
//!
//! One connection, which is made when it is needed and given up after any fault: also after a call that was abandoned,
//! since a connection to a server that is gone without a word looks like one to a slow server. The client's own reconnection
//! is not used, because nothing bounds its time.

use core::fmt;

use redis::{Client, IntoConnectionInfo, RedisError, Script, aio::MultiplexedConnection};

use super::{
    authority::{Answer, Exchange, Terms, answers, arguments},
    error::{FleetError, StoreError},
    store::{Pending, Store},
};
use crate::sync::plain::Mutex;

/// Processes that have not reported for so long do not count, in microseconds.
const GONE_US: u64 = 10_000_000;

/// Adds a process to the sorted set of all, and counts them.
const MEMBERS: &str = "
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
-- Also those of a clock that was ahead.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('%.0f', now + ARGV[2]), '+inf')
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[2] / 1000))
return redis.call('ZCARD', KEYS[1])";

pub(super) struct RedisStore {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
    exchange: Script,
    members: Script,
    key: String,
    members_key: String,
    terms: Terms,
    member: String,
}

impl RedisStore {
    pub(super) fn new(address: &str, name: &str, terms: Terms, member: String) -> Result<Self, FleetError> {
        let client = address
            .into_connection_info()
            .and_then(Client::open)
            .map_err(|error| FleetError::Address(error.to_string()))?;
        let (key, members_key) = keys(name)?;
        Ok(Self {
            client,
            connection: Mutex::new(None),
            exchange: Script::new(include_str!("script.lua")),
            members: Script::new(MEMBERS),
            key,
            members_key,
            terms,
            member,
        })
    }

    /// The connection, which goes back by [`keep`](Self::keep) after a call without a fault.
    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let kept = self.connection.lock().take();
        match kept {
            Some(connection) => Ok(connection),
            None => self.client.get_multiplexed_async_connection().await,
        }
    }

    fn keep(&self, connection: MultiplexedConnection) {
        *self.connection.lock() = Some(connection);
    }
}

/// The keys of a fleet, in one slot of a cluster.
fn keys(name: &str) -> Result<(String, String), FleetError> {
    let open = name.find('{');
    let tagged = open.is_some_and(|open| name[open + 1..].find('}').is_some_and(|length| length > 0));
    if name.is_empty() || (!tagged && name.contains(['{', '}'])) {
        return Err(FleetError::Name(name.to_owned()));
    }
    let key = if tagged { name.to_owned() } else { format!("{{{name}}}") };
    let members = format!("{key}:members");
    Ok((key, members))
}

fn failed(error: &RedisError) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Store for RedisStore {
    #[cfg(feature = "tracing")]
    fn name(&self) -> &str {
        &self.key
    }

    fn exchange(&self, exchange: Exchange) -> Pending<'_, Answer> {
        Box::pin(async move {
            let mut connection = self.connection().await.map_err(|error| failed(&error))?;
            let mut call = self.exchange.key(&self.key);
            for number in arguments(&exchange, &[self.terms]) {
                call.arg(number);
            }
            let reply: Vec<u64> = call.invoke_async(&mut connection).await.map_err(|error| failed(&error))?;
            self.keep(connection);
            match answers(&reply).as_deref() {
                Some([answer]) => Ok(*answer),
                _ => Err(StoreError::Unexpected),
            }
        })
    }

    fn beat(&self) -> Pending<'_, u64> {
        Box::pin(async move {
            let mut connection = self.connection().await.map_err(|error| failed(&error))?;
            let mut call = self.members.key(&self.members_key);
            let count = call.arg(&self.member).arg(GONE_US).invoke_async(&mut connection).await;
            let count = count.map_err(|error| failed(&error))?;
            self.keep(connection);
            Ok(count)
        })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the client, whose address may hold a password.
        f.debug_struct("RedisStore").field("key", &self.key).finish_non_exhaustive()
    }
}
