//! A connection that a thread blocks on: what all models but the event loops are made of.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use crate::http::{Request, RequestBuffer, Response, Status};
use crate::server::{OpenConnection, Server};
use crate::truth::RequestSpan;
use crate::work::{Done, Worker};

/// An accepted connection, read and written with blocking calls.
#[derive(Debug)]
pub struct Connection {
    socket: OpenConnection,
    port: u16,
    inbox: RequestBuffer,
    outbox: Vec<u8>,
}

/// A request that has been taken from a connection and must be answered on it.
#[derive(Debug)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    span: RequestSpan,
}

impl Connection {
    /// Takes over an accepted socket.
    pub fn open(server: &Arc<Server>, stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(server.config().idle_timeout))?;
        let port = stream.peer_addr()?.port();
        Ok(Self {
            socket: server.register(stream),
            port,
            inbox: RequestBuffer::default(),
            outbox: Vec::with_capacity(512),
        })
    }

    /// Waits for the next request. `None` when the connection is over: closed by the client, idle for too long, the
    /// server stops, or the bytes are no request (which is answered with 400).
    pub fn next_request(&mut self) -> io::Result<Option<Exchange>> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.inbox.next_request() {
                Ok(Some(request)) => {
                    return Ok(Some(Exchange { request, span: RequestSpan::begin(self.port) }));
                }
                Ok(None) => {}
                Err(error) => {
                    self.outbox.clear();
                    Response::error(Status::BadRequest, &error.to_string()).encode_last(&mut self.outbox);
                    self.socket.stream().write_all(&self.outbox)?;
                    return Ok(None);
                }
            }
            match self.socket.stream().read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(read) => self.inbox.push(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers a request; false if the connection is to be closed now.
    pub fn answer(
        &mut self,
        exchange: Exchange,
        route: &'static str,
        done: &Done,
        worker: &Worker,
    ) -> io::Result<bool> {
        let Exchange { mut request, span } = exchange;
        request.keep_alive &= !self.socket.server().is_stopping();
        self.outbox.clear();
        done.response.encode(&request, &mut self.outbox);
        self.socket.stream().write_all(&self.outbox)?;
        span.end(worker.recorder(), route, done.planted);
        Ok(request.keep_alive)
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
