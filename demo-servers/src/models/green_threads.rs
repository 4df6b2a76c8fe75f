//! A coroutine with a stack of its own for each connection, all on one thread.
//!
//! The code of a connection is that of a thread: it reads, works and writes, and nothing in it says `await`. But its
//! socket is not what it seems: where a thread would block in the kernel, the coroutine saves its registers, switches
//! to the hub's stack, and the hub runs `epoll_wait` for all of them. A switch costs some ten nanoseconds and no system
//! call.
//!
//! Who uses it: Python's gevent and eventlet (which replace the socket functions at run time, "monkey patching"), Lua
//! in `OpenResty`, PHP's Swoole, Ruby's fibers; Java's virtual threads and Go's goroutines are the same over several
//! threads.
//!
//! Good at: giving code that was written for threads the price of an event loop, with no word of it changed.
//!
//! Bad at: showing where it switches, and whatever the hub does not know. `/cpu`, `/lock`, `/disk` and `/alloc` are
//! calls into the kernel or plain work, which block the thread and with it every coroutine, as files do in gevent.
//! Each connection keeps a stack. A profiler that looks at the thread sees one that is always in `epoll_wait` or at
//! work; who waits for what is known to the hub alone.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use anyhow::{Context, Result};

use crate::clock::MonotonicNs;
use crate::config::Config;
use crate::connection::Connection;
use crate::green::stream::{GreenStream, Registered, Sockets};
use crate::green::{self, Hub, Switch, Turn};
use crate::net;
use crate::routes::Work;
use crate::server::{ACCEPT_RETRY, GRACE, Server};
use crate::truth::Kind;
use crate::work::downstream::{self, sleep_request};
use crate::work::{Done, Worker, no_upstream};

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let server = Server::start(net::listen(config)?, config)?;
    let listener = server.listener().context("this process has no listening socket")?;
    listener.set_nonblocking(true).context("cannot make the listening socket non-blocking")?;
    let mut hub = Hub::new(listener).context("cannot create an epoll instance")?;
    let app = Rc::new(App {
        worker: RefCell::new(Worker::new(&server)),
        sockets: Sockets::new(hub.registry().context("cannot duplicate the epoll instance")?),
        upstreams: RefCell::default(),
        server: Arc::clone(&server),
    });
    // Stopping shuts the listener down, which is an event.
    while !server.is_stopping() {
        if hub.turn(None).context("waiting for events failed")? == Turn::Listener {
            accept(&mut hub, &app);
        }
    }
    let deadline = MonotonicNs::now() + GRACE;
    while !hub.is_idle() && deadline > MonotonicNs::now() {
        hub.turn(Some(deadline.remaining())).context("waiting for events failed")?;
    }
    // A coroutine that still waits is unwound, which closes its connection.
    drop(hub);
    server.finish()
}

/// Starts a coroutine for each connection that has come.
fn accept(hub: &mut Hub, app: &Rc<App>) {
    let Some(listener) = app.server.listener() else { return };
    loop {
        let started = match listener.accept() {
            Ok((socket, _)) => {
                let app = Rc::clone(app);
                hub.spawn(move |switch| {
                    // Clients leave when they please.
                    let _ = app.serve(socket, switch);
                })
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return,
                io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => continue,
                _ if app.server.is_stopping() => return,
                _ => Err(error),
            },
        };
        if started.is_err() {
            // Out of descriptors or memory. The event for what waits in the backlog will not come twice, so the loop
            // goes on, slowly, and holds everybody up: nothing better is left to a server in that state.
            thread::sleep(ACCEPT_RETRY);
        }
    }
}

/// What all coroutines share. With one thread a `RefCell` is enough, as long as it is not borrowed across a switch.
struct App {
    server: Arc<Server>,
    worker: RefCell<Worker>,
    sockets: Sockets,
    /// Kept connections to the upstream that no call uses at the moment.
    upstreams: RefCell<Vec<Registered<TcpStream>>>,
}

impl App {
    /// One connection from its first request to its last, as a thread would serve it.
    fn serve(&self, socket: TcpStream, switch: &Switch) -> io::Result<()> {
        let port = socket.peer_addr()?.port();
        let stream = self.sockets.register(self.server.register(socket))?.held_by(switch);
        let stream = stream.with_read_timeout(self.server.config().idle_timeout);
        let mut connection = Connection::on(&self.server, stream, port);
        while let Some(mut exchange) = connection.next_request()? {
            let routed = self.worker.borrow().route(&exchange.request);
            let done = match routed.work {
                Ok(work) => self.perform(&work, switch),
                Err(refusal) => Done::at_once(refusal),
            };
            let keep_alive = connection.write_answer(&mut exchange, &done)?;
            exchange.end(self.worker.borrow().recorder(), routed.route, done.planted);
            if !keep_alive {
                break;
            }
        }
        Ok(())
    }

    fn perform(&self, work: &Work, switch: &Switch) -> Done {
        match *work {
            Work::Sleep(time) => {
                let began = MonotonicNs::now();
                green::sleep(switch, time);
                Done::after(Kind::Sleep, MonotonicNs::now().since(began))
            }
            Work::Downstream(pause) => match self.server.config().upstream {
                Some(address) => {
                    let began = MonotonicNs::now();
                    let status = self.call(address, pause, switch);
                    Done::downstream(MonotonicNs::now().since(began), status)
                }
                None => Done::at_once(no_upstream()),
            },
            _ => self.worker.borrow_mut().perform(work),
        }
    }

    /// Asks the upstream and waits for its answer, as a thread would.
    fn call(&self, address: SocketAddr, pause: Duration, switch: &Switch) -> io::Result<u16> {
        let request = sleep_request(pause);
        let kept = self.upstreams.borrow_mut().pop();
        // A kept connection may have been closed by the other side while it was idle: that is no failure yet.
        if let Some(Ok(status)) = kept.map(|kept| self.ask(kept.held_by(switch), &request)) {
            return Ok(status);
        }
        self.ask(self.sockets.connect(address, switch)?, &request)
    }

    fn ask(&self, mut stream: GreenStream<'_, TcpStream>, request: &[u8]) -> io::Result<u16> {
        let answer = downstream::exchange(&mut stream, request)?;
        if answer.keep_alive {
            self.upstreams.borrow_mut().push(stream.release());
        }
        Ok(answer.status)
    }
}
