//! The client's side: one response out of a byte stream, without keeping its body.
//!
//! Used by the load generator and by `/downstream`. Knows the three ways a body ends: a Content-Length, the last
//! chunk, or the end of the connection.

use std::io;
use std::mem::MaybeUninit;

/// What a client needs to know of a complete response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
}

/// The bytes are not an HTTP/1.x response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's bytes are not an HTTP/1.x response")]
pub struct BadResponse;

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    Sized(Answer, u64),
    Chunked(Answer, Chunk),
    UntilClose(Answer),
}

#[derive(Debug, Clone, Copy)]
enum Chunk {
    /// In the line with the size; whether the digits are over (an extension follows).
    Size {
        size: u64,
        digits: u8,
        over: bool,
    },
    Data(u64),
    /// In the line end after the data.
    DataEnd,
    /// In the trailer section; how many bytes of the present line have been seen.
    Trailer(u64),
}

const CHUNK_START: Chunk = Chunk::Size { size: 0, digits: 0, over: false };
const MAX_HEAD: usize = 64 * 1024;

/// Reads responses one after the other; the client does not pipeline, so there is never more than one.
#[derive(Debug)]
pub struct ResponseReader {
    head: Vec<u8>,
    state: State,
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self { head: Vec::new(), state: State::Head }
    }
}

impl ResponseReader {
    /// Takes the bytes that were read; `Some` when the response is complete. The reader is then ready for the next.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Answer>, BadResponse> {
        let mut rest = bytes;
        loop {
            match self.state {
                // The usual case: the whole head has come at once and need not be kept.
                State::Head if self.head.is_empty() => match parse_head(rest)? {
                    Some((state, used)) => {
                        self.state = state;
                        rest = &rest[used..];
                    }
                    None if rest.len() > MAX_HEAD => return Err(BadResponse),
                    None => {
                        self.head.extend_from_slice(rest);
                        return Ok(None);
                    }
                },
                State::Head => {
                    self.head.extend_from_slice(rest);
                    match parse_head(&self.head)? {
                        None if self.head.len() > MAX_HEAD => return Err(BadResponse),
                        None => return Ok(None),
                        Some((state, used)) => {
                            self.state = state;
                            // The head's bytes that came with earlier pieces are not part of `rest`.
                            let before = self.head.len() - rest.len();
                            rest = &rest[used - before..];
                            self.head.clear();
                        }
                    }
                }
                State::Sized(answer, left) => {
                    let taken = left.min(rest.len() as u64);
                    return Ok(self.finish_if(left == taken, answer, State::Sized(answer, left - taken)));
                }
                State::Chunked(answer, mut chunk) => {
                    let done = chunk.consume(rest)?;
                    return Ok(self.finish_if(done, answer, State::Chunked(answer, chunk)));
                }
                State::UntilClose(_) => return Ok(None),
            }
        }
    }

    /// The server has closed the connection: `Some` if that is how the response ends, `None` if it is incomplete.
    pub fn end_of_stream(&mut self) -> Option<Answer> {
        let State::UntilClose(answer) = self.state else { return None };
        self.state = State::Head;
        Some(answer)
    }

    /// Takes what a read has returned, of which nothing means the end of the stream.
    ///
    /// # Errors
    /// When the bytes are not a response, or the stream ends in the middle of one.
    pub fn pushed(&mut self, read: &[u8]) -> io::Result<Option<Answer>> {
        if read.is_empty() {
            return self.end_of_stream().map(Some).ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
        }
        self.push(read).map_err(io::Error::other)
    }

    /// Whether any byte of a response has been seen since the last complete one.
    pub fn has_begun(&self) -> bool {
        !self.head.is_empty() || !matches!(self.state, State::Head)
    }

    fn finish_if(&mut self, done: bool, answer: Answer, otherwise: State) -> Option<Answer> {
        self.state = if done { State::Head } else { otherwise };
        done.then_some(answer)
    }
}

