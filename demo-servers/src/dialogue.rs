//! A connection without its I/O: bytes in, requests out, answers in, bytes out.
//!
//! Whoever owns the socket moves the bytes, in its own way: a blocking call, a coroutine that is suspended, a task
//! that is awaited, a ring that completes. What is said is the same in all of them.

use crate::http::{Request, RequestBuffer, Response, Status};
use crate::truth::{Planted, Reads, Recorder, RequestSpan};
use crate::work::Done;

/// How many bytes are received at a time.
pub const RECEIVE_BYTES: usize = 16 * 1024;

/// A request that has been taken from a connection and must be answered on it.
#[derive(Debug)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    span: RequestSpan,
}

impl Exchange {
    /// To be called when its answer has been written.
    pub fn end(self, recorder: &Recorder, route: &'static str, planted: Planted) {
        self.span.end(recorder, route, planted);
    }
}

/// What a connection's owner has to do next.
#[derive(Debug)]
pub enum Step {
    /// Receive bytes and [`Dialogue::push`] them.
    Receive,
    /// Work on a request, then [`Dialogue::answer`] it.
    Serve(Exchange),
    /// Send the [`Dialogue::outbox`] and close: what came was no request, and the outbox says so.
    Refuse,
}

/// The state of one connection's dialogue.
#[derive(Debug)]
pub struct Dialogue {
    reads: Reads,
    inbox: RequestBuffer,
    outbox: Vec<u8>,
}

impl Dialogue {
    /// With the client that has this port.
    pub fn new(port: u16) -> Self {
        Self { reads: Reads::new(port), inbox: RequestBuffer::default(), outbox: Vec::with_capacity(512) }
    }

    /// Takes bytes that have been received. To be called at once: a request's time begins here.
    pub fn push(&mut self, bytes: &[u8]) {
        self.reads.returned();
        self.inbox.push(bytes);
    }

    /// What is to be done. A request that this returns has begun.
    pub fn next_step(&mut self) -> Step {
        match self.inbox.next_request() {
            Ok(Some(request)) => Step::Serve(Exchange { request, span: self.reads.begin() }),
            Ok(None) => Step::Receive,
            Err(error) => {
                self.outbox.clear();
                Response::error(Status::BadRequest, &error.to_string()).encode_last(&mut self.outbox);
                Step::Refuse
            }
        }
    }

    /// Puts the answer to a request into the outbox. A stopping server keeps no connection: the request is marked so.
    pub fn answer(&mut self, request: &mut Request, done: &Done, stopping: bool) {
        request.keep_alive &= !stopping;
        self.outbox.clear();
        done.response.encode(request, &mut self.outbox);
    }

    /// The bytes to be sent.
    pub fn outbox(&self) -> &[u8] {
        &self.outbox
    }

    /// Lends the outbox to whoever must own what it sends; to be given back by [`Self::return_outbox`].
    pub fn take_outbox(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outbox)
    }

    /// Takes the outbox back.
    pub fn return_outbox(&mut self, outbox: Vec<u8>) {
        self.outbox = outbox;
    }
}
