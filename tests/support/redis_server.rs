//! A server that a test starts on a free port of loopback, without persistence, and that ends with the test.
//!
//! `TIDEGATE_REDIS_SERVER` names the program, such as `valkey-server`, or its path; by default it is `redis-server`. Without the
//! program these tests fail, unless `TIDEGATE_SKIP_REDIS` is set.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    env,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{self, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    /// Of a node of a cluster: the port on which nodes talk.
    bus_port: Option<u16>,
}

impl RedisServer {
    /// `None` if the tests with a server are to be skipped.
    pub(crate) fn start() -> Option<Self> {
        Self::start_one(false)
    }

    /// A node of a cluster, which has no slots, and knows no other node.
    pub(crate) fn start_node() -> Option<Self> {
        Self::start_one(true)
    }

    fn start_one(is_node: bool) -> Option<Self> {
        if env::var_os("TIDEGATE_SKIP_REDIS").is_some() {
            eprintln!("skipped: TIDEGATE_SKIP_REDIS is set");
            return None;
        }
        let free_port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Another program may take the port between the two steps.
        (0..10)
            .find_map(|_| Self::try_start(free_port(), is_node.then(free_port)))
            .map_or_else(|| panic!("no server starts on any port"), Some)
    }

    fn try_start(port: u16, bus_port: Option<u16>) -> Option<Self> {
        let program = program();
        let mut command = Command::new(&program);
        if let Some(bus_port) = bus_port {
            command.args(["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"]).args([
                "--cluster-port",
                &bus_port.to_string(),
                "--cluster-config-file",
                &Self::nodes_file(port),
            ]);
        }
        let child = command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            // No file of an earlier server is read, and a replica writes none.
            .args(["--dbfilename", &format!("tidegate-{port}.rdb"), "--repl-diskless-load", "swapdb"])
            .current_dir(env::temp_dir())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{} cannot be started ({error}): install it (Debian: apt-get install redis-server), name another \
                     server in TIDEGATE_REDIS_SERVER, or set TIDEGATE_SKIP_REDIS=1",
                    program.display()
                )
            });
        let mut server = Self { child, port, bus_port };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            if server.child.try_wait().unwrap().is_some() {
                return None;
            }
            if server.try_command("PING").is_some_and(|reply| reply.starts_with("+PONG")) {
                return Some(server);
            }
            sleep(Duration::from_millis(5));
        }
        None
    }

    fn nodes_file(port: u16) -> String {
        format!("tidegate-nodes-{port}.conf")
    }

    pub(crate) fn bus_port(&self) -> Option<u16> {
        self.bus_port
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the server at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port, empty.
    pub(crate) fn restart(&mut self) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            if let Some(mut next) = Self::try_start(self.port, self.bus_port) {
                std::mem::swap(self, &mut next);
                return;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("the server does not start again on port {}", self.port);
    }

    /// Stops or continues the process of the server.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Sends an inline command, and returns the reply, or the start of a long one.
    pub(crate) fn command(&self, line: &str) -> String {
        self.try_command(line).unwrap_or_else(|| panic!("the server does not answer {line:?}"))
    }

    fn try_command(&self, line: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        let mut reply = [0; 8192];
        let length = stream.read(&mut reply).ok()?;
        (length > 0).then(|| String::from_utf8_lossy(&reply[..length]).into_owned())
    }
}

/// The program, which is started in another folder. A name alone is looked up in the PATH.
fn program() -> PathBuf {
    let named = PathBuf::from(env::var_os("TIDEGATE_REDIS_SERVER").unwrap_or_else(|| "redis-server".into()));
    if named.components().count() > 1 { path::absolute(named).unwrap() } else { named }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.bus_port.is_some() {
            let _ = std::fs::remove_file(env::temp_dir().join(Self::nodes_file(self.port)));
        }
    }
}
