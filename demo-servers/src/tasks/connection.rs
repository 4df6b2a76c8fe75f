//! A connection that a task awaits.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::stop::Stopping;
use crate::dialogue::{Dialogue, Exchange, RECEIVE_BYTES, Step};
use crate::server::Server;
use crate::work::Done;

/// An accepted connection.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    server: Arc<Server>,
    stopping: Stopping,
    dialogue: Dialogue,
}

impl Connection {
    /// Takes over an accepted socket.
    pub fn open(server: &Arc<Server>, socket: TcpStream, stopping: Stopping) -> io::Result<Self> {
        let port = socket.peer_addr()?.port();
        Ok(Self { socket, server: Arc::clone(server), stopping, dialogue: Dialogue::new(port) })
    }

    /// Waits for the next request. `None` when the connection is over: closed by the client, idle for too long, the
    /// server stops, or the bytes are no request (which is answered with 400).
    pub async fn next_request(&mut self) -> io::Result<Option<Exchange>> {
        loop {
            match self.dialogue.next_step() {
                Step::Serve(exchange) => return Ok(Some(exchange)),
                Step::Refuse => {
                    self.socket.write_all(self.dialogue.outbox()).await?;
                    return Ok(None);
                }
                Step::Receive => {}
            }
            if !self.receive().await? {
                return Ok(None);
            }
        }
    }

    /// Waits for bytes; false if there will be none.
    async fn receive(&mut self) -> io::Result<bool> {
        let idle_timeout = self.server.config().idle_timeout;
        loop {
            // The buffer lives in no task: an idle connection costs a few hundred bytes, not a buffer.
            let readable = tokio::select! {
                readable = tokio::time::timeout(idle_timeout, self.socket.readable()) => readable,
                () = self.stopping.wait() => return Ok(false),
            };
            let Ok(readable) = readable else { return Ok(false) };
            readable?;
            let mut bytes = [0; RECEIVE_BYTES];
            match self.socket.try_read(&mut bytes) {
                Ok(read) => {
                    self.dialogue.push(&bytes[..read]);
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the answer to a request; false if the connection is to be closed. The caller ends the exchange.
    pub async fn write_answer(&mut self, exchange: &mut Exchange, done: &Done) -> io::Result<bool> {
        self.dialogue.answer(&mut exchange.request, done, self.server.is_stopping());
        self.socket.write_all(self.dialogue.outbox()).await?;
        Ok(exchange.request.keep_alive)
    }
}
