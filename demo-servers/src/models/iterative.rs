//! One blocking thread that serves one connection at a time.
//!
//! The oldest server there is: accept, serve until the client closes, accept the next. Everybody else waits in the
//! listen backlog, a keep-alive client that says nothing included, until its idle timeout.
//!
//! Who uses it: a Gunicorn sync worker is exactly this (and therefore refuses keep-alive, and is run several times
//! over); `python -m http.server` before it learnt threads; many embedded devices.
//!
//! Good at: being right. No locks, no shared state, no thread to create or switch to; on one connection with short
//! requests nothing is faster.
//!
//! Bad at: anything that waits. While one request sleeps or waits for a database the CPU idles and everybody queues;
//! the latency of a request is the sum of those before it.

use std::sync::Arc;

use anyhow::Result;

use crate::config::Config;
use crate::connection;
use crate::net;
use crate::server::Server;
use crate::work::Worker;

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    serve(&Server::start(net::listen(config)?, config)?)
}

/// The loop, in whatever process.
pub(super) fn serve(server: &Arc<Server>) -> Result<()> {
    let mut worker = Worker::new(server);
    while let Some(stream) = server.accept() {
        // A client that went away is served as well as it can be.
        let _ = connection::serve(server, &mut worker, stream);
    }
    server.finish()
}
