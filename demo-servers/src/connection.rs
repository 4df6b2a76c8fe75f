//! A connection that is read and written with calls that block, whatever it is that blocks: a thread, or a coroutine
//! in the disguise of one.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use crate::dialogue::{Dialogue, RECEIVE_BYTES, Step};
use crate::server::{OpenConnection, Server};
use crate::work::{Done, Worker};

pub use crate::dialogue::Exchange;

/// An accepted connection on a socket that blocks.
#[derive(Debug)]
pub struct Connection<S = OpenConnection> {
    socket: S,
    server: Arc<Server>,
    dialogue: Dialogue,
}

impl Connection {
    /// Takes over an accepted socket.
    pub fn open(server: &Arc<Server>, stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(server.config().idle_timeout))?;
        let port = stream.peer_addr()?.port();
        Ok(Self::on(server, server.register(stream), port))
    }
}

impl<S: Read + Write> Connection<S> {
    /// Talks over `socket` with the client that has this port. A read that takes longer than the idle timeout must fail
    /// with [`io::ErrorKind::WouldBlock`], as it does with a receive timeout, and return 0 when the server stops.
    pub fn on(server: &Arc<Server>, socket: S, port: u16) -> Self {
        Self { socket, server: Arc::clone(server), dialogue: Dialogue::new(port) }
    }

    /// Waits for the next request. `None` when the connection is over: closed by the client, idle for too long, the
    /// server stops, or the bytes are no request (which is answered with 400).
    pub fn next_request(&mut self) -> io::Result<Option<Exchange>> {
        let mut bytes = [0; RECEIVE_BYTES];
        loop {
            match self.dialogue.next_step() {
                Step::Serve(exchange) => return Ok(Some(exchange)),
                Step::Refuse => {
                    self.socket.write_all(self.dialogue.outbox())?;
                    return Ok(None);
                }
                Step::Receive => {}
            }
            match self.socket.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(read) => self.dialogue.push(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the answer to a request; false if the connection is to be closed. The caller ends the exchange.
    pub fn write_answer(&mut self, exchange: &mut Exchange, done: &Done) -> io::Result<bool> {
        self.dialogue.answer(&mut exchange.request, done, self.server.is_stopping());
        self.socket.write_all(self.dialogue.outbox())?;
        Ok(exchange.request.keep_alive)
    }

    /// Answers a request and ends the exchange; false if the connection is to be closed now.
    pub fn answer(
        &mut self,
        mut exchange: Exchange,
        route: &'static str,
        done: &Done,
        worker: &Worker,
    ) -> io::Result<bool> {
        let keep_alive = self.write_answer(&mut exchange, done)?;
        exchange.end(worker.recorder(), route, done.planted);
        Ok(keep_alive)
    }
}

/// Serves one connection from its first request to its last, all on the calling thread.
///
/// An error ends this connection and nothing else: clients leave when they please, so it is not even reported.
pub fn serve(server: &Arc<Server>, worker: &mut Worker, stream: TcpStream) -> io::Result<()> {
    let mut connection = Connection::open(server, stream)?;
    while let Some(exchange) = connection.next_request()? {
        let routed = worker.route(&exchange.request);
        let done = match routed.work {
            Ok(work) => worker.perform(&work),
            Err(refusal) => Done::at_once(refusal),
        };
        if !connection.answer(exchange, routed.route, &done, worker)? {
            break;
        }
    }
    Ok(())
}
