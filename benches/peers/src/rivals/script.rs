//! A script on a Redis server that a process calls over one connection, by `EVALSHA`.

use std::error::Error;

use redis::{Client, Script, aio::MultiplexedConnection};

use super::Setting;

/// A script with its key and its arguments.
pub(super) struct Limit {
    connection: MultiplexedConnection,
    script: Script,
    key: String,
    /// The nanoseconds of a permit, and the permits of a full bucket.
    arguments: [u64; 2],
}

impl Limit {
    pub(super) async fn connect(
        server: &str,
        code: &str,
        name: &str,
        setting: &Setting,
    ) -> Result<Self, Box<dyn Error>> {
        let arguments = [setting.time_of(1).as_nanos().try_into()?, setting.burst];
        let connection = Client::open(server)?.get_multiplexed_async_connection().await?;
        Ok(Self { connection, script: Script::new(code), key: name.to_owned(), arguments })
    }

    /// One call of the script, and its number. Calls of several tasks share the connection.
    pub(super) async fn ask(&self) -> u64 {
        let mut call = self.script.key(&self.key);
        for argument in self.arguments {
            call.arg(argument);
        }
        let answer = call.invoke_async(&mut self.connection.clone()).await;
        answer.unwrap_or_else(|error| panic!("the script: {error}"))
    }
}

/// The answers to the first calls of a fresh limit of three permits an hour, which has a burst of three; `None` without a server.
#[cfg(test)]
pub(super) fn first_answers<M: super::Member>(limit: fn(&M) -> &Limit, calls: usize) -> Option<Vec<u64>> {
    use std::time::Duration;

    let mut server = crate::server::for_test()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let setting = Setting { permits: 3, per: Duration::from_secs(3600), burst: 3, full: true };
    let name = server.new_name();
    let answers = runtime.block_on(async {
        let member = M::join(server.address(), &name, &setting, 1).await.expect("a connection");
        let mut answers = Vec::new();
        for _ in 0..calls {
            answers.push(limit(&member).ask().await);
        }
        answers
    });
    assert_eq!(server.calls(), calls as u64 + 1, "and one for the server to learn the script");
    Some(answers)
}
