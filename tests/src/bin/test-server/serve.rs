//! Turns on one connection: a whole request, an answer, and again.

use std::io;
use std::os::fd::OwnedFd;

/// Reads some bytes; 0 at the end of the stream.
pub type Read = fn(&OwnedFd, &mut [u8]) -> io::Result<usize>;
/// Writes an answer.
pub type Write = fn(&OwnedFd, &[u8]) -> io::Result<()>;

/// What all HTTP modes answer.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n";

/// How a server talks.
#[derive(Clone, Copy)]
pub struct Talk {
    /// What ends a request.
    pub end: &'static [u8],
    /// What is answered.
    pub answer: &'static [u8],
    /// How bytes are read.
    pub read: Read,
    /// How the answer is written.
    pub write: Write,
    /// Most bytes that one read takes.
    pub most: usize,
}

impl Talk {
    /// HTTP over the given ways to read and write.
    pub const fn http(read: Read, write: Write) -> Self {
        Self { end: b"\r\n\r\n", answer: ANSWER, read, write, most: 4096 }
    }

    /// Serves a connection to its end.
    pub fn serve(self, connection: &OwnedFd) -> io::Result<()> {
        let mut pending = Vec::new();
        let mut buffer = vec![0; self.most];
        loop {
            let got = (self.read)(connection, &mut buffer)?;
            if got == 0 {
                return Ok(());
            }
            pending.extend_from_slice(&buffer[..got]);
            while let Some(length) = position(&pending, self.end) {
                pending.drain(..length);
                (self.write)(connection, self.answer)?;
            }
        }
    }

    /// Serves one request and leaves the connection open.
    pub fn serve_once(self, connection: &OwnedFd) -> io::Result<bool> {
        let mut pending = Vec::new();
        let mut buffer = vec![0; self.most];
        while position(&pending, self.end).is_none() {
            let got = (self.read)(connection, &mut buffer)?;
            if got == 0 {
                return Ok(false);
            }
            pending.extend_from_slice(&buffer[..got]);
        }
        (self.write)(connection, self.answer)?;
        Ok(true)
    }
}

/// Length of the first request.
fn position(bytes: &[u8], end: &[u8]) -> Option<usize> {
    bytes.windows(end.len()).position(|window| window == end).map(|start| start + end.len())
}
