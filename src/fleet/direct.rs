//! Limits that the server decides, with one call for each decision. Nothing is leased, and nothing is kept here.

mod refusal;

use core::{fmt, time::Duration};
use std::sync::Arc;

use tokio::time::timeout;

pub use self::refusal::StoreLimitsError;

use super::{
    authority::{Answer, Demand, Exchange, Receipt, Terms, pause_us},
    choices::CALL_TIMEOUT,
    connection::FleetStore,
    error::{FleetError, StoreError},
    redis::Authority,
};
use crate::{
    error::{Denied, NotYet, TooMany},
    quota::Quota,
};

/// One or several quotas for each key, such as an account, that a Redis or Valkey server decides at each call.
///
/// All processes that use the same server and names share them. Each call is one round trip, whose answer is exact: in any window of
/// length `w` by the server's clock, a key is granted at most `burst + rate * w` permits of each quota, permits that were
/// [given back](Self::refund) aside. Nothing of the burst is set aside, and the first call of a process is admitted as any other.
///
/// # When to choose it
/// For low rates, such as 5 logins a minute for each account, where every permit counts. A call takes a round trip, and some 20 to 40
/// microseconds of the server's time, so one server decides some tens of thousands of calls in a second. A call on a
/// [`Fleet`](crate::Fleet) or [`KeyedFleet`](crate::KeyedFleet) takes well below a microsecond, and at a high rate few of them need
/// the server. Callers that wait need one of these, too: a `StoreLimits` has no queue and no order of callers. A caller that is
/// refused comes back after [`retry_after`](StoreLimitsError::retry_after), and others may be faster.
///
/// # Several quotas
/// A call takes an amount of each quota, all or nothing: if one of them refuses, none is charged. A quota with the amount 0 is not
/// charged and refuses nothing, not even during a pause; its level is told.
///
/// # On the server
/// A quota of a key is kept under `name:{key}`, with the text of the key, until it is full again. A key that the server does not
/// have is full, whatever the quota's initial level; the quota's catch-up does not matter. All quotas of a key are in one slot of a cluster. A
/// [`KeyedFleet`](crate::KeyedFleet) of the same name would use the same keys on the server, so give each a name of its own.
///
/// If processes give different quotas by the same name, as during a deployment, each call counts by the quota of its process, and
/// the missing permits stay. So a key may also change its plan: keep a `StoreLimits` for each plan, all with the same names.
///
/// # When the server is away
/// Each call ends after a [timeout](Self::with_call_timeout) with [`StoreLimitsError::Store`], and the caller decides what that means:
/// admit, where a limit only protects against abuse; refuse, where a violation costs more than an outage. Each call tries the server
/// anew. A call that failed may have been charged nevertheless.
///
/// # Calls at a time
/// All calls, also those of other fleets of the same [`FleetStore`], use one connection, on which many are under way at a time. They
/// need a tokio runtime with time and network. Cloning gives another handle on the same limits.
///
/// # Examples
/// ```no_run
/// use tidegate::{FleetStore, Quota, StoreLimitsError};
///
/// # async fn f(tenant: &str) -> Result<(), tidegate::FleetError> {
/// let server = FleetStore::new("redis://localhost:6379")?;
/// let limits = server.limits([
///     ("requests", Quota::per_minute(60)),
///     ("tokens", Quota::per_minute(100_000)),
/// ])?;
/// match limits.try_acquire(tenant, [1, 1_500]).await {
///     Ok([requests, tokens]) => println!("admitted; {requests} requests and {tokens} tokens are left"),
///     // The server is away. Here: admit.
///     Err(StoreLimitsError::Store(error)) => eprintln!("admitted without a limit: {error}"),
///     // Such as "tokens: rate limited: retry after 320ms".
///     Err(denied) => println!("{denied}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// A middleware for axum:
/// ```no_run
/// use axum::extract::{Request, State};
/// use axum::{Router, http::StatusCode, middleware, middleware::Next, response::IntoResponse};
/// use tidegate::{FleetStore, Quota, StoreLimits, StoreLimitsError};
///
/// async fn limit(State(limits): State<StoreLimits>, request: Request, next: Next) -> impl IntoResponse {
///     let account = request.headers().get("x-account").and_then(|account| account.to_str().ok());
///     let account = account.unwrap_or("nobody").to_owned();
///     match limits.try_acquire(&account, [1]).await {
///         Ok(_) | Err(StoreLimitsError::Store(_)) => Ok(next.run(request).await),
///         Err(denied) => Err((StatusCode::TOO_MANY_REQUESTS, denied.to_string())),
///     }
/// }
///
/// # fn f() -> Result<(), tidegate::FleetError> {
/// let logins = FleetStore::new("redis://localhost:6379")?.limits([("logins", Quota::per_minute(5))])?;
/// let app: Router = Router::new().layer(middleware::from_fn_with_state(logins, limit));
/// # Ok(())
/// # }
/// ```
pub struct StoreLimits<const N: usize = 1> {
    limits: Arc<Limits<N>>,
    call_timeout: Duration,
}

