//! The endpoint that is scraped: `GET /metrics`, and nothing else. One connection is one answer; what a connection may take is bounded in
//! number, time and bytes. It reads what the run published last, and takes nothing from it but a reference.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use rustix::net::{Shutdown, shutdown};

use super::{
    OutletError,
    accept::{Format, takes_gzip},
    published::Published,
};
use crate::platform::yielding::never_preempt;

/// Connections at once.
const CONNECTIONS: usize = 8;
/// How long a request may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest head of a request.
const HEAD: usize = 8 << 10;
/// Headers of a request.
const HEADERS: usize = 64;
/// A shorter answer is not compressed.
const SHORT: usize = 1 << 10;
/// What `/` shows.
const FRONT: &str = "whywait: metrics are at /metrics\n";

/// An address to listen on: `HOST:PORT`; `:PORT` or `PORT` alone is on the loopback interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    host: String,
    port: u16,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no address to listen on: write HOST:PORT, or :9464 for the loopback interface"
            )
        };
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port = port.parse().map_err(|_| wrong())?;
        let host = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
            Some(bracketed) => bracketed.filter(|host| host.contains(':')).ok_or_else(wrong)?,
            None if host.contains(':') => return Err(wrong()),
            None if host.is_empty() => "127.0.0.1",
            None => host,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The endpoint. It listens until this value is dropped.
pub struct Server {
    listener: Arc<TcpListener>,
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on an address, and on no other.
    ///
    /// # Errors
    /// When the host is not known, or the address cannot be had.
    pub fn start(wanted: &ListenAddress, published: Arc<Published>) -> Result<Self, OutletError> {
        let failed = |cause| OutletError::Listen { address: wanted.to_string(), cause };
        let address = (wanted.host.as_str(), wanted.port).to_socket_addrs().map_err(failed)?.next();
        let address = address.ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?;
        let listener = Arc::new(TcpListener::bind(address).map_err(failed)?);
        let address = listener.local_addr().map_err(failed)?;
        let over = Arc::new(AtomicBool::new(false));
        let (own, stop) = (Arc::clone(&listener), Arc::clone(&over));
        let thread = thread::Builder::new()
            .name("whywait-metrics".to_owned())
            .spawn(move || listen(&own, &stop, &published))
            .map_err(failed)?;
        Ok(Self { listener, address, over, thread: Some(thread) })
    }

    /// Where metrics are.
    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Ends the wait for the next connection, see shutdown(2). Where it does not, the thread is left to the end of the process.
        if shutdown(&*self.listener, Shutdown::Both).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // Nothing in it panics.
            let _ended = thread.join();
        }
    }
}

fn listen(listener: &TcpListener, over: &AtomicBool, published: &Arc<Published>) {
    never_preempt();
    let busy = Arc::new(AtomicUsize::new(0));
    while !over.load(Ordering::SeqCst) {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, most likely: it passes, or the run ends.
            if !over.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(100));
            }
            continue;
        };
        if busy.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
            busy.fetch_sub(1, Ordering::SeqCst);
            // It is dropped: that many are no scrapers.
            continue;
        }
        let (published, place) = (Arc::clone(published), Place(Arc::clone(&busy)));
        // Where no thread can be had the connection ends, and its place is free again.
        let _spawned = thread::Builder::new().name("whywait-scrape".to_owned()).spawn(move || {
            let _place = place;
            never_preempt();
            // A scraper that goes away has told nobody anything.
            let _served = serve(stream, &published);
        });
    }
}

/// A connection's place among those at once.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is answered.
struct Answer {
    status: &'static str,
    content_type: &'static str,
    gzip: bool,
    body: Vec<u8>,
}

impl Answer {
    fn plain(status: &'static str, body: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            gzip: false,
            body: body.as_bytes().to_vec(),
        }
    }
}

fn serve(mut stream: TcpStream, published: &Published) -> io::Result<()> {
    let head = read_head(&mut stream, Instant::now() + PATIENCE)?;
    let (answer, with_body) = answer(&head, published)?;
    let mut bytes = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nVary: Accept, Accept-Encoding\r\nConnection: close\r\n",
        answer.status,
        answer.content_type,
        answer.body.len(),
    )
    .into_bytes();
    if answer.gzip {
        bytes.extend_from_slice(b"Content-Encoding: gzip\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    if with_body {
        bytes.extend_from_slice(&answer.body);
    }
    let deadline = Instant::now() + PATIENCE;
    let mut left = &bytes[..];
    while !left.is_empty() {
        stream.set_write_timeout(Some(time_left(deadline)?))?;
        let written = stream.write(left)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        left = &left[written..];
    }
    Ok(())
}

