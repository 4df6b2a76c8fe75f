//! Several processes, forked in advance, each with a pool of threads.
//!
//! Every worker is the thread pool server: one thread that accepts, on the socket that all workers share, a queue, and
//! `--threads` that serve. The master only keeps `--workers` of them running.
//!
//! Who uses it: Gunicorn's gthread workers, Apache's worker and event modules, Puma in cluster mode, uWSGI.
//!
//! Good at: having both. Threads are the cheap way to have many requests wait at once; processes are what gets an
//! interpreter with a global lock onto several CPUs, and what bounds the harm of a crash.
//!
//! Bad at: balance. Whichever acceptor is quicker takes the connection, whether its threads are busy or not: one
//! process's queue can grow while another one's threads idle. And there are two numbers to get right in place of one.

use anyhow::{Context, Result};

use super::thread_pool;
use crate::config::Config;
use crate::net;
use crate::process::Notices;
use crate::server::Server;
use crate::supervisor::supervise;

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let notices = Notices::hold()?;
    let listener = net::listen(config)?;
    supervise(
        notices,
        config,
        || listener.try_clone().context("cannot duplicate the listening socket"),
        |listener, config| thread_pool::serve(&Server::start_worker(listener, config)?),
    )
}