fn parse_head(head: &[u8]) -> Result<Option<(State, usize)>, BadResponse> {
    // Filling the table with empty headers would take longer than parsing most responses.
    let mut headers = [const { MaybeUninit::uninit() }; 128];
    let mut parsed = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let used = match parser.parse_response_with_uninit_headers(&mut parsed, head, &mut headers) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(BadResponse),
    };
    let status = parsed.code.ok_or(BadResponse)?;
    if (100..200).contains(&status) {
        // An interim response: the real one follows.
        return Ok(parse_head(&head[used..])?.map(|(state, more)| (state, used + more)));
    }
    let mut answer = Answer { status, keep_alive: parsed.version == Some(1) };
    let (mut length, mut chunked) = (None, false);
    for header in parsed.headers.iter() {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("content-length") {
            length = Some(super::content_length(value).ok_or(BadResponse)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = super::has_token(value, "chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            if super::has_token(value, "close") {
                answer.keep_alive = false;
            } else if super::has_token(value, "keep-alive") {
                answer.keep_alive = true;
            }
        }
    }
    let state = match length {
        _ if status == 204 || status == 304 => State::Sized(answer, 0),
        _ if chunked => State::Chunked(answer, CHUNK_START),
        Some(length) => State::Sized(answer, length),
        None => State::UntilClose(Answer { keep_alive: false, ..answer }),
    };
    Ok(Some((state, used)))
}

impl Chunk {
    /// Moves over `bytes`; true when the last chunk and its trailer are over.
    fn consume(&mut self, mut bytes: &[u8]) -> Result<bool, BadResponse> {
        while let Some(&byte) = bytes.first() {
            let mut used = 1;
            *self = match *self {
                Self::Size { size, digits, .. } if byte == b'\n' => match (digits, size) {
                    (0, _) => return Err(BadResponse),
                    (_, 0) => Self::Trailer(0),
                    _ => Self::Data(size),
                },
                Self::Size { size, digits, over: false } => match char::from(byte).to_digit(16) {
                    // Fifteen hexadecimal digits are more than any body, and cannot overflow.
                    Some(_) if digits == 15 => return Err(BadResponse),
                    Some(digit) => {
                        Self::Size { size: size * 16 + u64::from(digit), digits: digits + 1, over: false }
                    }
                    None => Self::Size { size, digits, over: true },
                },
                Self::Size { size, digits, over: true } => Self::Size { size, digits, over: true },
                Self::Data(left) => {
                    used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    match left - used as u64 {
                        0 => Self::DataEnd,
                        left => Self::Data(left),
                    }
                }
                Self::DataEnd if byte == b'\n' => CHUNK_START,
                Self::DataEnd if byte == b'\r' => Self::DataEnd,
                Self::DataEnd => return Err(BadResponse),
                Self::Trailer(0) if byte == b'\n' => return Ok(true),
                Self::Trailer(_) if byte == b'\n' => Self::Trailer(0),
                Self::Trailer(seen) if byte == b'\r' => Self::Trailer(seen),
                Self::Trailer(seen) => Self::Trailer(seen + 1),
            };
            bytes = &bytes[used..];
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\nHello\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nTrailer: t\r\n\r\n";
    const INTERIM: &[u8] =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

    fn ok(keep_alive: bool) -> Answer {
        Answer { status: 200, keep_alive }
    }

    #[test]
    fn a_body_may_end_with_the_connection() {
        let mut reader = ResponseReader::default();
        assert_eq!(reader.push(b"HTTP/1.1 200 OK\r\n\r\nsome"), Ok(None));
        assert_eq!(reader.push(b" more"), Ok(None));
        assert_eq!(reader.end_of_stream(), Some(ok(false)));
        assert!(!reader.has_begun());
    }

    #[test]
    fn a_cut_response_is_not_complete() {
        let mut reader = ResponseReader::default();
        assert_eq!(reader.push(&SIZED[..SIZED.len() - 1]), Ok(None));
        assert!(reader.has_begun());
        assert_eq!(reader.end_of_stream(), None);
        assert!(reader.has_begun());
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(ResponseReader::default().push(b"SSH-2.0-OpenSSH\r\n"), Err(BadResponse));
        let no_size = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n";
        assert_eq!(ResponseReader::default().push(no_size), Err(BadResponse));
    }

    proptest! {
        /// However the bytes are cut, a response is complete with its last byte and not before.
        #[test]
        fn complete_with_the_last_byte(which in 0_usize..3, step in 1_usize..20) {
            let (bytes, answer) = [
                (SIZED, ok(true)),
                (CHUNKED, ok(true)),
                (INTERIM, Answer { status: 503, keep_alive: false }),
            ][which];
            let mut reader = ResponseReader::default();
            for _ in 0..2 {
                let mut pieces = bytes.chunks(step).peekable();
                while let Some(piece) = pieces.next() {
                    let expected = pieces.peek().is_none().then_some(answer);
                    prop_assert_eq!(reader.push(piece), Ok(expected));
                }
            }
        }
    }
}
