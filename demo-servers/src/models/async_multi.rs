//! A task for each connection, on a runtime that spreads the tasks over a few threads.
//!
//! A task is written like a thread (read, work, write) but is a state machine of some hundred bytes: where it would
//! wait it says `await`, and the thread takes another task. Each worker thread has a queue and steals from the others
//! when it is empty; one of them looks after epoll and the timers. A request may begin on one thread and end on
//! another.
//!
//! Who uses it: Rust's tokio (hyper, axum, tonic); Go has the same inside its runtime, .NET and Kotlin nearly so.
//!
//! Good at: many connections that mostly wait, and all CPUs used, with code that reads from top to bottom.
//!
//! Bad at: hidden blocking. A worker that blocks is missing to every task in its queue, so people who know the model
//! sort their work, as is done here: `/cpu`, `/alloc` and `/cached` are short and run inline (a thread switch would cost
//! more); `/disk` and `/lock` may block for long and go to `spawn_blocking`, the runtime's elastic pool of up to 512
//! threads; `/sleep` and `/downstream` are awaited. What a request pays for that is two thread switches, and a profiler
//! sees its work on a thread that never touched its socket.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use crate::config::Config;
use crate::http::{Response, Status};
use crate::net;
use crate::routes::Work;
use crate::server::Server;
use crate::tasks;
use crate::tasks::connection::Connection;
use crate::tasks::stop::{Stopping, accept_until_stopped};
use crate::tasks::upstream::Upstreams;
use crate::work::{Done, Worker};

thread_local! {
    /// What a thread of the runtime works with, made at its first use.
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let server = Server::start(net::listen(config)?, config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads.into())
        .enable_all()
        .build()
        .context("cannot start the threads of the runtime: choose fewer --threads, or raise ulimit -u")?;
    let upstreams = Arc::new(Upstreams::new(config.upstream));
    let accepting = Arc::clone(&server);
    // Spawned and not run here: this thread is none of the runtime's workers.
    let accepted = runtime.block_on(runtime.spawn(async move {
        let spawn = |socket, stopping| {
            let (server, upstreams) = (Arc::clone(&accepting), Arc::clone(&upstreams));
            tokio::spawn(async move {
                // Clients leave when they please.
                let _ = serve(&server, &upstreams, socket, stopping).await;
            });
        };
        accept_until_stopped(&accepting, spawn).await
    }));
    // Requests that are still blocked end with the process.
    runtime.shutdown_background();
    accepted.context("the accepting task was lost")??;
    server.finish()
}

/// One connection from its first request to its last.
async fn serve(
    server: &Arc<Server>,
    upstreams: &Upstreams,
    socket: TcpStream,
    stopping: Stopping,
) -> io::Result<()> {
    let mut connection = Connection::open(server, socket, stopping)?;
    while let Some(mut exchange) = connection.next_request().await? {
        let routed = on_this_thread(server, |worker| worker.route(&exchange.request));
        let done = match routed.work {
            Ok(work) => perform(server, upstreams, work).await,
            Err(refusal) => Done::at_once(refusal),
        };
        let keep_alive = connection.write_answer(&mut exchange, &done).await?;
        on_this_thread(server, |worker| exchange.end(worker.recorder(), routed.route, done.planted));
        if !keep_alive {
            break;
        }
    }
    Ok(())
}

async fn perform(server: &Arc<Server>, upstreams: &Upstreams, work: Work) -> Done {
    match work {
        Work::Sleep(time) => tasks::sleep(time).await,
        Work::Downstream(pause) => upstreams.call(pause).await,
        Work::Disk(_) | Work::Lock(_) => {
            let server = Arc::clone(server);
            let blocking = move || on_this_thread(&server, |worker| worker.perform(&work));
            tokio::task::spawn_blocking(blocking).await.unwrap_or_else(|lost| {
                Done::at_once(Response::error(
                    Status::InternalServerError,
                    &format!("the work was lost: {lost}"),
                ))
            })
        }
        Work::Plaintext | Work::Json | Work::Cpu(_) | Work::Alloc(_) | Work::Cached(_) => {
            on_this_thread(server, |worker| worker.perform(&work))
        }
    }
}

/// Never held across an `await`: the task may go on elsewhere.
fn on_this_thread<T>(server: &Arc<Server>, work: impl FnOnce(&mut Worker) -> T) -> T {
    WORKER.with_borrow_mut(|worker| work(worker.get_or_insert_with(|| Worker::new(server))))
}
