//! A client that says exactly what goes over its connection, and when.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::settings::patience;

/// Both ends of a byte stream.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// One connection.
pub struct Client {
    stream: Box<dyn Stream + Send>,
    tcp: Option<TcpStream>,
}

impl Client {
    /// Connects to `HOST:PORT`, `[HOST]:PORT` or `unix:PATH`.
    pub fn connect(address: &str) -> Self {
        let limit = Some(patience(Duration::from_secs(10)));
        if let Some(path) = address.strip_prefix("unix:") {
            let stream = UnixStream::connect(path).expect("connecting");
            stream.set_read_timeout(limit).expect("setting a time limit");
            return Self { stream: Box::new(stream), tcp: None };
        }
        let stream = TcpStream::connect(address).expect("connecting");
        stream.set_read_timeout(limit).expect("setting a time limit");
        stream.set_nodelay(true).expect("switching Nagle's algorithm off");
        let tcp = Some(stream.try_clone().expect("duplicating a socket"));
        Self { stream: Box::new(stream), tcp }
    }

    /// The local port of a TCP connection.
    pub fn port(&self) -> u16 {
        self.tcp.as_ref().expect("a TCP connection").local_addr().expect("a local address").port()
    }

    /// Closes with a reset, as a client does that crashes with bytes unread.
    pub fn reset(self) {
        let tcp = self.tcp.expect("a TCP connection");
        rustix::net::sockopt::set_socket_linger(&tcp, Some(Duration::ZERO)).expect("setting SO_LINGER");
    }

    /// Writes bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sending");
    }

    /// Asks for a path and takes the answer.
    pub fn ask(&mut self, path: &str) -> Vec<u8> {
        self.send(&request(path));
        self.answer()
    }

    /// Sends a line and takes the answer's.
    pub fn ask_line(&mut self, line: &str) -> String {
        self.send(format!("{line}\n").as_bytes());
        String::from_utf8(self.until(b"\n")).expect("an answer in text")
    }

    /// Takes one HTTP answer with a `Content-Length`; its body.
    pub fn answer(&mut self) -> Vec<u8> {
        let head = String::from_utf8(self.until(b"\r\n\r\n")).expect("a head in text");
        let length = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            })
            .unwrap_or_else(|| panic!("no length in {head}"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("receiving the body");
        body
    }

    /// Waits for the end of what the other side sends.
    pub fn end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("receiving the end");
        assert_eq!(rest, b"", "bytes after the last answer");
    }

    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        while !bytes.ends_with(end) {
            self.stream.read_exact(&mut byte).expect("receiving");
            bytes.push(byte[0]);
        }
        bytes
    }
}

/// The bytes of a request.
fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes()
}
