//! The options that every model understands, whether it needs them or not: so one command line fits them all.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How a reference server is to be run.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Config {
    /// TCP port on 127.0.0.1; 0 picks a free one, which is printed
    #[arg(long, default_value_t = 0)]
    pub port: u16,

    /// Processes, in the models that have several
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: u16,

    /// Threads in the pool, in the models that have one
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub threads: u16,

    /// How many connections may wait for a pool thread; when it is full the acceptor stops accepting
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub queue: u32,

    /// Connections that the kernel may hold until they are accepted (capped by net.core.somaxconn)
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(i32).range(1..))]
    pub backlog: i32,

    /// The server that /downstream asks (see the command `upstream`)
    #[arg(long, value_name = "HOST:PORT")]
    pub upstream: Option<SocketAddr>,

    /// Where /disk keeps its scratch files [default: the system's temporary directory]
    #[arg(long)]
    pub dir: Option<PathBuf>,

    /// Append what really happened in each request to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,

    /// Close a kept-alive connection after this many seconds without a request
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub idle_timeout: Duration,

    /// What the mixture of /mix is drawn from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 0,
            workers: 2,
            threads: 4,
            queue: 128,
            backlog: 1024,
            upstream: None,
            dir: None,
            truth: None,
            idle_timeout: Duration::from_secs(5),
            seed: 1,
        }
    }
}

impl Config {
    /// The directory of the scratch files.
    pub fn scratch_dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// Parses a positive number of seconds, with a fraction if wanted.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse().map(Duration::try_from_secs_f64) {
        Ok(Ok(span)) if !span.is_zero() => Ok(span),
        _ => Err("give a positive number of seconds, such as 5 or 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    /// A program that uses `Config::default()` gets what the command line gives.
    #[test]
    fn defaults_are_those_of_the_command_line() {
        assert_eq!(Cli::parse_from(["serve"]).config, Config::default());
    }

    #[test]
    fn seconds_must_be_positive() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["0", "-1", "x", "inf"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
