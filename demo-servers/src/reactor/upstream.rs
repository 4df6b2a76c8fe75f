//! `/downstream` for event loops: calls to another server that nobody waits for.
//!
//! A small pool of kept connections; a call takes an idle one or opens one, and when the pool is at its limit it waits
//! for one. A kept connection that turns out to be closed is replaced, once for each call.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::clock::MonotonicNs;
use crate::http::response::{Answer, ResponseReader};
use crate::work::Done;
use crate::work::downstream::{MAX_OPEN, sleep_request};

/// Tokens of upstream sockets have this bit, tokens of clients do not.
const UPSTREAM: usize = 1 << (usize::BITS - 1);

/// A call whose end has come.
#[derive(Debug)]
pub struct Returned {
    /// Who made the call.
    pub caller: Token,
    /// What to answer.
    pub done: Done,
}

/// The connections to the upstream.
#[derive(Debug)]
pub struct Upstreams {
    address: SocketAddr,
    open: HashMap<Token, Upstream>,
    idle: Vec<Token>,
    waiting: VecDeque<Call>,
    opened: usize,
}

#[derive(Debug)]
struct Upstream {
    socket: TcpStream,
    reader: ResponseReader,
    connected: bool,
    /// It has served a call before, so the other side may have closed it in the meantime.
    reused: bool,
    call: Option<Call>,
}

#[derive(Debug)]
struct Call {
    caller: Token,
    request: Vec<u8>,
    written: usize,
    began: MonotonicNs,
}

enum Progress {
    Pending,
    Answered(Answer),
    Broken(io::Error),
}

impl Upstreams {
    /// A pool for one server; connects when it is called.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, open: HashMap::new(), idle: Vec::new(), waiting: VecDeque::new(), opened: 0 }
    }

    /// Whether an event with this token is one for [`Self::ready`].
    pub fn owns(token: Token) -> bool {
        token.0 & UPSTREAM != 0
    }

    /// Asks the upstream to answer after `pause`. `Some` if the call has failed at once.
    pub fn call(&mut self, registry: &Registry, caller: Token, pause: Duration) -> Option<Returned> {
        let call = Call { caller, request: sleep_request(pause), written: 0, began: MonotonicNs::now() };
        self.place(registry, call)
    }

    /// Goes on with a connection that has become ready; returns the calls that have ended by that.
    pub fn ready(&mut self, registry: &Registry, token: Token) -> Vec<Returned> {
        let Some(upstream) = self.open.get_mut(&token) else { return Vec::new() };
        let progress = upstream.progress();
        let mut returned = Vec::new();
        match progress {
            Progress::Pending => return returned,
            Progress::Answered(answer) => {
                let call = upstream.call.take();
                // An answer that nobody asked for: whatever comes next on this connection means nothing.
                let usable = answer.keep_alive && call.is_some();
                returned.extend(call.map(|call| call.end(Ok(answer.status))));
                if usable {
                    upstream.reused = true;
                    self.idle.push(token);
                } else {
                    self.open.remove(&token);
                    self.idle.retain(|&idle| idle != token);
                }
            }
            Progress::Broken(error) => {
                let broken = self.open.remove(&token);
                self.idle.retain(|&idle| idle != token);
                if let Some(Upstream { call: Some(call), reused, reader, .. }) = broken {
                    if reused && !reader.has_begun() {
                        let again = Call { written: 0, ..call };
                        returned.extend(self.open_for(registry, again));
                    } else {
                        returned.push(call.end(Err(error)));
                    }
                }
            }
        }
        while (!self.idle.is_empty() || self.open.len() < MAX_OPEN)
            && let Some(mut call) = self.waiting.pop_front()
        {
            call.began = MonotonicNs::now();
            returned.extend(self.place(registry, call));
        }
        returned
    }

    fn place(&mut self, registry: &Registry, call: Call) -> Option<Returned> {
        let Some(token) = self.idle.pop() else {
            if self.open.len() < MAX_OPEN {
                return self.open_for(registry, call);
            }
            self.waiting.push_back(call);
            return None;
        };
        if let Some(upstream) = self.open.get_mut(&token) {
            upstream.call = Some(call);
            // A failed write shows up as an event on the socket, where broken connections are dealt with.
            let _ = upstream.send();
        }
        None
    }

    fn open_for(&mut self, registry: &Registry, call: Call) -> Option<Returned> {
        let token = Token(UPSTREAM | self.opened);
        self.opened += 1;
        let connected = TcpStream::connect(self.address).and_then(|mut socket| {
            registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok(socket)
        });
        match connected {
            Ok(socket) => {
                let (reader, call) = (ResponseReader::default(), Some(call));
                self.open.insert(token, Upstream { socket, reader, connected: false, reused: false, call });
                None
            }
            Err(error) => Some(call.end(Err(error))),
        }
    }
}

impl Upstream {
    fn progress(&mut self) -> Progress {
        if !self.connected {
            if let Ok(Some(error)) | Err(error) = self.socket.take_error() {
                return Progress::Broken(error);
            }
            match self.socket.peer_addr() {
                Ok(_) => self.connected = true,
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Progress::Pending,
                Err(error) => return Progress::Broken(error),
            }
            // The request is in one small segment; waiting for its acknowledgement would only cost time.
            let _ = self.socket.set_nodelay(true);
        }
        match self.send().and_then(|()| self.receive()) {
            Ok(Some(answer)) => Progress::Answered(answer),
            Ok(None) => Progress::Pending,
            Err(error) => Progress::Broken(error),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while let Some(call) = &mut self.call
            && call.written < call.request.len()
        {
            match self.socket.write(&call.request[call.written..]) {
                Ok(written) => call.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<Option<Answer>> {
        let mut bytes = [0; 4096];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(read) => {
                    if let Some(answer) = self.reader.pushed(&bytes[..read])? {
                        return Ok(Some(answer));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Call {
    fn end(self, status: io::Result<u16>) -> Returned {
        Returned { caller: self.caller, done: Done::downstream(MonotonicNs::now().since(self.began), status) }
    }
}
