//! A thread for each connection, only one of which may run application code at a time: Python.
//!
//! Threads, a kernel that runs them on all CPUs, and one lock around the interpreter
//! ([`InterpreterLock`](interpreter_lock::InterpreterLock)). A thread holds it while it runs Python code and lets go of
//! it around whatever blocks: reading and writing sockets, sleeping, files, other locks. One that only computes is made
//! to let go every 5 ms if another one wants to run.
//!
//! Who uses it: `CPython`'s `http.server`, Flask's and Django's own servers, Gunicorn's gthread inside each worker; Ruby
//! is the same with other numbers.
//!
//! Good at: waiting. Requests that wait for a database do it all at once, like with any threads; and what the lock buys
//! is an interpreter whose every operation is atomic and whose single thread is fast.
//!
//! Bad at: computing. More threads do not make two requests that compute any faster than one after the other, however
//! many CPUs there are. And they hurt those that hardly compute: after every blocking call a request has to wait for the
//! lock again, up to 5 ms each time behind a busy thread (the "convoy effect").

pub mod interpreter_lock;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use anyhow::Result;

use self::interpreter_lock::InterpreterLock;
use crate::config::Config;
use crate::connection::Connection;
use crate::net;
use crate::routes::Work;
use crate::server::{ACCEPT_RETRY, Server};
use crate::work::{Done, Worker};

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let server = Server::start(net::listen(config)?, config)?;
    let lock = Arc::new(InterpreterLock::default());
    let mut main = lock.attach();
    while let Some(stream) = main.allow_threads(|| server.accept()) {
        let (its, lock) = (Arc::clone(&server), Arc::clone(&lock));
        let spawned = thread::Builder::new().name("connection".to_owned()).spawn(move || {
            let _ = serve(&its, &lock, stream);
        });
        if let Err(error) = spawned {
            eprintln!(
                "cannot start a thread for a connection ({error}): allow more with ulimit -u, or use fewer"
            );
            main.allow_threads(|| thread::sleep(ACCEPT_RETRY));
        }
    }
    drop(main);
    server.finish()
}

fn serve(server: &Arc<Server>, lock: &InterpreterLock, stream: TcpStream) -> io::Result<()> {
    let mut worker = Worker::new(server);
    let mut connection = Connection::open(server, stream)?;
    let mut thread = lock.attach();
    while let Some(exchange) = thread.allow_threads(|| connection.next_request())? {
        let routed = worker.route(&exchange.request);
        let done = match &routed.work {
            Ok(work) if blocks(work) => thread.allow_threads(|| worker.perform(work)),
            Ok(work) => worker.perform_in_steps(work, &mut || thread.check()),
            Err(refusal) => Done::at_once(refusal.clone()),
        };
        if !thread.allow_threads(|| connection.answer(exchange, routed.route, &done, &worker))? {
            break;
        }
    }
    Ok(())
}

/// Whether a Python library would do this outside the lock.
fn blocks(work: &Work) -> bool {
    match work {
        Work::Sleep(_) | Work::Lock(_) | Work::Disk(_) | Work::Downstream(_) => true,
        Work::Plaintext | Work::Json | Work::Cpu(_) | Work::Alloc(_) | Work::Cached(_) => false,
    }
}