struct Limits<const N: usize> {
    authority: Authority,
    names: [Arc<str>; N],
    terms: [Terms; N],
}

impl<const N: usize> Limits<N> {
    fn new(authority: Authority, limits: [(Arc<str>, Quota); N]) -> Result<Self, FleetError> {
        let mut terms = Vec::new();
        for (i, (name, quota)) in limits.iter().enumerate() {
            // So the first brace of a key on the server begins the part that is the caller's.
            if name.is_empty() || name.contains(['{', '}']) {
                return Err(FleetError::Name(name.to_string()));
            }
            if limits[..i].iter().any(|(other, _)| other == name) {
                return Err(FleetError::SameName(name.to_string()));
            }
            if quota.is_fixed() {
                return Err(FleetError::Fixed);
            }
            terms.push(Terms::new(quota, quota.burst())?);
        }
        let terms = terms.try_into().expect("the terms of each limit");
        Ok(Self { authority, names: limits.map(|(name, _)| name), terms })
    }
}

impl FleetStore {
    /// Limits by these names and quotas, for each key. At least one; their number is a part of the type, so that a call
    /// has an amount for each. The server is not called yet.
    ///
    /// See the example of [`StoreLimits`].
    ///
    /// # Errors
    /// If a name is empty, has braces, or is there twice; or if a quota is unlimited, blocked, or not exact at the server. See
    /// [`FleetError`].
    ///
    /// ```compile_fail,E0080
    /// # use tidegate::{FleetStore, Quota};
    /// let server = FleetStore::new("redis://localhost:6379").unwrap();
    /// let none: [(&str, Quota); 0] = [];
    /// let limits = server.limits(none);
    /// ```
    pub fn limits<const N: usize>(
        &self,
        limits: [(impl Into<Arc<str>>, Quota); N],
    ) -> Result<StoreLimits<N>, FleetError> {
        const { assert!(N > 0, "limits at a server: write at least one") };
        let limits =
            Limits::new(Authority::new(self.link()), limits.map(|(name, quota)| (name.into(), quota)))?;
        Ok(StoreLimits { limits: Arc::new(limits), call_timeout: CALL_TIMEOUT })
    }
}

impl<const N: usize> StoreLimits<N> {
    /// With this longest time for each call, with the time to connect. Default: 50 ms. It is rounded up to the
    /// milliseconds in which the runtime's timers count.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidegate::{FleetStore, Quota};
    /// # fn f() -> Result<(), tidegate::FleetError> {
    /// let server = FleetStore::new("redis://localhost:6379")?;
    /// let logins = server.limits([("logins", Quota::per_minute(5))])?.with_call_timeout(Duration::from_millis(20));
    /// # Ok(())
    /// # }
    /// # f().unwrap();
    /// ```
    #[must_use = "the limits with this timeout are returned"]
    pub fn with_call_timeout(self, timeout: Duration) -> Self {
        Self { call_timeout: timeout, ..self }
    }

    /// Takes these amounts of the key, in the order of the limits, all or nothing. Returns the whole permits that are left of each.
    ///
    /// # Errors
    /// [`StoreLimitsError::Denied`] if a limit refuses: then nothing was taken. An amount above the burst is refused without a call.
    /// [`StoreLimitsError::Store`] if the server has failed, or has not answered in time: then the amounts may have been taken.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the call, and the amounts may have been taken.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without time or network.
    pub async fn try_acquire<K>(&self, key: &K, amounts: [u64; N]) -> Result<[u64; N], StoreLimitsError>
    where
        K: fmt::Display + ?Sized,
    {
        let denied = |limit: usize, denied: Denied| {
            let name = Arc::clone(&self.limits.names[limit]);
            StoreLimitsError::Denied { limit, name, denied }
        };
        for (i, (&amount, terms)) in amounts.iter().zip(&self.limits.terms).enumerate() {
            if amount > terms.burst {
                let too_many = TooMany::new(amount.into(), terms.burst, terms.burst);
                return Err(denied(i, too_many.into()));
            }
        }
        let answers = self.call(key, amounts, Exchange::take(1)).await?;
        if answers[0].granted > 0 {
            return Ok(levels(answers));
        }
        // The limit that refuses for the longest time.
        let mut last = 0;
        for i in 1..N {
            if answers[i].wait > answers[last].wait {
                last = i;
            }
        }
        Err(denied(last, NotYet::after(answers[last].wait).into()))
    }

