//! The command line.

use std::{error::Error, io::Read, path::PathBuf, time::Duration};

pub(crate) const HELP: &str = "\
usage: throttle_api [options] [FILE | -]

Sends the requests of FILE (one path a line; `-` is standard input; without it, a list that ships with
the example), over and over, to an API that enforces a limit.

  --url URL        another server, and not the one on loopback; its answers then decide the verdict
  --limit N        requests that the API admits in a window (4800)
  --window-ms N    the length of that window in milliseconds (24000)
  --seconds N      how long the limited phase sends (48; 28 with --adaptive)
  --tasks N        tasks that send side by side (64)
  --adaptive       then send for 25 s more to an API that does not tell its limit, which is the same rate but
                   in any second; needs the feature `client`, and the server on loopback
  --svg PATH       where to write the picture (target/throttle_api.svg)
  --help           this text";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) source: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) limit: u64,
    pub(crate) window: Duration,
    pub(crate) time: Duration,
    pub(crate) tasks: u64,
    pub(crate) adaptive: bool,
    pub(crate) svg: PathBuf,
}

/// A whole number from 1 to a million.
fn number(name: &str, value: &str) -> Result<u64, String> {
    match value.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err(format!("{name} takes a whole number from 1 to 1000000, not {value:?}")),
    }
}

impl Options {
    /// The options; `None` if the user asked for help.
    pub(crate) fn from_args() -> Result<Option<Self>, String> {
        let mut options = Self {
            source: None,
            url: None,
            limit: 4_800,
            window: Duration::from_secs(24),
            time: Duration::ZERO,
            tasks: 64,
            adaptive: false,
            svg: PathBuf::from("target/throttle_api.svg"),
        };
        let mut time = None;
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            if arg == "--help" || arg == "-h" {
                return Ok(None);
            }
            let mut value = || args.next().ok_or_else(|| format!("{arg} takes a value"));
            let number = |value: String| number(&arg, &value);
            match arg.as_str() {
                "--url" => options.url = Some(value()?.trim_end_matches('/').to_owned()),
                "--limit" => options.limit = number(value()?)?,
                "--window-ms" => options.window = Duration::from_millis(number(value()?)?),
                "--seconds" => time = Some(Duration::from_secs(number(value()?)?)),
                "--tasks" => options.tasks = number(value()?)?,
                "--adaptive" => options.adaptive = true,
                "--svg" => options.svg = PathBuf::from(value()?),
                other if other.starts_with('-') && other != "-" => {
                    return Err(format!("unknown option {other}"));
                }
                _ => {
                    if let Some(first) = options.source.replace(arg.clone()) {
                        return Err(format!("one list at a time: {first} or {arg}"));
                    }
                }
            }
        }
        // Either way the whole run takes less than a minute.
        options.time = time.unwrap_or(Duration::from_secs(if options.adaptive { 28 } else { 48 }));
        if options.adaptive && !cfg!(feature = "client") {
            return Err("--adaptive needs a feature: cargo run --release --features client --example \
                        throttle_api -- --adaptive"
                .to_owned());
        }
        if options.adaptive && options.url.is_some() {
            return Err(
                "--adaptive is judged by the log of the server on loopback: leave out --url".to_owned()
            );
        }
        Ok(Some(options))
    }

    /// The list of paths to request.
    pub(crate) fn requests(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let text = match self.source.as_deref() {
            None => include_str!("requests.txt").to_owned(),
            Some("-") => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text)?;
                text
            }
            Some(path) => {
                std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?
            }
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut paths = Vec::new();
        for line in lines {
            if !line.starts_with('/') {
                return Err(format!("a request is a path that starts with a slash, not {line:?}").into());
            }
            paths.push(line.to_owned());
        }
        if paths.is_empty() {
            return Err("the list of requests is empty".into());
        }
        Ok(paths)
    }
}
