//! A socket that looks blocking and is not.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};

use super::{Switch, Wait, Wake};
use crate::clock::MonotonicNs;
use crate::server::OpenConnection;

/// Registers sockets with the hub.
#[derive(Debug)]
pub struct Sockets {
    registry: Registry,
    registered: Cell<usize>,
}

/// A registered socket, of which no coroutine has hold at the moment.
#[derive(Debug)]
pub struct Registered<S> {
    socket: S,
    token: Token,
}

/// A registered socket in the hands of a coroutine. Reading and writing suspend it until something can be done.
pub struct GreenStream<'c, S> {
    inner: Registered<S>,
    switch: &'c Switch,
    read_timeout: Option<Duration>,
}

/// Something with a TCP socket in it.
pub trait HasSocket {
    /// The socket, non-blocking.
    fn socket(&self) -> &TcpStream;
}

impl HasSocket for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl HasSocket for OpenConnection {
    fn socket(&self) -> &TcpStream {
        self.stream()
    }
}

impl Sockets {
    /// With the registry of the hub.
    pub fn new(registry: Registry) -> Self {
        Self { registry, registered: Cell::new(0) }
    }

    /// Makes a socket non-blocking and known to the hub.
    pub fn register<S: HasSocket>(&self, socket: S) -> io::Result<Registered<S>> {
        socket.socket().set_nonblocking(true)?;
        self.registered.set(self.registered.get() + 1);
        let token = Token(self.registered.get());
        // Edge-triggered and for everything: who waits has just been told that there is nothing to be had, so whatever
        // comes next is an event. Closing the socket ends the registration.
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut SourceFd(&socket.socket().as_raw_fd()), token, interest)?;
        Ok(Registered { socket, token })
    }

    /// Opens a connection, suspending the coroutine until it is there.
    pub fn connect<'c>(
        &self,
        address: SocketAddr,
        switch: &'c Switch,
    ) -> io::Result<GreenStream<'c, TcpStream>> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let stream = self.register(TcpStream::from(socket))?.held_by(switch);
        loop {
            if let Some(error) = stream.inner.socket.take_error()? {
                return Err(error);
            }
            match stream.inner.socket.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => stream.wait(None)?,
                other => return other.map(|_| stream),
            }
        }
    }
}

impl<S: HasSocket> Registered<S> {
    /// Gives the socket to the coroutine that suspends through `switch`.
    pub fn held_by(self, switch: &Switch) -> GreenStream<'_, S> {
        GreenStream { inner: self, switch, read_timeout: None }
    }
}

impl<S: HasSocket> GreenStream<'_, S> {
    /// A read that takes longer fails with [`io::ErrorKind::WouldBlock`], as it does with `SO_RCVTIMEO`.
    #[must_use]
    pub fn with_read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = Some(timeout);
        self
    }

    /// Lets go of the socket, for another coroutine to take it.
    pub fn release(self) -> Registered<S> {
        self.inner
    }

    fn wait(&self, until: Option<MonotonicNs>) -> io::Result<()> {
        match self.switch.suspend(Wait { socket: Some(self.inner.token), until }) {
            Wake::Ready => Ok(()),
            Wake::TimedOut => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Does `work` on the socket, and again whenever something has happened on it, until it does not block.
    fn until_done(
        &self,
        timeout: Option<Duration>,
        mut work: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let until = timeout.map(|timeout| MonotonicNs::now() + timeout);
        loop {
            match work(self.inner.socket.socket()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(until)?,
                other => return other,
            }
        }
    }
}

impl<S: HasSocket> Read for GreenStream<'_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.until_done(self.read_timeout, |mut socket| socket.read(bytes))
    }
}

impl<S: HasSocket> Write for GreenStream<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until_done(None, |mut socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
