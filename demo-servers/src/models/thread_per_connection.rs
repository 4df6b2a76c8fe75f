//! A thread for each connection, created when it is accepted and gone when it closes.
//!
//! The main thread only accepts. Each connection's thread is written as if its client were the only one: it blocks
//! in `recv`, works, blocks in `send`, and the kernel's scheduler does the rest.
//!
//! Who uses it: classic Java servers ("one socket, one thread"), `MySQL` by default, OpenSSH and `PostgreSQL`
//! with processes in place of threads.
//!
//! Good at: simplicity with concurrency. One slow request holds up nobody else, and all CPUs are used without any
//! thought.
//!
//! Bad at: many connections. Every one costs a stack and a creation (tens of µs), idle ones too; when many are
//! runnable at once they crowd the CPUs, pay for context switches and fight for the same locks. Nothing bounds them:
//! under overload it does not refuse work, it gets slower for everybody.

use std::sync::Arc;
use std::thread;

use anyhow::Result;

use crate::config::Config;
use crate::connection;
use crate::net;
use crate::server::{ACCEPT_RETRY, Server};
use crate::work::Worker;

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let server = Server::start(net::listen(config)?, config)?;
    while let Some(stream) = server.accept() {
        let its = Arc::clone(&server);
        let spawned = thread::Builder::new().name("connection".to_owned()).spawn(move || {
            let mut worker = Worker::new(&its);
            let _ = connection::serve(&its, &mut worker, stream);
        });
        if let Err(error) = spawned {
            // The failed call has dropped, and so closed, the connection. The limit is not lifted by trying at once.
            eprintln!(
                "cannot start a thread for a connection ({error}): allow more with ulimit -u, or use fewer"
            );
            thread::sleep(ACCEPT_RETRY);
        }
    }
    server.finish()
}
