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

mod offload;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token, Waker};

pub(super) use self::offload::{Finished, Offload, Taken};
use crate::clock::MonotonicNs;
use crate::config::Config;
use crate::net;
use crate::reactor::connection::{Connection, Next};
use crate::reactor::timers::Timers;
use crate::reactor::upstream::{Returned, Upstreams};
use crate::routes::Work;
use crate::server::{ACCEPT_RETRY, GRACE, Server};
use crate::truth::Kind;
use crate::work::{Done, Worker, no_upstream};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_CLIENT: usize = 2;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    serve(&Server::start(net::listen(config)?, config)?)
}

/// The loop, in whatever process.
pub(super) fn serve(server: &Arc<Server>) -> Result<()> {
    EventLoop::new(server, |_| Ok(Inline))?.run()?;
    server.finish()
}

/// The naive way: all work is done by the loop itself.
struct Inline;

impl Offload for Inline {}

/// What a timer is for.
#[derive(Clone, Copy)]
enum Timer {
    /// The answer to a `/sleep` that began then.
    Wake { connection: Token, began: MonotonicNs },
    /// To see whether a kept-alive connection is still used.
    Idle(Token),
    /// To accept again after the process ran out of descriptors: an edge-triggered event does not come twice.
    Accept,
    /// To leave requests behind that are still in progress long after the server was told to stop.
    GiveUp,
}

pub(super) struct EventLoop<O> {
    server: Arc<Server>,
    listener: mio::net::TcpListener,
    poll: Poll,
    worker: Worker,
    /// By tokens that are never used twice: a late timer or event for a closed connection finds nothing.
    connections: HashMap<Token, Box<Connection>>,
    /// Those that another thread has.
    taken: HashSet<Token>,
    offload: O,
    accepted: usize,
    timers: Timers<Timer>,
    upstreams: Option<Upstreams>,
    idle_timeout: Duration,
    /// Set when the server has been told to stop.
    give_up: Option<MonotonicNs>,
}

impl<O: Offload> EventLoop<O> {
    /// `offload` gets what makes wakers of this loop.
    pub(super) fn new(
        server: &Arc<Server>,
        offload: impl FnOnce(&dyn Fn() -> io::Result<Waker>) -> Result<O>,
    ) -> Result<Self> {
        let listener = server.listener()?.try_clone().context("cannot duplicate the listening socket")?;
        listener.set_nonblocking(true).context("cannot make the listening socket non-blocking")?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        let poll = Poll::new().context("cannot create an epoll instance")?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)
            .context("cannot watch the listener")?;
        Ok(Self {
            offload: offload(&|| Waker::new(poll.registry(), WAKER))?,
            listener,
            poll,
            worker: Worker::new(server),
            connections: HashMap::new(),
            taken: HashSet::new(),
            accepted: 0,
            timers: Timers::default(),
            upstreams: server.config().upstream.map(Upstreams::new),
            idle_timeout: server.config().idle_timeout,
            give_up: None,
            server: Arc::clone(server),
        })
    }

    /// Serves until the server has stopped.
    pub(super) fn run(mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        // Stopping shuts the listener down, which is an event: the loop needs no other way to be told.
        while !self.has_stopped() {
            match self.poll.poll(&mut events, self.timers.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.context("waiting for events failed")?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => self.on_woken(),
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

    /// Whether nothing is left to do. Of a server that has been told to stop only the requests in progress are.
    fn has_stopped(&mut self) -> bool {
        if !self.server.is_stopping() {
            return false;
        }
        self.connections.retain(|_, connection| connection.idle_since().is_none());
        let give_up = *self.give_up.get_or_insert_with(|| {
            let deadline = MonotonicNs::now() + GRACE;
            self.timers.push(deadline, Timer::GiveUp);
            deadline
        });
        self.connections.is_empty() && self.taken.is_empty() || give_up <= MonotonicNs::now()
    }

    fn accept(&mut self) {
        while !self.server.is_stopping() {
            match self.listener.accept() {
                Ok((mut socket, peer)) => {
                    let token = Token(FIRST_CLIENT + self.accepted);
                    self.accepted += 1;
                    if self.poll.registry().register(&mut socket, token, BOTH).is_ok() {
                        self.connections.insert(token, Box::new(Connection::new(socket, peer.port())));
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

    fn on_woken(&mut self) {
        for finished in self.offload.finished() {
            match finished {
                Finished::Work(Returned { caller, done }) => self.finish(caller, &done),
                Finished::Connection(token, mut connection, next) => {
                    self.taken.remove(&token);
                    // Its events have been lost meanwhile; changing what is watched brings those that still hold.
                    let watched = self.poll.registry().reregister(&mut connection.socket, token, BOTH);
                    if watched.is_ok() && next != Next::Close {
                        self.advance(token, connection, next);
                    }
                }
            }
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Wake { connection, began } => {
                self.finish(connection, &Done::after(Kind::Sleep, MonotonicNs::now().since(began)));
            }
            Timer::Idle(token) if self.taken.contains(&token) => {
                self.timers.push(MonotonicNs::now() + self.idle_timeout, Timer::Idle(token));
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
            Timer::GiveUp => {}
        }
    }

    /// Answers a request that had to wait, and goes on with its connection.
    fn finish(&mut self, token: Token, done: &Done) {
        // A client that did not wait for the answer has no connection any more.
        if let Some(mut connection) = self.connections.remove(&token) {
            let next = self.answer(&mut connection, done);
            self.advance(token, connection, next);
        }
    }

    fn answer(&self, connection: &mut Connection, done: &Done) -> Next {
        if self.server.is_stopping() {
            connection.close_after_answer();
        }
        connection.answer(done, self.worker.recorder())
    }

    /// Serves the requests that have arrived on a connection, up to the first that has to wait.
    fn advance(&mut self, token: Token, mut connection: Box<Connection>, mut next: Next) {
        while next == Next::Idle {
            let routed = match connection.next_request() {
                Ok(Some(request)) => self.worker.route(request),
                Ok(None) => match connection.receive_rest() {
                    Some(then) => {
                        next = then;
                        continue;
                    }
                    None => break,
                },
                Err(error) => {
                    next = connection.refuse(error, self.worker.recorder());
                    continue;
                }
            };
            connection.set_route(routed.route);
            let done = match routed.work {
                Err(refusal) => Some(Done::at_once(refusal)),
                Ok(work) => {
                    connection = match self.offload.take(token, connection, &work) {
                        Taken::No(connection) => connection,
                        Taken::Yes => {
                            self.taken.insert(token);
                            return;
                        }
                        Taken::Lost => return,
                    };
                    self.begin(token, work)
                }
            };
            next = done.map_or(Next::Wait, |done| self.answer(&mut connection, &done));
        }
        if next != Next::Close {
            self.connections.insert(token, connection);
        }
    }

    /// Does the work for the request of a connection; `None` if that has to wait for an event.
    fn begin(&mut self, token: Token, work: Work) -> Option<Done> {
        match work {
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
            work => self.offload.perform(token, work, &mut self.worker),
        }
    }
}