    /// The whole permits that are there of each limit. Takes nothing, and makes no key on the server.
    ///
    /// During a pause the levels stand still, though calls are refused.
    ///
    /// # Errors
    /// If the server has failed, or has not answered in time.
    ///
    /// # Panics
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// ```no_run
    /// # use tidegate::StoreLimits;
    /// # async fn f(logins: StoreLimits) -> Result<(), tidegate::StoreError> {
    /// let [left] = logins.peek("ada").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn peek<K>(&self, key: &K) -> Result<[u64; N], StoreError>
    where
        K: fmt::Display + ?Sized,
    {
        // Of a limit with the amount 0, nothing is taken.
        self.call(key, [0; N], Exchange::take(1)).await.map(levels)
    }

    /// Gives back these amounts, such as that of a login that has succeeded, if only the others are to count. No limit
    /// gets more than full, so the burst as an amount makes it full. Returns the whole permits that are there of each.
    ///
    /// The caller makes sure that it gives back only what it has taken, and only once.
    ///
    /// # Errors
    /// If the server has failed, or has not answered in time. The amounts may have been given back nevertheless, so do not repeat the call.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the call, and the amounts may have been given back.
    ///
    /// # Panics
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// ```no_run
    /// # use tidegate::StoreLimits;
    /// # async fn f(logins: StoreLimits, has_succeeded: bool) -> Result<(), Box<dyn std::error::Error>> {
    /// logins.try_acquire("ada", [1]).await?;
    /// if has_succeeded {
    ///     logins.refund("ada", [1]).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn refund<K>(&self, key: &K, amounts: [u64; N]) -> Result<[u64; N], StoreError>
    where
        K: fmt::Display + ?Sized,
    {
        // More than the burst cannot be missing, and might be beyond the numbers of the script.
        let amounts = core::array::from_fn(|i| amounts[i].min(self.limits.terms[i].burst));
        let exchange = Exchange { back: Some((1, Receipt::NONE)), ..Exchange::take(0) };
        self.call(key, amounts, exchange).await.map(levels)
    }

    /// Refuses all calls for the key for this time, in all processes. Nothing accrues meanwhile. The later end counts.
    ///
    /// # Errors
    /// [`FleetError::Duration`] if the pause is longer than 71 years. [`FleetError::Store`] if the server has failed, or has not answered
    /// in time; the key may be paused nevertheless.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the call, and the key may be paused.
    ///
    /// # Panics
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use tidegate::StoreLimits;
    /// # async fn f(logins: StoreLimits) -> Result<(), tidegate::FleetError> {
    /// logins.pause_for("ada", Duration::from_secs(15 * 60)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pause_for<K>(&self, key: &K, pause: Duration) -> Result<(), FleetError>
    where
        K: fmt::Display + ?Sized,
    {
        let exchange = Exchange { pause_us: pause_us(pause)?, ..Exchange::take(0) };
        self.call(key, [0; N], exchange).await?;
        Ok(())
    }

    async fn call<K>(&self, key: &K, amounts: [u64; N], exchange: Exchange) -> Result<[Answer; N], StoreError>
    where
        K: fmt::Display + ?Sized,
    {
        let Limits { authority, names, terms } = &*self.limits;
        let key = key.to_string();
        let keys = names.each_ref().map(|name| key_on_server(name, &key));
        let keys = keys.each_ref().map(String::as_str);
        let demands = core::array::from_fn(|i| Demand { terms: terms[i], amount: amounts[i] });
        // Here the time counts from now on: a caller that does not wait in a queue waits for no turn beyond it, either.
        timeout(self.call_timeout, authority.exchange(keys, demands, &exchange, self.call_timeout))
            .await
            .unwrap_or(Err(StoreError::TimedOut(self.call_timeout)))
    }
}

/// What the first pair of braces holds chooses the slot in a cluster, unless it is empty. So it is the same for all names, and never
/// empty; and no two keys of a caller are one on the server, as only one of these forms ends with a brace.
fn key_on_server(name: &str, key: &str) -> String {
    if key.is_empty() || key.starts_with('}') {
        format!("{name}:{{:}}{key}:")
    } else {
        format!("{name}:{{{key}}}")
    }
}

fn levels<const N: usize>(answers: [Answer; N]) -> [u64; N] {
    answers.map(|answer| answer.level)
}

impl<const N: usize> Clone for StoreLimits<N> {
    fn clone(&self) -> Self {
        Self { limits: Arc::clone(&self.limits), call_timeout: self.call_timeout }
    }
}

impl<const N: usize> fmt::Debug for StoreLimits<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLimits")
            .field("names", &self.limits.names)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
