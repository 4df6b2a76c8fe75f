//! A task for each connection, all of them on one thread.
//!
//! The event loop with better manners: instead of callbacks and hand-kept state there are coroutines that `await`, and
//! between two awaits nothing else runs, so that shared data needs no lock.
//!
//! Who uses it: Python's asyncio (uvicorn, aiohttp), Rust's tokio with its `current_thread` runtime, JavaScript's
//! `async` functions on Node.js; run once for each CPU when one is not enough.
//!
//! Good at: many connections that wait for the network or for time; code that reads from top to bottom and is easy to
//! get right, since tasks change places only where it says `await`.
//!
//! Bad at: everything that does not await. `/cpu`, `/lock`, `/disk` and `/alloc` are done here as in most such
//! applications: by calling them. Meanwhile the one thread serves nobody, and every other request waits, however cheap
//! it is. A profiler sees that wait as time in which a request is ready and its thread is busy with another.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::config::Config;
use crate::net;
use crate::routes::Work;
use crate::server::Server;
use crate::tasks;
use crate::tasks::connection::Connection;
use crate::tasks::stop::{Stopping, accept_until_stopped};
use crate::tasks::upstream::Upstreams;
use crate::work::{Done, Worker};

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let server = Server::start(net::listen(config)?, config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime: does this process have descriptors left (ulimit -n)?")?;
    let app = Rc::new(App {
        worker: RefCell::new(Worker::new(&server)),
        upstreams: Upstreams::new(config.upstream),
        server: Arc::clone(&server),
    });
    let spawn = |socket, stopping| {
        let app = Rc::clone(&app);
        tokio::task::spawn_local(async move {
            // Clients leave when they please.
            let _ = app.serve(socket, stopping).await;
        });
    };
    LocalSet::new().block_on(&runtime, accept_until_stopped(&server, spawn))?;
    server.finish()
}

/// What all tasks share. With one thread a `RefCell` is enough, as long as it is not borrowed across an `await`.
struct App {
    server: Arc<Server>,
    worker: RefCell<Worker>,
    upstreams: Upstreams,
}

impl App {
    /// One connection from its first request to its last.
    async fn serve(&self, socket: TcpStream, stopping: Stopping) -> io::Result<()> {
        let mut connection = Connection::open(&self.server, socket, stopping)?;
        while let Some(mut exchange) = connection.next_request().await? {
            let routed = self.worker.borrow().route(&exchange.request);
            let done = match routed.work {
                Ok(work) => self.perform(&work).await,
                Err(refusal) => Done::at_once(refusal),
            };
            let keep_alive = connection.write_answer(&mut exchange, &done).await?;
            exchange.end(self.worker.borrow().recorder(), routed.route, done.planted);
            if !keep_alive {
                break;
            }
        }
        Ok(())
    }

    async fn perform(&self, work: &Work) -> Done {
        match *work {
            Work::Sleep(time) => tasks::sleep(time).await,
            Work::Downstream(pause) => self.upstreams.call(pause).await,
            _ => self.worker.borrow_mut().perform(work),
        }
    }
}
