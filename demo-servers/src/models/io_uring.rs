//! One thread that tells the kernel what to do, in batches, and is told what has been done.
//!
//! `epoll` says that a socket *can* be read, and then the thread reads it: two system calls. With `io_uring` the thread
//! queues the whole operation ("receive into this buffer", "send that", "tell me in 5 ms") in memory that it shares with
//! the kernel, and picks results up from a second queue. One `io_uring_enter` submits everything that a turn of the
//! loop has queued and waits for the next results: the busier the server, the fewer system calls a request costs. This is
//! the *proactor* where the event loop is the *reactor*.
//!
//! Who uses it: storage first (`ScyllaDB`'s Seastar, `RocksDB`, QEMU), `TigerBeetle`, Rust's glommio and monoio, and more
//! network servers every year.
//!
//! Good at: many small operations for few switches into the kernel, and one way for sockets, files and timers.
//!
//! Bad at: what it shares with the event loop, since work on the one thread (`/cpu`, `/lock`, `/disk`, `/alloc`) holds
//! up everybody. Besides, every receive that waits owns a buffer, since the kernel may fill it at any time, and freeing
//! it too early is a bug that corrupts memory. Many container runtimes and distributions forbid it. A profiler that
//! counts `read`, `recvfrom` and `write` sees a server that serves without any.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::MonotonicNs;
use crate::config::Config;
use crate::dialogue::{Dialogue, Exchange, RECEIVE_BYTES, Step};
use crate::net;
use crate::ring::upstream::{self, Returned, Upstreams};
use crate::ring::{Completion, Ring};
use crate::routes::Work;
use crate::server::{ACCEPT_RETRY, GRACE, OpenConnection, Server};
use crate::truth::{Kind, Planted};
use crate::work::{Done, Worker, no_upstream};

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    // First: without a ring nobody should be told that the server listens.
    let ring = Ring::new()?;
    let server = Server::start(net::listen(config)?, config)?;
    RingServer {
        ring,
        worker: Worker::new(&server),
        clients: HashMap::new(),
        accepted: 0,
        multishot: true,
        upstreams: config.upstream.map(Upstreams::new),
        server: Arc::clone(&server),
    }
    .run()?;
    server.finish()
}

/// Which operation of which connection. The numbers of connections are never used twice: what completes too late finds
/// nobody.
#[derive(Debug, Clone, Copy)]
enum Tag {
    Accept,
    /// To accept again after the process ran out of descriptors.
    AcceptAgain,
    Receive(u64),
    Send(u64),
    /// The timer of a `/sleep` that began then.
    Sleep(u64, MonotonicNs),
    Upstream(upstream::Event),
    /// To see whether a kept-alive connection is still used.
    Idle(u64),
    /// The end of the time that requests have to finish when the server stops.
    Grace,
}

impl From<upstream::Event> for Tag {
    fn from(event: upstream::Event) -> Self {
        Self::Upstream(event)
    }
}

struct RingServer {
    server: Arc<Server>,
    ring: Ring<Tag>,
    worker: Worker,
    clients: HashMap<u64, Client>,
    accepted: u64,
    /// Whether the kernel may accept several connections for one request.
    multishot: bool,
    upstreams: Option<Upstreams>,
}

/// A connection. One thing happens to it at a time: it receives, or a request is worked on, or the answer is sent.
struct Client {
    socket: OpenConnection,
    dialogue: Dialogue,
    /// The request that is being worked on or answered.
    serving: Option<Serving>,
    /// To receive into; empty while the kernel has it.
    buffer: Vec<u8>,
    sent: usize,
    last_used: MonotonicNs,
}

struct Serving {
    exchange: Exchange,
    route: &'static str,
    planted: Planted,
}

/// What becomes of a connection after one of its operations; an error closes it, as clients leave when they please.
type Next = io::Result<Option<Client>>;

impl RingServer {
    fn run(mut self) -> Result<()> {
        let mut completions = Vec::new();
        let mut stopping = false;
        self.accept()?;
        loop {
            self.ring.turn(&mut completions).context("waiting for completions failed")?;
            for completion in completions.drain(..) {
                if matches!(completion.tag, Tag::Grace) {
                    return Ok(());
                }
                self.on_completion(completion)?;
            }
            // Stopping shuts down the listener and the reading side of every connection, which completes operations:
            // the loop needs no other way to be told.
            if self.server.is_stopping() {
                if self.clients.is_empty() {
                    return Ok(());
                }
                if !stopping {
                    stopping = true;
                    self.ring.timer(GRACE, Tag::Grace)?;
                }
            }
        }
    }

