//! One connection of the generator: opened when needed, one request at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::epoll::{Epoll, Interest};
use crate::clock::MonotonicNs;
use crate::http::response::ResponseReader;

/// How long opening the connections before the start may take, each.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What all connections of a run have in common.
#[derive(Debug)]
pub struct Target {
    /// The server.
    pub address: SocketAddr,
    /// The bytes of each request that may be sent.
    pub requests: Vec<Vec<u8>>,
    /// Whether each request has a connection of its own.
    pub close: bool,
}

/// A request that is due.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// When it should be sent.
    pub due: MonotonicNs,
    /// Which one, by its place in [`Target::requests`].
    pub request: usize,
    /// Whether it counts; those of the warm-up do not.
    pub measured: bool,
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The call.
    pub call: Call,
    /// When it was really sent and with which status answered, or why not.
    pub result: Result<(MonotonicNs, u16), Failure>,
}

/// Where a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Opening the connection.
    Connect,
    /// Sending the request.
    Write,
    /// Receiving the answer.
    Read,
}

/// A connection of the generator.
#[derive(Debug)]
pub struct Client {
    /// Names its socket in epoll's events.
    key: u64,
    stream: Option<TcpStream>,
    connected: bool,
    /// It has answered before, so the server may have closed it in the meantime.
    reused: bool,
    reader: ResponseReader,
    call: Option<Call>,
    sent_at: MonotonicNs,
    written: usize,
}

impl Client {
    /// A connection that is not open yet.
    pub fn new(key: u64) -> Self {
        Self {
            key,
            stream: None,
            connected: false,
            reused: false,
            reader: ResponseReader::default(),
            call: None,
            sent_at: MonotonicNs(0),
            written: 0,
        }
    }

    /// Opens the connection and waits until it is.
    pub fn open_now(&mut self, epoll: &Epoll, target: &Target) -> io::Result<()> {
        let stream = TcpStream::connect_timeout(&target.address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll.add(&stream, self.key, Interest::Read)?;
        self.stream = Some(stream);
        self.connected = true;
        Ok(())
    }

    /// The call that is in progress.
    pub fn call(&self) -> Option<Call> {
        self.call
    }

    /// Sends a request, on a new connection if there is none. `Some` if that has failed at once.
    pub fn begin(&mut self, epoll: &Epoll, target: &Target, call: Call) -> Option<Outcome> {
        self.call = Some(call);
        self.written = 0;
        let result = if self.stream.is_some() {
            self.send(epoll, target).or_else(|_| self.retry(epoll, target, Failure::Write))
        } else {
            self.open(epoll, target)
        };
        self.end_if_failed(result)
    }

    /// Goes on after an event on the socket. `Some` if the call has ended by that.
    pub fn on_event(&mut self, epoll: &Epoll, target: &Target, buffer: &mut [u8]) -> Option<Outcome> {
        // The event may be an old one for a socket that an earlier event of the same batch has closed.
        let stream = self.stream.as_ref()?;
        if !self.connected {
            return match (stream.take_error(), stream.peer_addr()) {
                (Ok(None), Ok(_)) => {
                    self.connected = true;
                    let result = epoll.modify(stream, self.key, Interest::Read).map_err(|_| Failure::Connect);
                    let result = result.and_then(|()| self.send(epoll, target).map_err(|_| Failure::Write));
                    self.end_if_failed(result)
                }
                (Ok(None), Err(error)) if error.kind() == io::ErrorKind::NotConnected => None,
                _ => self.end_if_failed(Err(Failure::Connect)),
            };
        }
        if self.call.is_some_and(|call| self.written < target.requests[call.request].len()) {
            let result = self.send(epoll, target).or_else(|_| self.retry(epoll, target, Failure::Write));
            if result.is_err() || !self.connected {
                return self.end_if_failed(result);
            }
        }
        self.receive(epoll, target, buffer)
    }

    fn receive(&mut self, epoll: &Epoll, target: &Target, buffer: &mut [u8]) -> Option<Outcome> {
        let answer = match self.stream.as_mut()?.read(buffer) {
            Ok(0) => match self.reader.end_of_stream() {
                Some(answer) => answer,
                None => return self.lost(epoll, target),
            },
            Ok(read) => match self.reader.push(&buffer[..read]) {
                Ok(None) => return None,
                Ok(Some(answer)) => answer,
                Err(_) => return self.end_if_failed(Err(Failure::Read)),
            },
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return None;
            }
            Err(_) => return self.lost(epoll, target),
        };
        self.reused = true;
        let call = self.call.take();
        // An answer that nobody asked for: whatever comes next on this connection means nothing.
        if !answer.keep_alive || target.close || call.is_none() {
            self.disconnect();
        }
        Some(Outcome { call: call?, result: Ok((self.sent_at, answer.status)) })
    }

    /// The server has closed the connection before the answer was complete, or between two requests.
    fn lost(&mut self, epoll: &Epoll, target: &Target) -> Option<Outcome> {
        if self.call.is_none() {
            self.disconnect();
            return None;
        }
        let result = self.retry(epoll, target, Failure::Read);
        self.end_if_failed(result)
    }

    /// A server may close an idle connection just when a request is on its way to it: then, as any client does, the
    /// request is sent once more on a new connection (RFC 9110 §9.2.2). Its latency still counts from when it was due.
    fn retry(&mut self, epoll: &Epoll, target: &Target, failure: Failure) -> Result<(), Failure> {
        if !self.reused || self.reader.has_begun() {
            return Err(failure);
        }
        self.disconnect();
        self.written = 0;
        self.open(epoll, target)
    }

    fn open(&mut self, epoll: &Epoll, target: &Target) -> Result<(), Failure> {
        let connect = || {
            let socket = Socket::new(Domain::for_address(target.address), Type::STREAM.nonblocking(), None)?;
            socket.set_tcp_nodelay(true)?;
            match socket.connect(&target.address.into()) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
                _ => {}
            }
            epoll.add(&socket, self.key, Interest::ReadWrite)?;
            Ok(TcpStream::from(socket))
        };
        self.stream = Some(connect().map_err(|_| Failure::Connect)?);
        Ok(())
    }

    fn send(&mut self, epoll: &Epoll, target: &Target) -> io::Result<()> {
        let (Some(stream), Some(call)) = (&mut self.stream, self.call) else { return Ok(()) };
        let request = &target.requests[call.request];
        let was_blocked = self.written > 0;
        if !was_blocked {
            self.sent_at = MonotonicNs::now();
        }
        while self.written < request.len() {
            match stream.write(&request[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return epoll.modify(stream, self.key, Interest::ReadWrite);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if was_blocked { epoll.modify(stream, self.key, Interest::Read) } else { Ok(()) }
    }

    fn end_if_failed(&mut self, result: Result<(), Failure>) -> Option<Outcome> {
        let failure = result.err()?;
        self.disconnect();
        Some(Outcome { call: self.call.take()?, result: Err(failure) })
    }

    fn disconnect(&mut self) {
        self.stream = None;
        self.connected = false;
        self.reused = false;
        self.reader = ResponseReader::default();
    }
}
