//! A process for each connection, forked when it is accepted and gone when it closes.
//!
//! The master accepts and forks. The child inherits the connected socket, serves it on its only thread and exits; the
//! master takes note of that (SIGCHLD, `wait`), or a zombie would stay for each connection ever served.
//!
//! Who uses it: `PostgreSQL` (a backend for each client, which is why it is run behind a pooler such as `PgBouncer`),
//! OpenSSH, inetd, the first web servers.
//!
//! Good at: isolation. A child can crash, leak or change its user id without anybody noticing, and the operating system
//! cleans up after it. Code needs no thought of others at all.
//!
//! Bad at: short connections. A fork copies page tables, the child's first writes fault, and its end has to be cleaned
//! up: some hundred µs, many times an answer. Many idle connections cost a process each, and nothing that is learned in
//! one is known in the next: here `/cached` misses anew on every connection.

use std::io;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};

use crate::config::Config;
use crate::connection;
use crate::net;
use crate::process::{Children, Notice, Notices};
use crate::server::{ACCEPT_RETRY, Server};
use crate::work::Worker;

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let mut notices = Notices::hold()?;
    let listener = net::listen(config)?;
    listener.set_nonblocking(true).context("cannot make the listening socket non-blocking")?;
    let mut children = Children::default();
    let mut config = config.clone();
    loop {
        let mut ready = [PollFd::new(&notices, PollFlags::IN), PollFd::new(&listener, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for connections failed"),
        }
        let [told, connected] = ready.map(|ready| !ready.revents().is_empty());
        if told {
            match notices.wait()? {
                Notice::Stop => break,
                Notice::ChildEnded => while children.reap().is_some() {},
            }
        }
        if !connected {
            continue;
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                // A client that left before it was accepted is no reason to wait; too few descriptors is.
                if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted) {
                    std::thread::sleep(ACCEPT_RETRY);
                }
                continue;
            }
        };
        // Otherwise the first request of every connection would draw the same from the mixture.
        config.seed = config.seed.wrapping_add(1);
        let forked = children.fork((), || {
            let server = Server::start_forked(&stream, &config)?;
            // A client that went away is served as well as it can be.
            let _ = connection::serve(&server, &mut Worker::new(&server), stream);
            server.finish()
        });
        if let Err(error) = forked {
            eprintln!("cannot fork for a connection ({error}): allow more with ulimit -u, or use fewer");
            std::thread::sleep(ACCEPT_RETRY);
        }
    }
    children.stop();
    Ok(())
}