    fn on_completion(&mut self, completion: Completion<Tag>) -> Result<()> {
        match completion.tag {
            Tag::Accept => self.on_accept(completion)?,
            Tag::AcceptAgain => self.accept()?,
            Tag::Receive(id) => self.with_client(id, |this, client| this.on_receive(id, client, completion)),
            Tag::Send(id) => self.with_client(id, |this, client| this.on_send(id, client, completion)),
            Tag::Sleep(id, began) => {
                self.finish(id, &Done::after(Kind::Sleep, MonotonicNs::now().since(began)));
            }
            Tag::Upstream(event) => {
                if let Some(upstreams) = &mut self.upstreams {
                    for Returned { caller, done } in
                        upstreams.on_completion(&mut self.ring, event, completion)
                    {
                        self.finish(caller, &done);
                    }
                }
            }
            Tag::Idle(id) => self.on_idle(id)?,
            Tag::Grace => {}
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        let listener = self.server.listener().context("this process has no listening socket")?;
        Ok(self.ring.accept(listener, self.multishot, Tag::Accept)?)
    }

    fn on_accept(&mut self, completion: Completion<Tag>) -> Result<()> {
        if let Some(socket) = completion.accepted {
            self.accepted += 1;
            let id = self.accepted;
            if let Ok(Some(client)) = self.open(id, socket) {
                self.clients.insert(id, client);
            }
        }
        match completion.result {
            _ if completion.more || self.server.is_stopping() => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && self.multishot => {
                self.multishot = false;
                self.accept()
            }
            Err(error) if error.kind() != io::ErrorKind::ConnectionAborted => {
                Ok(self.ring.timer(ACCEPT_RETRY, Tag::AcceptAgain)?)
            }
            _ => self.accept(),
        }
    }

    fn open(&mut self, id: u64, socket: OwnedFd) -> Next {
        let socket = TcpStream::from(socket);
        let port = socket.peer_addr()?.port();
        let client = Client {
            socket: self.server.register(socket),
            dialogue: Dialogue::new(port),
            serving: None,
            buffer: vec![0; RECEIVE_BYTES],
            sent: 0,
            last_used: MonotonicNs::now(),
        };
        self.ring.timer(self.server.config().idle_timeout, Tag::Idle(id))?;
        self.receive(id, client)
    }

    /// Takes a connection out while something is done with it, and puts it back unless that ends it.
    fn with_client(&mut self, id: u64, work: impl FnOnce(&mut Self, Client) -> Next) {
        if let Some(client) = self.clients.remove(&id)
            && let Ok(Some(client)) = work(self, client)
        {
            self.clients.insert(id, client);
        }
    }

    fn receive(&mut self, id: u64, mut client: Client) -> Next {
        let buffer = std::mem::take(&mut client.buffer);
        self.ring.receive(client.socket.stream(), buffer, Tag::Receive(id))?;
        Ok(Some(client))
    }

    fn on_receive(&mut self, id: u64, mut client: Client, completion: Completion<Tag>) -> Next {
        let received = completion.result?;
        if received == 0 {
            return Ok(None);
        }
        client.dialogue.push(&completion.buffer[..received]);
        client.buffer = completion.buffer;
        self.advance(id, client)
    }

    /// Begins the next request, or whatever else is to be done with what has arrived.
    fn advance(&mut self, id: u64, mut client: Client) -> Next {
        match client.dialogue.next_step() {
            Step::Receive => self.receive(id, client),
            Step::Refuse => self.send(id, client),
            Step::Serve(exchange) => {
                let routed = self.worker.route(&exchange.request);
                client.serving = Some(Serving { exchange, route: routed.route, planted: Planted::NOTHING });
                let done = match routed.work {
                    Ok(work) => self.begin(id, &work)?,
                    Err(refusal) => Some(Done::at_once(refusal)),
                };
                match done {
                    Some(done) => self.answer(id, client, &done),
                    None => Ok(Some(client)),
                }
            }
        }
    }

    /// Does the work for the request of a connection; `None` if that has to wait for a completion.
    fn begin(&mut self, id: u64, work: &Work) -> io::Result<Option<Done>> {
        Ok(match *work {
            Work::Sleep(time) => {
                self.ring.timer(time, Tag::Sleep(id, MonotonicNs::now()))?;
                None
            }
            Work::Downstream(pause) => match &mut self.upstreams {
                Some(upstreams) => upstreams.call(&mut self.ring, id, pause).map(|returned| returned.done),
                None => Some(Done::at_once(no_upstream())),
            },
            _ => Some(self.worker.perform(work)),
        })
    }

    /// Answers a request that had to wait.
    fn finish(&mut self, id: u64, done: &Done) {
        self.with_client(id, |this, client| this.answer(id, client, done));
    }

    fn answer(&mut self, id: u64, mut client: Client, done: &Done) -> Next {
        if let Some(serving) = &mut client.serving {
            serving.planted = done.planted;
            client.dialogue.answer(&mut serving.exchange.request, done, self.server.is_stopping());
        }
        self.send(id, client)
    }

    fn send(&mut self, id: u64, mut client: Client) -> Next {
        client.sent = 0;
        let outbox = client.dialogue.take_outbox();
        self.ring.send(client.socket.stream(), outbox, 0, Tag::Send(id))?;
        Ok(Some(client))
    }

    fn on_send(&mut self, id: u64, mut client: Client, completion: Completion<Tag>) -> Next {
        client.sent += completion.result?;
        if client.sent < completion.buffer.len() {
            self.ring.send(client.socket.stream(), completion.buffer, client.sent, Tag::Send(id))?;
            return Ok(Some(client));
        }
        client.dialogue.return_outbox(completion.buffer);
        // Without a request it was the answer to bytes that were none, and the last.
        let Some(Serving { exchange, route, planted }) = client.serving.take() else { return Ok(None) };
        let keep_alive = exchange.request.keep_alive;
        exchange.end(self.worker.recorder(), route, planted);
        client.last_used = MonotonicNs::now();
        if keep_alive { self.advance(id, client) } else { Ok(None) }
    }

    fn on_idle(&mut self, id: u64) -> io::Result<()> {
        let Some(client) = self.clients.get(&id) else { return Ok(()) };
        let last_used = if client.serving.is_some() { MonotonicNs::now() } else { client.last_used };
        let left = (last_used + self.server.config().idle_timeout).remaining();
        if left == Duration::ZERO {
            // Completes the receive that it waits in, and that closes it. It can fail only if the client has just left.
            let _ = client.socket.stream().shutdown(Shutdown::Both);
            return Ok(());
        }
        self.ring.timer(left, Tag::Idle(id))
    }
}
