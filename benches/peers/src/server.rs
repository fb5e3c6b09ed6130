//! A Redis server on a free port of loopback, without persistence. Its process ends with the value.

use std::{
    env, io,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use redis::{Client, Connection, InfoDict};

/// How long it may take to start, and to answer.
const LONGEST: Duration = Duration::from_secs(20);

/// Ends the process with the value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct Server {
    address: String,
    connection: Connection,
    names: u64,
    _process: Process,
}

/// The program: `TIDEGATE_REDIS_SERVER`, or else `redis-server`.
pub(crate) fn program() -> String {
    env::var("TIDEGATE_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

impl Server {
    pub(crate) fn start(program: &str) -> io::Result<Self> {
        // Another program may take the port before the server does.
        (0..10)
            .find_map(|_| Self::try_start(program).transpose())
            .unwrap_or_else(|| Err(io::Error::other("no port")))
    }

    /// `None` if the server does not get its port.
    fn try_start(program: &str) -> io::Result<Option<Self>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            // So that it reads no file of another server.
            .args(["--dbfilename", &format!("tidegate-{port}.rdb")])
            .current_dir(env::temp_dir())
            .stdout(Stdio::null())
            .spawn()?;
        let id = child.id();
        let mut process = Process(child);
        let address = format!("redis://127.0.0.1:{port}");
        let client = Client::open(address.as_str()).map_err(io::Error::other)?;
        let began = Instant::now();
        loop {
            match client.get_connection_with_timeout(LONGEST) {
                Ok(connection) => {
                    connection.set_read_timeout(Some(LONGEST)).map_err(io::Error::other)?;
                    let mut server = Self { address, connection, names: 0, _process: process };
                    let is_own = server.info("server").get("process_id") == Some(id);
                    return Ok(is_own.then_some(server));
                }
                Err(_) if process.0.try_wait()?.is_some() => return Ok(None),
                Err(error) if began.elapsed() > LONGEST => return Err(io::Error::other(error)),
                Err(_) => sleep(Duration::from_millis(10)),
            }
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A name that no key has yet.
    pub(crate) fn new_name(&mut self) -> String {
        self.names += 1;
        format!("bench-{}", self.names)
    }

    fn info(&mut self, section: &str) -> InfoDict {
        let info = redis::cmd("INFO").arg(section).query(&mut self.connection);
        info.unwrap_or_else(|error| panic!("the server: {error}"))
    }

    /// The version of Redis that it is, or is like.
    pub(crate) fn version(&mut self) -> String {
        self.info("server").get("redis_version").unwrap_or_else(|| "unknown".to_owned())
    }

    /// The scripts that processes have called so far.
    pub(crate) fn calls(&mut self) -> u64 {
        let stats: Option<String> = self.info("commandstats").get("cmdstat_evalsha");
        stats.map_or(0, |stats| calls(&stats))
    }

    /// Its processor time so far.
    pub(crate) fn processor_time(&mut self) -> Duration {
        let info = self.info("cpu");
        let seconds = |key: &str| info.get::<f64>(key).unwrap_or_else(|| panic!("no {key}"));
        Duration::from_secs_f64(seconds("used_cpu_user") + seconds("used_cpu_sys"))
    }
}

/// The number of calls in `calls=3,usec=27,...`.
fn calls(stats: &str) -> u64 {
    let calls = stats.split(',').find_map(|field| field.strip_prefix("calls="));
    calls.and_then(|calls| calls.parse().ok()).unwrap_or_else(|| panic!("no calls in {stats:?}"))
}

/// A server for a test; `None` if `TIDEGATE_SKIP_REDIS` is set.
#[cfg(test)]
pub(crate) fn for_test() -> Option<Server> {
    if env::var_os("TIDEGATE_SKIP_REDIS").is_some() {
        eprintln!("skipped: TIDEGATE_SKIP_REDIS is set");
        return None;
    }
    Some(Server::start(&program()).expect("a server, or TIDEGATE_SKIP_REDIS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_those_of_the_field_with_that_name() {
        assert_eq!(calls("calls=37,usec=1480,usec_per_call=40.00,rejected_calls=0,failed_calls=1"), 37);
    }
}
