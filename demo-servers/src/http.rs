//! The part of HTTP/1.1 that every model shares: requests out of a byte stream, and responses into one.
//!
//! [`RequestBuffer`] does no I/O: a model feeds it whatever bytes its own way of reading delivers, in pieces of any
//! size, and takes complete requests out. That is what makes one parser fit blocking threads, event loops and forked
//! processes.

pub mod response;

use std::borrow::Cow;
use std::io::Write;

/// A request line with its headers must fit into this many bytes.
pub const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// The methods that the servers answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`: as GET, but the response has no body.
    Head,
    /// `POST`: the body is read and ignored.
    Post,
}

/// One complete request. Its body, if it had one, has been consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// The target up to the `?`.
    pub path: String,
    /// The target after the `?`, not decoded; empty if there is none.
    pub query: String,
    /// Whether the connection stays open after the answer.
    pub keep_alive: bool,
    /// An HTTP/1.0 client must be told that the connection stays open; later ones assume it.
    pub http_1_0: bool,
    /// How many bytes of body came with it.
    pub body_bytes: u64,
}

/// Why the bytes of a connection are not a request. The connection cannot be used after that: where the next request
/// begins is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// Not HTTP/1.x.
    #[error("the request is not HTTP/1.x ({0})")]
    Syntax(httparse::Error),
    /// Another method than GET, HEAD, POST.
    #[error("the method is not one of GET, HEAD, POST")]
    Method,
    /// More than [`MAX_HEAD`] bytes before the empty line.
    #[error("the request line and headers are longer than {MAX_HEAD} bytes")]
    TooLong,
    /// No number, or several that differ.
    #[error("the Content-Length is not one number")]
    ContentLength,
    /// A chunked request body: no client of these servers sends one.
    #[error("Transfer-Encoding is not supported in requests: send a Content-Length")]
    TransferEncoding,
}

/// Bytes of one connection on their way to become requests.
#[derive(Debug, Default)]
pub struct RequestBuffer {
    bytes: Vec<u8>,
    consumed: usize,
    /// A request whose body has not completely arrived, and how much of that is missing.
    body: Option<(Request, u64)>,
}

impl RequestBuffer {
    /// Appends what was read from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.consumed == self.bytes.len() {
            self.bytes.clear();
        } else if self.consumed > 0 {
            self.bytes.drain(..self.consumed);
        }
        self.consumed = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes have been pushed and not become part of a request yet.
    pub fn unparsed(&self) -> usize {
        self.bytes.len() - self.consumed
    }

    /// Takes the next request out, `None` if its bytes have not all arrived. Pipelined requests come out one by one,
    /// in order.
    pub fn next_request(&mut self) -> Result<Option<Request>, BadRequest> {
        let (request, missing) = match self.body.take() {
            Some(waiting) => waiting,
            None => match parse(&self.bytes[self.consumed..])? {
                Some((request, head)) => {
                    self.consumed += head;
                    let body = request.body_bytes;
                    (request, body)
                }
                None => return Ok(None),
            },
        };
        let taken = usize::try_from(missing).unwrap_or(usize::MAX).min(self.unparsed());
        self.consumed += taken;
        let missing = missing - taken as u64;
        if missing > 0 {
            self.body = Some((request, missing));
            return Ok(None);
        }
        Ok(Some(request))
    }
}

/// Parses one head; `None` if it is incomplete. The second value is its length in bytes.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, BadRequest> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    // A limit on what is looked at, not on what has arrived: the same bytes give the same answer in any pieces.
    let seen = &bytes[..bytes.len().min(MAX_HEAD)];
    let head = match parsed.parse(seen).map_err(BadRequest::Syntax)? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial if bytes.len() >= MAX_HEAD => return Err(BadRequest::TooLong),
        httparse::Status::Partial => return Ok(None),
    };
    let method = match parsed.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        _ => return Err(BadRequest::Method),
    };
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let http_1_0 = parsed.version == Some(0);
    let mut request = Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        keep_alive: !http_1_0,
        http_1_0,
        body_bytes: 0,
    };
    let mut length = None;
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let value = content_length(header.value).ok_or(BadRequest::ContentLength)?;
            if length.is_some_and(|earlier| earlier != value) {
                return Err(BadRequest::ContentLength);
            }
            length = Some(value);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(BadRequest::TransferEncoding);
        } else if header.name.eq_ignore_ascii_case("connection") {
            if has_token(header.value, "close") {
                request.keep_alive = false;
            } else if has_token(header.value, "keep-alive") {
                request.keep_alive = true;
            }
        }
    }
    request.body_bytes = length.unwrap_or(0);
    Ok(Some((request, head)))
}

/// A Content-Length is digits and nothing else: `+5` or `5, 5` would be read differently by a proxy in front
/// (RFC 9112 §6.3, request smuggling).
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether a comma-separated header value contains `token`, in any case.
fn has_token(value: &[u8], token: &str) -> bool {
    value.split(|&byte| byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// The status of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 400: the request, or a parameter of it, makes no sense.
    BadRequest,
    /// 404: no such route.
    NotFound,
    /// 500: the work failed.
    InternalServerError,
    /// 502: the upstream did not answer.
    BadGateway,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::InternalServerError => "500 Internal Server Error",
            Self::BadGateway => "502 Bad Gateway",
        }
    }
}

/// A response before it is written.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: Status,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Cow<'static, [u8]>,
    /// `X-Cache`: whether a cached route was answered from memory.
    pub cache: Option<CacheOutcome>,
}

/// Where the answer of a cached route came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// From memory.
    Hit,
    /// It was made for this request.
    Miss,
}

impl Response {
    /// 200 with a text.
    pub fn text(body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { status: Status::Ok, content_type: "text/plain", body: body.into(), cache: None }
    }

