//! A non-blocking connection with its buffers: bytes in, bytes out, and the one request that is being worked on.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::clock::MonotonicNs;
use crate::http::{BadRequest, Request, RequestBuffer, Response, Status};
use crate::truth::{Planted, Reads, Recorder, RequestSpan};
use crate::work::Done;

/// How much may be read ahead of what has been parsed: a client that pipelines without end waits in its own socket.
const READ_AHEAD: usize = 64 * 1024;

/// What a connection wants after something has been done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next request may be taken.
    Idle,
    /// To wait: for the work on its request, or until it can be written again.
    Wait,
    /// To be dropped.
    Close,
}

/// A client's connection on an event loop.
#[derive(Debug)]
pub struct Connection {
    /// The socket, for registering it.
    pub socket: TcpStream,
    reads: Reads,
    inbox: RequestBuffer,
    outbox: Vec<u8>,
    written: usize,
    exchange: Option<Exchange>,
    /// To be closed when the outbox has been written.
    closing: bool,
    last_used: MonotonicNs,
    /// The socket still holds bytes, for which no further event will come.
    unread: bool,
    /// The end of the stream has been announced.
    read_closed: bool,
}

#[derive(Debug)]
struct Exchange {
    request: Request,
    span: RequestSpan,
    route: &'static str,
    planted: Planted,
}

impl Connection {
    /// Takes over an accepted socket.
    pub fn new(socket: TcpStream, port: u16) -> Self {
        Self {
            socket,
            reads: Reads::new(port),
            inbox: RequestBuffer::default(),
            outbox: Vec::new(),
            written: 0,
            exchange: None,
            closing: false,
            last_used: MonotonicNs::now(),
            unread: false,
            read_closed: false,
        }
    }

    /// When its last request was finished (or when it was accepted); `None` while one is being worked on.
    pub fn idle_since(&self) -> Option<MonotonicNs> {
        self.exchange.is_none().then_some(self.last_used)
    }

    /// To be called when the socket is readable; `read_closed` if the event says that no more will follow. Reads all
    /// that has arrived, within bounds. `Close` if the client has gone.
    pub fn on_readable(&mut self, read_closed: bool) -> Next {
        self.unread = true;
        self.read_closed |= read_closed;
        self.receive()
    }

    /// Reads on where reading had to stop. `None` if there is nothing left.
    pub fn receive_rest(&mut self) -> Option<Next> {
        self.unread.then(|| self.receive())
    }

    fn receive(&mut self) -> Next {
        let mut bytes = [0; 16 * 1024];
        while self.inbox.unparsed() < READ_AHEAD {
            match self.socket.read(&mut bytes) {
                Ok(0) => return Next::Close,
                Ok(read) => {
                    self.reads.returned();
                    self.inbox.push(&bytes[..read]);
                    // With edge-triggered events a short read has emptied the socket: the next arrival is an event
                    // of its own. Except for the end of the stream, which may have been announced already.
                    if read < bytes.len() && !self.read_closed {
                        self.unread = false;
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unread = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Next::Close,
            }
        }
        self.idle_or_wait()
    }

    /// Begins the next request, if it has arrived and none is being worked on. The caller must [`Self::answer`] it.
    pub fn next_request(&mut self) -> Result<Option<&Request>, BadRequest> {
        if self.exchange.is_some() || self.closing {
            return Ok(None);
        }
        let Some(request) = self.inbox.next_request()? else { return Ok(None) };
        let span = self.reads.begin();
        let exchange = Exchange { request, span, route: "unknown", planted: Planted::NOTHING };
        Ok(Some(&self.exchange.insert(exchange).request))
    }

    /// Notes the route of the request that is being worked on.
    pub fn set_route(&mut self, route: &'static str) {
        if let Some(exchange) = &mut self.exchange {
            exchange.route = route;
        }
    }

    /// Makes the request that is being worked on the last one of its connection.
    pub fn close_after_answer(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.request.keep_alive = false;
        }
    }

    /// Answers the request that is being worked on.
    pub fn answer(&mut self, done: &Done, recorder: &Recorder) -> Next {
        if let Some(exchange) = &mut self.exchange {
            done.response.encode(&exchange.request, &mut self.outbox);
            exchange.planted = done.planted;
            self.closing = !exchange.request.keep_alive;
        }
        self.send(recorder)
    }

    /// Answers bytes that are no request, and closes.
    pub fn refuse(&mut self, error: BadRequest, recorder: &Recorder) -> Next {
        Response::error(Status::BadRequest, &error.to_string()).encode_last(&mut self.outbox);
        self.closing = true;
        self.send(recorder)
    }

    /// Writes as much of the outbox as the socket takes; what is left waits for the next writable event.
    pub fn send(&mut self, recorder: &Recorder) -> Next {
        if self.outbox.is_empty() {
            return self.idle_or_wait();
        }
        while self.written < self.outbox.len() {
            match self.socket.write(&self.outbox[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Wait,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Next::Close,
            }
        }
        self.outbox.clear();
        self.written = 0;
        if let Some(Exchange { span, route, planted, .. }) = self.exchange.take() {
            span.end(recorder, route, planted);
            self.last_used = MonotonicNs::now();
        }
        if self.closing { Next::Close } else { Next::Idle }
    }

    fn idle_or_wait(&self) -> Next {
        if self.exchange.is_some() { Next::Wait } else { Next::Idle }
    }
}
