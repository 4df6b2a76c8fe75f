//! Several processes, forked in advance, that accept on one socket and serve one connection at a time each.
//!
//! Every worker is the iterative server. All of them block in `accept` on the socket that they inherited, and the kernel
//! wakes one for each connection. The master touches no connection: it replaces workers that die and passes on the
//! signal to stop, so a request that crashes its process costs itself and nothing else.
//!
//! Who uses it: Gunicorn with sync workers, Apache's prefork, PHP-FPM, Unicorn.
//!
//! Good at: code that cannot share. No locks, no races, leaks end with the process, and every worker has an interpreter
//! lock of its own, so all CPUs are used.
//!
//! Bad at: waiting, and memory. `--workers` is the number of requests, and of idle kept connections, that it can attend
//! to at once (Gunicorn's sync workers refuse to keep connections for that reason); one more waits in the backlog while
//! the CPU idles. Each costs a whole process, and what one has cached the others have not.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::iterative;
use crate::config::Config;
use crate::net;
use crate::process::Notices;
use crate::server::Server;
use crate::supervisor::supervise;

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    run_workers(config, iterative::serve)
}

/// The master, whatever its workers do with the socket that all share.
pub(super) fn run_workers(config: &Config, serve: fn(&Arc<Server>) -> Result<()>) -> Result<()> {
    let notices = Notices::hold()?;
    let listener = net::listen(config)?;
    supervise(
        notices,
        config,
        || listener.try_clone().context("cannot duplicate the listening socket"),
        |listener, config| serve(&Server::start_worker(listener, config)?),
    )
}
