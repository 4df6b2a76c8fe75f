//! `/downstream` for threads: a blocking call to another server over a connection that is kept.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::http::response::{Answer, ResponseReader};

/// As many connections as a pool that one thread's or one runtime's requests share may have open; further calls wait.
pub const MAX_OPEN: usize = 64;

/// One thread's connection to the upstream.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Client {
    /// Connects at the first call.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Asks the upstream for `/sleep` and waits for its answer; returns the status.
    pub fn sleep(&mut self, pause: Duration) -> io::Result<u16> {
        let request = sleep_request(pause);
        let kept = self.stream.take();
        // A kept connection may have been closed by the other side while it was idle: that is no failure yet.
        if let Some(Ok(status)) = kept.map(|stream| self.ask(stream, &request)) {
            return Ok(status);
        }
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        self.ask(stream, &request)
    }

    fn ask(&mut self, mut stream: TcpStream, request: &[u8]) -> io::Result<u16> {
        let Answer { status, keep_alive } = exchange(&mut stream, request)?;
        self.stream = keep_alive.then_some(stream);
        Ok(status)
    }
}

/// The bytes that ask an upstream to answer after `pause`.
pub fn sleep_request(pause: Duration) -> Vec<u8> {
    format!("GET /sleep?ms={} HTTP/1.1\r\nHost: upstream\r\n\r\n", pause.as_millis()).into_bytes()
}

/// Sends a request and waits for its answer.
///
/// # Errors
/// When the stream fails, ends too early, or brings something that is no response.
pub fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request)?;
    let (mut reader, mut buffer) = (ResponseReader::default(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer)?;
        if let Some(answer) = reader.pushed(&buffer[..read])? {
            return Ok(answer);
        }
    }
}
