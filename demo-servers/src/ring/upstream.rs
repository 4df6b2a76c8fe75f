//! `/downstream` on a ring: connecting, sending and receiving are operations like any other.
//!
//! A small pool of kept connections, each with one operation in flight at most: none while it is idle.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{Completion, Ring};
use crate::clock::MonotonicNs;
use crate::http::response::{Answer, ResponseReader};
use crate::work::Done;
use crate::work::downstream::{MAX_OPEN, sleep_request};

const RECEIVE_BYTES: usize = 4096;

/// An operation of this pool, for the ring's tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    upstream: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connect,
    Send,
    Receive,
}

/// A call whose end has come.
#[derive(Debug)]
pub struct Returned {
    /// Who made the call.
    pub caller: u64,
    /// What to answer.
    pub done: Done,
}

/// The connections to the upstream.
#[derive(Debug)]
pub struct Upstreams {
    address: SocketAddr,
    open: HashMap<u64, Upstream>,
    idle: Vec<u64>,
    waiting: VecDeque<Call>,
    opened: u64,
}

#[derive(Debug)]
struct Upstream {
    socket: TcpStream,
    reader: ResponseReader,
    call: Call,
    sent: usize,
    /// It has served a call before, so the other side may have closed it in the meantime.
    reused: bool,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    caller: u64,
    pause: Duration,
    began: MonotonicNs,
}

impl Upstreams {
    /// A pool for one server; connects when it is called.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, open: HashMap::new(), idle: Vec::new(), waiting: VecDeque::new(), opened: 0 }
    }

    /// Asks the upstream to answer after `pause`. `Some` if the call has failed at once.
    pub fn call<T: Clone + From<Event>>(
        &mut self,
        ring: &mut Ring<T>,
        caller: u64,
        pause: Duration,
    ) -> Option<Returned> {
        self.place(ring, Call { caller, pause, began: MonotonicNs::now() })
    }

    /// Goes on after an operation of this pool; returns the calls that have ended by that.
    pub fn on_completion<T: Clone + From<Event>>(
        &mut self,
        ring: &mut Ring<T>,
        event: Event,
        completion: Completion<T>,
    ) -> Vec<Returned> {
        let Event { upstream: id, stage } = event;
        let Some(mut upstream) = self.open.remove(&id) else { return Vec::new() };
        let mut returned = Vec::new();
        match upstream.step(ring, id, stage, completion) {
            Ok(None) => {
                self.open.insert(id, upstream);
                return returned;
            }
            Ok(Some(answer)) => {
                returned.push(upstream.call.end(Ok(answer.status)));
                if answer.keep_alive {
                    upstream.reused = true;
                    self.idle.push(id);
                    self.open.insert(id, upstream);
                }
            }
            Err(_) if upstream.reused && !upstream.reader.has_begun() => {
                returned.extend(self.open_for(ring, upstream.call));
            }
            Err(error) => returned.push(upstream.call.end(Err(error))),
        }
        while (!self.idle.is_empty() || self.open.len() < MAX_OPEN)
            && let Some(mut call) = self.waiting.pop_front()
        {
            call.began = MonotonicNs::now();
            returned.extend(self.place(ring, call));
        }
        returned
    }

    fn place<T: Clone + From<Event>>(&mut self, ring: &mut Ring<T>, call: Call) -> Option<Returned> {
        if let Some(id) = self.idle.pop()
            && let Some(mut upstream) = self.open.remove(&id)
        {
            (upstream.call, upstream.sent) = (call, 0);
            return self.keep_if(upstream.send(ring, id, upstream.call.request()), id, upstream);
        }
        if self.open.len() < MAX_OPEN {
            return self.open_for(ring, call);
        }
        self.waiting.push_back(call);
        None
    }

    fn open_for<T: Clone + From<Event>>(&mut self, ring: &mut Ring<T>, call: Call) -> Option<Returned> {
        self.opened += 1;
        let id = self.opened;
        // Blocking, or the ring would report that connecting takes time instead of waiting for it.
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)
            .and_then(|socket| socket.set_tcp_nodelay(true).map(|()| TcpStream::from(socket)));
        match socket {
            Ok(socket) => {
                let tag = Event { upstream: id, stage: Stage::Connect };
                let queued = ring.connect(&socket, self.address.into(), tag.into());
                let reader = ResponseReader::default();
                self.keep_if(queued, id, Upstream { socket, reader, call, sent: 0, reused: false })
            }
            Err(error) => Some(call.end(Err(error))),
        }
    }

    fn keep_if(&mut self, queued: io::Result<()>, id: u64, upstream: Upstream) -> Option<Returned> {
        match queued {
            Ok(()) => {
                self.open.insert(id, upstream);
                None
            }
            Err(error) => Some(upstream.call.end(Err(error))),
        }
    }
}

impl Upstream {
    /// Queues what follows the stage that is complete; the answer, when there is one.
    fn step<T: Clone + From<Event>>(
        &mut self,
        ring: &mut Ring<T>,
        id: u64,
        stage: Stage,
        completion: Completion<T>,
    ) -> io::Result<Option<Answer>> {
        let (bytes, buffer) = (completion.result?, completion.buffer);
        match stage {
            Stage::Connect => self.send(ring, id, self.call.request())?,
            Stage::Send => {
                self.sent += bytes;
                if self.sent < buffer.len() {
                    self.send(ring, id, buffer)?;
                } else {
                    self.receive(ring, id, vec![0; RECEIVE_BYTES])?;
                }
            }
            Stage::Receive => {
                let answer = self.reader.pushed(&buffer[..bytes])?;
                if answer.is_some() {
                    return Ok(answer);
                }
                self.receive(ring, id, buffer)?;
            }
        }
        Ok(None)
    }

    fn send<T: Clone + From<Event>>(&self, ring: &mut Ring<T>, id: u64, request: Vec<u8>) -> io::Result<()> {
        let tag = Event { upstream: id, stage: Stage::Send };
        ring.send(&self.socket, request, self.sent, tag.into())
    }

    fn receive<T: Clone + From<Event>>(
        &self,
        ring: &mut Ring<T>,
        id: u64,
        buffer: Vec<u8>,
    ) -> io::Result<()> {
        ring.receive(&self.socket, buffer, Event { upstream: id, stage: Stage::Receive }.into())
    }
}

impl Call {
    fn request(&self) -> Vec<u8> {
        sleep_request(self.pause)
    }

    fn end(self, status: io::Result<u16>) -> Returned {
        Returned { caller: self.caller, done: Done::downstream(MonotonicNs::now().since(self.began), status) }
    }
}
