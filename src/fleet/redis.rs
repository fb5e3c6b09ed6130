//! What is asked of Redis or Valkey: the script for keys, and the set of the processes.

use core::{fmt, time::Duration};
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use super::{
    authority::{Answer, Demand, Exchange, Terms, answers, arguments},
    choices::Choices,
    error::{FleetError, StoreError},
    link::{Link, Script},
    store::{Pending, Store, Stores},
};

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

/// This process in the set of all.
#[derive(Debug)]
struct Roll {
    link: Arc<Link>,
    script: Script,
    key: String,
    member: String,
    call_timeout: Duration,
}

impl Roll {
    fn new(link: Arc<Link>, key: String, call_timeout: Duration) -> Self {
        let member = format!("{:016x}", RandomState::new().hash_one(&key));
        Self { link, script: Script::new(MEMBERS), key, member, call_timeout }
    }

    /// Reports that this process is there. Returns how many are.
    async fn call(&self) -> Result<u64, StoreError> {
        let gone_us = GONE_US.to_string();
        self.link.call(&self.script, &[&self.key], &[&self.member, &gone_us], self.call_timeout).await
    }
}

/// The script that decides.
#[derive(Debug)]
pub(super) struct Authority {
    link: Arc<Link>,
    script: Script,
}

impl Authority {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        Self { link: Arc::clone(link), script: Script::new(include_str!("script.lua")) }
    }

    /// One call for several limits, each on its key. The keys are in one slot of a cluster.
    pub(super) async fn exchange<const N: usize>(
        &self,
        keys: [&str; N],
        demands: [Demand; N],
        exchange: &Exchange,
        limit: Duration,
    ) -> Result<[Answer; N], StoreError> {
        let arguments = arguments(exchange, &demands);
        let reply: Vec<u64> = self.link.call(&self.script, &keys, &arguments, limit).await?;
        answers(&reply).and_then(|answers| answers.try_into().ok()).ok_or(StoreError::Unexpected)
    }
}

/// The buckets of one fleet or of many keys: all of one quota.
#[derive(Debug)]
struct Buckets {
    authority: Authority,
    terms: Terms,
    call_timeout: Duration,
}

impl Buckets {
    fn new(link: &Arc<Link>, choices: &Choices) -> Arc<Self> {
        let Choices { terms, call_timeout, .. } = *choices;
        Arc::new(Self { authority: Authority::new(link), terms, call_timeout })
    }
}

/// The bucket of one key.
#[derive(Debug)]
pub(super) struct RedisStore {
    buckets: Arc<Buckets>,
    key: String,
    /// `None` if another task reports that the process is there.
    roll: Option<Roll>,
}

impl RedisStore {
    /// The bucket of a fleet. Its two keys are in one slot of a cluster.
    pub(super) fn new(link: &Arc<Link>, name: &str, choices: &Choices) -> Result<Self, FleetError> {
        let open = name.find('{');
        let tagged = open.is_some_and(|open| name[open + 1..].find('}').is_some_and(|length| length > 0));
        if name.is_empty() || (!tagged && name.contains(['{', '}'])) {
            return Err(FleetError::Name(name.to_owned()));
        }
        let key = if tagged { name.to_owned() } else { format!("{{{name}}}") };
        let roll = Roll::new(Arc::clone(link), format!("{key}:members"), choices.call_timeout);
        Ok(Self { buckets: Buckets::new(link, choices), key, roll: Some(roll) })
    }
}

impl Store for RedisStore {
    #[cfg(feature = "tracing")]
    fn name(&self) -> &str {
        &self.key
    }

    fn exchange(&self, exchange: Exchange) -> Pending<'_, Answer> {
        let Buckets { authority, terms, call_timeout } = &*self.buckets;
        Box::pin(async move {
            let demands = [(*terms).into()];
            let [answer] = authority.exchange([&self.key], demands, &exchange, *call_timeout).await?;
            Ok(answer)
        })
    }

    fn beat(&self) -> Option<Pending<'_, u64>> {
        self.roll.as_ref().map(|roll| Box::pin(roll.call()) as Pending<'_, u64>)
    }
}

/// The buckets of many keys. In a cluster, they are spread over all nodes.
pub(super) struct RedisStores {
    buckets: Arc<Buckets>,
    name: String,
    roll: Roll,
}

impl RedisStores {
    pub(super) fn new(link: &Arc<Link>, name: String, choices: &Choices) -> Result<Self, FleetError> {
        // So the first brace of a key begins the part that is the caller's.
        if name.is_empty() || name.contains(['{', '}']) {
            return Err(FleetError::Name(name));
        }
        let roll = Roll::new(Arc::clone(link), format!("{name}:members"), choices.call_timeout);
        Ok(Self { buckets: Buckets::new(link, choices), name, roll })
    }
}

impl Stores for RedisStores {
    fn of_key(&self, key: &dyn fmt::Display) -> Arc<dyn Store> {
        let key = format!("{}:{{{key}}}", self.name);
        Arc::new(RedisStore { buckets: Arc::clone(&self.buckets), key, roll: None })
    }

    fn beat(&self) -> Pending<'_, u64> {
        Box::pin(self.roll.call())
    }
}
