//! One event loop, and a few threads for what would block it.
//!
//! The loop alone talks to clients. Work that blocks or computes goes through a queue to a pool; a pool thread that is
//! done leaves the result in a list and wakes the loop (an `eventfd`), which writes the answer. What waits without a
//! thread anyway, timers and other servers, stays in the loop.
//!
//! Who uses it: Node.js (libuv's pool, four threads unless `UV_THREADPOOL_SIZE` says otherwise, for files, DNS, crypto),
//! nginx with `aio threads`, Python's asyncio with `run_in_executor`.
//!
//! Good at: keeping the promise of the event loop. A slow disk or a long computation holds up only those who need it,
//! everybody else is answered meanwhile.
//!
//! Bad at: what is small. The way there and back is two hand-overs between threads, more than a short computation
//! costs. And the pool is a pool: with four slow files under way the fifth waits, unseen, in a queue without bound
//! (libuv's has none either, so `--queue` changes nothing here).

use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use mio::Token;

use super::event_loop::{EventLoop, Finished, Offload};
use crate::config::Config;
use crate::net;
use crate::queue::Queue;
use crate::reactor::mailbox::Mailbox;
use crate::reactor::upstream::Returned;
use crate::routes::Work;
use crate::server::Server;
use crate::work::{Done, Worker};

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let server = Server::start(net::listen(config)?, config)?;
    let event_loop = EventLoop::new(&server, |waker| {
        let waker = waker().context("cannot create an eventfd to wake the loop")?;
        Pool::start(&server, Mailbox::new(waker))
    })?;
    event_loop.run()?;
    server.finish()
}

struct Pool {
    server: Arc<Server>,
    shared: Arc<Shared>,
}

struct Shared {
    jobs: Queue<(Token, Work)>,
    results: Mailbox<Finished>,
}

impl Pool {
    fn start(server: &Arc<Server>, results: Mailbox<Finished>) -> Result<Self> {
        let shared = Arc::new(Shared { jobs: Queue::unbounded(), results });
        for number in 0..server.config().threads {
            let (server, shared) = (Arc::clone(server), Arc::clone(&shared));
            thread::Builder::new()
                .name(format!("pool-{number}"))
                .spawn(move || shared.work(&server))
                .context(
                    "cannot start the threads of the pool: choose fewer --threads, or raise ulimit -u",
                )?;
        }
        Ok(Self { server: Arc::clone(server), shared })
    }
}

impl Offload for Pool {
    fn perform(&mut self, token: Token, work: Work, worker: &mut Worker) -> Option<Done> {
        let blocks = match &work {
            Work::Cpu(_) | Work::Lock(_) | Work::Disk(_) | Work::Alloc(_) => true,
            Work::Cached(key) => self.server.cache().get(key).is_none(),
            Work::Plaintext | Work::Json | Work::Sleep(_) | Work::Downstream(_) => false,
        };
        if !blocks {
            return Some(worker.perform(&work));
        }
        self.shared.jobs.put((token, work), || false);
        None
    }

    fn finished(&mut self) -> Vec<Finished> {
        self.shared.results.take()
    }
}

impl Shared {
    fn work(&self, server: &Arc<Server>) {
        let mut worker = Worker::new(server);
        while let Some((caller, work)) = self.jobs.take() {
            let done = worker.perform(&work);
            self.results.put(Finished::Work(Returned { caller, done }));
        }
    }
}