    /// 200 with a JSON document.
    pub fn json(body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { content_type: "application/json", ..Self::text(body) }
    }

    /// An error with one line that says what is wrong.
    pub fn error(status: Status, message: &str) -> Self {
        Self { status, ..Self::text(format!("{message}\n").into_bytes()) }
    }

    /// Appends the response to `out`, whole, so that one write can send it.
    pub fn encode(&self, request: &Request, out: &mut Vec<u8>) {
        self.encode_as(request.method == Method::Head, request.keep_alive, request.http_1_0, out);
    }

    /// Appends the response to bytes that were no request; the connection closes after it.
    pub fn encode_last(&self, out: &mut Vec<u8>) {
        self.encode_as(false, false, false, out);
    }

    fn encode_as(&self, head_only: bool, keep_alive: bool, http_1_0: bool, out: &mut Vec<u8>) {
        let cache = match self.cache {
            None => "",
            Some(CacheOutcome::Hit) => "X-Cache: hit\r\n",
            Some(CacheOutcome::Miss) => "X-Cache: miss\r\n",
        };
        let connection = match (keep_alive, http_1_0) {
            (false, _) => "Connection: close\r\n",
            (true, true) => "Connection: keep-alive\r\n",
            (true, false) => "",
        };
        // Writing into a Vec cannot fail.
        let _ = write!(
            out,
            "HTTP/1.1 {}\r\nServer: demo-servers\r\nContent-Type: {}\r\nContent-Length: {}\r\n{cache}{connection}\r\n",
            self.status.line(),
            self.content_type,
            self.body.len(),
        );
        if !head_only {
            out.extend_from_slice(&self.body);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parsed = Vec<Result<Request, BadRequest>>;

    /// All that comes out of `pieces`; parsing ends at the first error, as a connection does.
    fn parse_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Parsed {
        let mut buffer = RequestBuffer::default();
        let mut parsed = Vec::new();
        for piece in pieces {
            buffer.push(piece);
            loop {
                match buffer.next_request() {
                    Ok(Some(request)) => parsed.push(Ok(request)),
                    Ok(None) => break,
                    Err(error) => {
                        parsed.push(Err(error));
                        return parsed;
                    }
                }
            }
        }
        parsed
    }

    fn parse_one(bytes: &[u8]) -> Result<Request, BadRequest> {
        let mut parsed = parse_pieces([bytes]);
        assert_eq!(parsed.len(), 1, "{:?}", String::from_utf8_lossy(bytes));
        parsed.remove(0)
    }

    #[test]
    fn splits_path_and_query() {
        let request = parse_one(b"GET /cpu?us=10 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/cpu", "us=10"));
        assert!(request.keep_alive);
    }

    #[test]
    fn connection_header_decides_over_version() {
        let keep = |bytes: &[u8]| parse_one(bytes).unwrap().keep_alive;
        assert!(!keep(b"GET / HTTP/1.1\r\nConnection: Upgrade, Close\r\n\r\n"));
        assert!(!keep(b"GET / HTTP/1.0\r\n\r\n"));
        assert!(keep(b"GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n"));
    }

    #[test]
    fn pipelined_requests_come_out_in_order() {
        let bytes =
            b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyzGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
        let paths: Vec<_> = parse_pieces([&bytes[..]]).into_iter().map(|r| r.unwrap().path).collect();
        assert_eq!(paths, ["/a", "/b", "/c"]);
    }

    #[test]
    fn bad_requests_say_what_is_wrong() {
        assert!(matches!(parse_one(b"nonsense\x01\r\n\r\n"), Err(BadRequest::Syntax(_))));
        assert_eq!(parse_one(b"BREW / HTTP/1.1\r\n\r\n"), Err(BadRequest::Method));
        for length in ["+3", "", "3, 3", "99999999999999999999999"] {
            let request = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\nabc");
            assert_eq!(parse_one(request.as_bytes()), Err(BadRequest::ContentLength), "{length:?}");
        }
        assert_eq!(
            parse_one(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            Err(BadRequest::ContentLength)
        );
        assert_eq!(
            parse_one(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Err(BadRequest::TransferEncoding)
        );
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(parse_one(long.as_bytes()), Err(BadRequest::TooLong));
    }

    #[test]
    fn head_has_the_length_but_not_the_body() {
        let mut request = parse_one(b"HEAD /plaintext HTTP/1.1\r\n\r\n").unwrap();
        let mut out = Vec::new();
        Response::text(&b"Hello"[..]).encode(&request, &mut out);
        assert!(out.ends_with(b"Content-Length: 5\r\n\r\n"));
        request.method = Method::Get;
        Response::text(&b"Hello"[..]).encode(&request, &mut out);
        assert!(out.ends_with(b"\r\n\r\nHello"));
    }

    fn any_request() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            6 => ("(GET|HEAD|POST)", "/[a-z]{0,8}(\\?[a-z]=[0-9]{1,3})?", "[01]", 0_usize..40, any::<bool>()).prop_map(
                |(method, target, minor, body, close)| {
                    let connection = if close { "Connection: close\r\n" } else { "" };
                    let mut bytes =
                        format!("{method} {target} HTTP/1.{minor}\r\nContent-Length: {body}\r\n{connection}\r\n")
                            .into_bytes();
                    bytes.extend(std::iter::repeat_n(b'b', body));
                    bytes
                }
            ),
            1 => Just(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..30),
        ]
    }

    proptest! {
        /// How TCP cuts the bytes into segments never changes what is parsed.
        #[test]
        fn no_split_changes_the_result(
            requests in proptest::collection::vec(any_request(), 1..5),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes = requests.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            prop_assert_eq!(parse_pieces(pieces), parse_pieces([&bytes[..]]));
        }
    }
}
