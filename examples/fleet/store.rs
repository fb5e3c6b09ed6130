//! The Redis server, which ends with this value.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

pub(crate) struct Store {
    child: Child,
    port: u16,
}

impl Store {
    /// On a free port of loopback, without persistence.
    pub(crate) fn start() -> io::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            // So that it reads no file of another server.
            .args(["--dbfilename", &format!("tidegate-{port}.rdb")])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn()?;
        let store = Self { child, port };
        let start = Instant::now();
        while !store.answers() {
            if start.elapsed() > Duration::from_secs(20) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(store)
    }

    fn answers(&self) -> bool {
        let asked = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
            stream.write_all(b"PING\r\n")?;
            let mut reply = [0; 5];
            stream.read_exact(&mut reply)?;
            Ok(reply)
        });
        asked.is_ok_and(|reply| reply == *b"+PONG")
    }

    pub(crate) fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Stops the process, or has it go on.
    pub(crate) fn signal(&self, name: &str) -> io::Result<()> {
        Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().map(drop)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
