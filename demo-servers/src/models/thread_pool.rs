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

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::config::Config;
use crate::connection;
use crate::net;
use crate::server::Server;
use crate::work::Worker;

const STOP_CHECK: Duration = Duration::from_millis(100);

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let server = Server::start(net::listen(config)?, config)?;
    let queue = Arc::new(Queue::new(config.queue));
    for number in 0..config.threads {
        let (server, queue) = (Arc::clone(&server), Arc::clone(&queue));
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

fn work(server: &Arc<Server>, queue: &Queue) {
    let mut worker = Worker::new(server);
    while let Some(stream) = queue.take() {
        let _ = connection::serve(server, &mut worker, stream);
    }
}

/// Connections between the acceptor and the workers.
#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    capacity: usize,
    filled: Condvar,
    drained: Condvar,
}

#[derive(Debug, Default)]
struct State {
    connections: VecDeque<TcpStream>,
    closed: bool,
}

impl Queue {
    fn new(capacity: u32) -> Self {
        Self {
            state: Mutex::default(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            filled: Condvar::new(),
            drained: Condvar::new(),
        }
    }

    /// Adds a connection, waiting while the queue is full; false if `give_up` says so meanwhile.
    fn put(&self, stream: TcpStream, give_up: impl Fn() -> bool) -> bool {
        let mut state = self.lock();
        while state.connections.len() >= self.capacity {
            if give_up() {
                return false;
            }
            // Workers that are all busy for long would keep a stopping server from noticing, so look now and then.
            state = self.drained.wait_timeout(state, STOP_CHECK).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.connections.push_back(stream);
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Takes the connection that has waited longest, waiting for one if there is none; `None` once closed.
    fn take(&self) -> Option<TcpStream> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(stream) = state.connections.pop_front() {
                drop(state);
                self.drained.notify_one();
                return Some(stream);
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends the workers home and closes the connections that nobody has begun to serve.
    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.connections.clear();
        drop(state);
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn stream(listener: &TcpListener) -> TcpStream {
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    }

    /// First in, first out; a full queue holds up who fills it until something is taken.
    #[test]
    fn a_full_queue_pushes_back() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let queue = Queue::new(1);
        let (first, second) = (stream(&listener), stream(&listener));
        let first_port = first.local_addr().unwrap().port();
        assert!(queue.put(first, || false));
        thread::scope(|scope| {
            let put = scope.spawn(|| queue.put(second, || false));
            thread::sleep(Duration::from_millis(50));
            assert!(!put.is_finished());
            assert_eq!(queue.take().unwrap().local_addr().unwrap().port(), first_port);
            assert!(put.join().unwrap());
        });
        assert!(!queue.put(stream(&listener), || true));
        queue.close();
        assert!(queue.take().is_none());
    }
}
