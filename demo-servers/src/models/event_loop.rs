//! One thread that waits for all connections at once and never for a single one.
//!
//! `epoll_wait` says which sockets can be read or written; the loop does what can be done without waiting and goes
//! back. A request that has to wait for time or for another server leaves a note (a timer, a registered socket) and
//! is picked up again when the kernel reports it.
//!
//! Who uses it: Node.js, Redis, an nginx worker, and under another name everything with `async`.
//!
//! Good at: many connections, most of them waiting. An idle one costs a few hundred bytes, nothing is switched
//! between requests, and since only one thread touches the data nothing needs a lock.
//!
//! Bad at: work. It has one CPU, and whatever blocks or computes (here `/cpu`, `/lock`, `/disk`, done inline as naive
//! code does) holds up every other connection for as long: "don't block the event loop".

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use crate::clock::MonotonicNs;
use crate::config::Config;
use crate::net;
use crate::reactor::connection::{Connection, Next};
use crate::reactor::timers::Timers;
use crate::reactor::upstream::{Returned, Upstreams};
use crate::routes::Work;
use crate::server::{ACCEPT_RETRY, Server};
use crate::truth::Kind;
use crate::work::{Done, Worker, no_upstream};

const LISTENER: Token = Token(0);

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let server = Server::start(net::listen(config)?, config)?;
    let listener = server.listener().try_clone().context("cannot duplicate the listening socket")?;
    EventLoop::new(&server, listener)?.run()?;
    server.finish()
}

/// What a timer is for.
#[derive(Clone, Copy)]
enum Timer {
    /// The answer to a `/sleep` that began then.
    Wake { connection: Token, began: MonotonicNs },
    /// To see whether a kept-alive connection is still used.
    Idle(Token),
    /// To accept again after the process ran out of descriptors: an edge-triggered event does not come twice.
    Accept,
}

struct EventLoop {
    server: Arc<Server>,
    listener: mio::net::TcpListener,
    poll: Poll,
    worker: Worker,
    /// By tokens that are never used twice: a late timer or event for a closed connection finds nothing.
    connections: HashMap<Token, Connection>,
    accepted: usize,
    timers: Timers<Timer>,
    upstreams: Option<Upstreams>,
    idle_timeout: Duration,
}

impl EventLoop {
    fn new(server: &Arc<Server>, listener: TcpListener) -> Result<Self> {
        listener.set_nonblocking(true).context("cannot make the listening socket non-blocking")?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        let poll = Poll::new().context("cannot create an epoll instance")?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)
            .context("cannot watch the listener")?;
        Ok(Self {
            listener,
            poll,
            worker: Worker::new(server),
            connections: HashMap::new(),
            accepted: 0,
            timers: Timers::default(),
            upstreams: server.config().upstream.map(Upstreams::new),
            idle_timeout: server.config().idle_timeout,
            server: Arc::clone(server),
        })
    }

    fn run(mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        // Stopping shuts the listener down, which is an event: the loop needs no other way to be told.
        while !self.server.is_stopping() {
            match self.poll.poll(&mut events, self.timers.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.context("waiting for events failed")?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    token if Upstreams::owns(token) => self.on_upstream(token),
                    token => self.on_client(token, event),
                }
            }
            while let Some(timer) = self.timers.pop_due(MonotonicNs::now()) {
                self.on_timer(timer);
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((mut socket, peer)) => {
                    self.accepted += 1;
                    let token = Token(LISTENER.0 + self.accepted);
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if self.poll.registry().register(&mut socket, token, interest).is_ok() {
                        self.connections.insert(token, Connection::new(socket, peer.port()));
                        self.timers.push(MonotonicNs::now() + self.idle_timeout, Timer::Idle(token));
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => return self.timers.push(MonotonicNs::now() + ACCEPT_RETRY, Timer::Accept),
                },
            }
        }
    }

    fn on_client(&mut self, token: Token, event: &Event) {
        // Taken out while it is worked on, and put back unless it closes.
        let Some(mut connection) = self.connections.remove(&token) else { return };
        let mut next = Next::Idle;
        if event.is_writable() {
            next = connection.send(self.worker.recorder());
        }
        if next != Next::Close && event.is_readable() {
            next = connection.on_readable(event.is_read_closed());
        }
        self.advance(token, connection, next);
    }

    fn on_upstream(&mut self, token: Token) {
        let Some(upstreams) = &mut self.upstreams else { return };
        for Returned { caller, done } in upstreams.ready(self.poll.registry(), token) {
            self.finish(caller, &done);
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Wake { connection, began } => {
                self.finish(connection, &Done::after(Kind::Sleep, MonotonicNs::now().since(began)));
            }
            Timer::Idle(token) => {
                let Some(connection) = self.connections.get(&token) else { return };
                let last_used = connection.idle_since().unwrap_or_else(MonotonicNs::now);
                let deadline = last_used + self.idle_timeout;
                if deadline <= MonotonicNs::now() {
                    self.connections.remove(&token);
                } else {
                    self.timers.push(deadline, Timer::Idle(token));
                }
            }
            Timer::Accept => self.accept(),
        }
    }

    /// Answers a request that had to wait, and goes on with its connection.
    fn finish(&mut self, token: Token, done: &Done) {
        // A client that did not wait for the answer has no connection any more.
        if let Some(mut connection) = self.connections.remove(&token) {
            let next = connection.answer(done, self.worker.recorder());
            self.advance(token, connection, next);
        }
    }

    /// Serves the requests that have arrived on a connection, up to the first that has to wait.
    fn advance(&mut self, token: Token, mut connection: Connection, mut next: Next) {
        while next == Next::Idle {
            next = match connection.next_request() {
                Ok(None) => match connection.receive_rest() {
                    Some(next) => next,
                    None => break,
                },
                Err(error) => connection.refuse(error, self.worker.recorder()),
                Ok(Some(request)) => {
                    let routed = self.worker.route(request);
                    connection.set_route(routed.route);
                    match routed
                        .work
                        .map_or_else(|refusal| Some(Done::at_once(refusal)), |w| self.begin(token, &w))
                    {
                        Some(done) => connection.answer(&done, self.worker.recorder()),
                        None => Next::Wait,
                    }
                }
            };
        }
        if next != Next::Close {
            self.connections.insert(token, connection);
        }
    }

    /// Does the work for the request of a connection; `None` if that has to wait for an event.
    fn begin(&mut self, token: Token, work: &Work) -> Option<Done> {
        match *work {
            Work::Sleep(time) => {
                let began = MonotonicNs::now();
                self.timers.push(began + time, Timer::Wake { connection: token, began });
                None
            }
            Work::Downstream(pause) => match &mut self.upstreams {
                Some(upstreams) => {
                    upstreams.call(self.poll.registry(), token, pause).map(|returned| returned.done)
                }
                None => Some(Done::at_once(no_upstream())),
            },
            _ => Some(self.worker.perform(work)),
        }
    }
}
