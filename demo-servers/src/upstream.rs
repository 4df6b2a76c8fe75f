//! The other server that `/downstream` asks: a process of its own, so that a tracer attached to the server does not
//! see it.

use std::time::Duration;

use crate::config::Config;
use crate::models::thread_per_connection;

/// A client's kept connection must not be closed between two rare calls.
const IDLE_TIMEOUT: Duration = Duration::from_hours(24);

/// How the upstream is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct UpstreamConfig {
    /// TCP port on 127.0.0.1; 0 picks a free one, which is printed
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}

/// Serves `/sleep?ms=` (and every other route) with a thread for each connection until SIGTERM or SIGINT.
pub fn serve(config: &UpstreamConfig) -> anyhow::Result<()> {
    thread_per_connection::run(&Config { port: config.port, idle_timeout: IDLE_TIMEOUT, ..Config::default() })
}