/// Reads up to the empty line behind the headers. A body is of no interest.
fn read_head(stream: &mut TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let (mut head, mut piece) = (Vec::new(), [0; 1 << 10]);
    while head.len() < HEAD {
        stream.set_read_timeout(Some(time_left(deadline)?))?;
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = head.len().saturating_sub(3);
        head.extend_from_slice(&piece[..read]);
        if head[before..].windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    Ok(head)
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The answer to a request, and whether its body is sent.
fn answer(head: &[u8], published: &Published) -> io::Result<(Answer, bool)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    if !matches!(request.parse(head), Ok(httparse::Status::Complete(_))) {
        return Ok((Answer::plain("400 Bad Request", "this is no HTTP request\n"), true));
    }
    let with_body = match request.method {
        Some("GET") => true,
        Some("HEAD") => false,
        _ => return Ok((Answer::plain("405 Method Not Allowed", "only GET and HEAD are answered\n"), true)),
    };
    let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
    let answer = match path {
        "/metrics" => {
            let header = |name: &str| {
                let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                found.and_then(|header| str::from_utf8(header.value).ok()).unwrap_or_default()
            };
            metrics(Format::of(header("accept")), takes_gzip(header("accept-encoding")), published)?
        }
        "/" => Answer::plain("200 OK", FRONT),
        _ => Answer::plain("404 Not Found", FRONT),
    };
    Ok((answer, with_body))
}

fn metrics(format: Format, gzip: bool, published: &Published) -> io::Result<Answer> {
    let Some(metrics) = published.latest() else {
        return Ok(Answer::plain("503 Service Unavailable", "nothing is watched yet\n"));
    };
    let body = format.write(&metrics.families());
    let gzip = gzip && body.len() >= SHORT;
    let body = if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&body)?;
        encoder.finish()?
    } else {
        body
    };
    Ok(Answer { status: "200 OK", content_type: format.content_type(), gzip, body })
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;
    use crate::outlet::testing::metrics as made_up;

    fn server() -> Server {
        let published = Arc::new(Published::default());
        published.publish(made_up());
        Server::start(&":0".parse().unwrap(), published).unwrap()
    }

    fn ask(server: &Server, request: &[u8]) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let body = answer.split_off(end);
        (String::from_utf8(answer).unwrap(), body)
    }

    #[test]
    fn addresses_are_loopback_unless_a_host_is_named() {
        let parse = |text: &str| text.parse::<ListenAddress>().map(|address| address.to_string());
        for (text, address) in [
            (":9464", "127.0.0.1:9464"),
            ("9464", "127.0.0.1:9464"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:2", "[::1]:2"),
            ("localhost:3", "localhost:3"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(address));
        }
        for wrong in ["", "host", "host:", "host:70000", "::1:5", "[::1:5", "[host]:5", "http://host:5"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn metrics_are_told_in_the_format_that_is_asked_for() {
        let server = server();
        let (head, body) = ask(&server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
        assert!(String::from_utf8(body).unwrap().contains("\nwhywait_requests_in_flight 3\n"));
        let asked =
            b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\nAccept-Encoding: gzip\r\n\r\n";
        let (head, body) = ask(&server, asked);
        assert!(
            head.contains("openmetrics-text; version=1.0.0") && head.contains("Content-Encoding: gzip"),
            "{head}"
        );
        let mut text = String::new();
        GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_is_not_asked_for_rightly_is_refused() {
        let server = server();
        for (request, status) in [
            (&b"POST /metrics HTTP/1.1\r\n\r\n"[..], "405"),
            (b"GET /other HTTP/1.1\r\n\r\n", "404"),
            (b"\x16\x03\x01\x00\r\n\r\n", "400"),
            (b"HEAD /metrics HTTP/1.1\r\n\r\n", "200"),
        ] {
            let (head, body) = ask(&server, request);
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert_eq!(body.is_empty(), request.starts_with(b"HEAD"));
        }
    }

    #[test]
    fn a_head_without_an_end_is_refused() {
        let server = server();
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(&[b'x'; HEAD]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }

    /// A ninth connection ends at once, and the eight that say nothing do not keep a scraper out for longer than they last.
    #[test]
    fn connections_are_bounded() {
        let server = server();
        let idle: Vec<TcpStream> =
            (0..CONNECTIONS).map(|_| TcpStream::connect(server.address).unwrap()).collect();
        let mut turned_away = TcpStream::connect(server.address).unwrap();
        let mut nothing = Vec::new();
        turned_away.read_to_end(&mut nothing).unwrap();
        assert!(nothing.is_empty());
        drop(idle);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut stream = TcpStream::connect(server.address).unwrap();
            let sent = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
            let mut answer = String::new();
            if sent.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.ends_with(FRONT) {
                break;
            }
            assert!(Instant::now() < deadline, "still turned away");
        }
    }

    #[test]
    fn a_port_in_use_is_told() {
        let server = server();
        let port = server.address.port();
        let again = Server::start(&format!(":{port}").parse().unwrap(), Arc::default());
        let told = again.err().map(|error| error.to_string()).unwrap();
        assert!(
            told.starts_with(&format!("cannot listen on 127.0.0.1:{port}: Address already in use")),
            "{told}"
        );
        drop(server);
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "the port is free again");
    }
}
