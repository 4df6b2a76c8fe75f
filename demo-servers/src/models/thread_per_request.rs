//! A thread for each request, created when it has been read and gone when it has been answered.
//!
//! One thread waits for all connections at once and reads what arrives. Each complete request gets a new thread, which
//! does the work, writes the answer, hands the connection back and ends. Idle connections cost no thread; every single
//! request does, the next one of a kept connection too.
//!
//! Who uses it: CGI and early servlet containers in spirit, home-made servers that "just start a thread" in a handler,
//! and task queues with a thread a task. With virtual threads, which cost next to nothing, Java has come back to it.
//!
//! Good at: what a thread for each connection is good at (one slow request holds up nobody, all CPUs are used), with
//! thousands of idle connections on top.
//!
//! Bad at: short requests. Creating a thread, getting it onto a CPU and taking its stack down again costs tens of µs;
//! an answer from memory costs one or two. Most of the server's time then goes into threads, not into requests: the
//! reason why pools were invented. And as nothing bounds their number, overload makes all of them slow.

use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use mio::Token;

use super::event_loop::{EventLoop, Finished, Offload, Taken};
use crate::config::Config;
use crate::net;
use crate::reactor::connection::Connection;
use crate::reactor::mailbox::Mailbox;
use crate::routes::Work;
use crate::server::Server;
use crate::work::Worker;

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let server = Server::start(net::listen(config)?, config)?;
    let dispatcher = EventLoop::new(&server, |waker| {
        let waker = waker().context("cannot create an eventfd to wake the dispatcher")?;
        Ok(Threads { server: Arc::clone(&server), returned: Arc::new(Mailbox::new(waker)) })
    })?;
    dispatcher.run()?;
    server.finish()
}

struct Threads {
    server: Arc<Server>,
    returned: Arc<Mailbox<Finished>>,
}

impl Offload for Threads {
    fn take(&mut self, token: Token, mut connection: Box<Connection>, work: &Work) -> Taken {
        let (server, returned, work) = (Arc::clone(&self.server), Arc::clone(&self.returned), work.clone());
        let spawned = thread::Builder::new().name("request".to_owned()).spawn(move || {
            let mut worker = Worker::new(&server);
            let done = worker.perform(&work);
            if server.is_stopping() {
                connection.close_after_answer();
            }
            let next = connection.answer(&done, worker.recorder());
            returned.put(Finished::Connection(token, connection, next));
        });
        match spawned {
            Ok(_) => Taken::Yes,
            Err(error) => {
                eprintln!(
                    "cannot start a thread for a request ({error}): allow more with ulimit -u, or use fewer"
                );
                Taken::Lost
            }
        }
    }

    fn finished(&mut self) -> Vec<Finished> {
        self.returned.take()
    }
}
