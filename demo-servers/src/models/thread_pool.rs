//! An acceptor, a bounded queue of connections, and a fixed number of threads that serve them.
//!
//! The acceptor puts each connection into the queue; a free worker takes it and serves it until it closes. When all
//! workers are busy connections wait in the queue, and when that is full the acceptor stops accepting, so that the
//! kernel's backlog fills and new clients notice: back pressure.
//!
//! Who uses it: Java's executors and Tomcat's classic connector, Puma, Apache's worker processes inside, most
//! database connection pools.
//!
//! Good at: bounded cost. No thread is created in the path of a request, and with as many threads as the CPUs can
//! run, *fewer* threads are often *faster*: less switching, less contention.
//!
//! Bad at: requests that wait. A worker that sleeps or waits for another service is a worker less, and so is one that
//! holds an idle keep-alive connection; when all are gone the CPU idles while the queue grows. The right size depends
//! on how much the requests wait, which changes from day to day.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};

use crate::config::Config;
use crate::connection;
use crate::net;
use crate::queue::Queue;
use crate::server::Server;
use crate::work::Worker;

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    serve(&Server::start(net::listen(config)?, config)?)
}

/// The acceptor, in whatever process.
pub(super) fn serve(server: &Arc<Server>) -> Result<()> {
    let queue = Arc::new(Queue::new(server.config().queue));
    for number in 0..server.config().threads {
        let (server, queue) = (Arc::clone(server), Arc::clone(&queue));
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || work(&server, &queue))
            .context("cannot start the threads of the pool: choose fewer --threads, or raise ulimit -u")?;
    }
    while let Some(stream) = server.accept() {
        if !queue.put(stream, || server.is_stopping()) {
            break;
        }
    }
    queue.close();
    server.finish()
}

fn work(server: &Arc<Server>, queue: &Queue<TcpStream>) {
    let mut worker = Worker::new(server);
    while let Some(stream) = queue.take() {
        let _ = connection::serve(server, &mut worker, stream);
    }
}
