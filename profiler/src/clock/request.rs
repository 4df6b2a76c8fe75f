//! A request, open and finished.

use super::{
    state::{State, StateTimes},
    timeline::{Rank, Timeline},
};
use crate::{
    decode::ConnId,
    units::{Bytes, Ns, Pid, Tid},
};

/// Names a request within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Where a request's beginning is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartedAt {
    /// Its first byte arrived in the socket.
    Arrival,
    /// Its first read; when the byte arrived is not known.
    Read,
}

/// A finished request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// Its connection.
    pub conn: ConnId,
    /// Process that read it.
    pub pid: Pid,
    /// Threads that owned it, in order, each once.
    pub threads: Vec<Tid>,
    /// Method and path, where the bytes are HTTP/1.x: `GET /json`.
    pub route: Option<Box<str>>,
    /// Local port of its connection; 0 for Unix sockets.
    pub port: u16,
    /// Remote port of its connection; 0 for Unix sockets.
    pub peer_port: u16,
    /// When it began.
    pub start: Ns,
    /// Where that is known from.
    pub started_at: StartedAt,
    /// When its first read returned.
    pub first_read: Ns,
    /// When the last write of its response returned.
    pub end: Ns,
    /// Its time by state; sums to its latency.
    pub times: StateTimes,
    /// Bytes that were read.
    pub received: Bytes,
    /// Bytes that were written.
    pub sent: Bytes,
    /// A record was lost that may have been about it.
    pub touched_by_loss: bool,
}

impl Request {
    /// Nanoseconds from its beginning to its end.
    pub fn latency(&self) -> u64 {
        self.end.since(self.start)
    }
}

/// A request that is not finished.
#[derive(Debug)]
pub(super) struct Open {
    pub id: RequestId,
    pub conn: ConnId,
    pub pid: Pid,
    pub threads: Vec<Tid>,
    pub route: Option<Box<str>>,
    pub port: u16,
    pub peer_port: u16,
    pub start: Ns,
    pub started_at: StartedAt,
    pub first_read: Ns,
    pub timeline: Timeline,
    pub received: u64,
    pub sent: u64,
    pub touched_by_loss: bool,
    /// Thread that owns it, if one does.
    pub owner: Option<Tid>,
    /// Number of the ownership.
    pub epoch: u32,
    /// When the last owner let it go.
    pub released: Ns,
    /// When the last write returned.
    pub last_write: Option<Ns>,
    /// Since when a full buffer holds the response up.
    pub send_blocked: Option<Ns>,
    /// Since when each called service owes an answer.
    pub calls: Vec<(ConnId, Ns)>,
}

impl Open {
    /// Whether a part of the response has been written.
    pub fn responded(&self) -> bool {
        self.last_write.is_some()
    }

    /// A thread works on it from now on; returns the rank of what the thread does.
    pub fn own(&mut self, tid: Tid) -> Rank {
        if self.owner != Some(tid) {
            self.owner = Some(tid);
            self.epoch += 1;
            if !self.threads.contains(&tid) {
                self.threads.push(tid);
            }
        }
        Rank::Owner(self.epoch)
    }

    /// The thread, if it is the owner, lets it go.
    pub fn release(&mut self, tid: Tid, at: Ns) {
        if self.owner == Some(tid) {
            self.owner = None;
            self.released = at;
        }
    }

    /// The finished request; `None` when it was never answered.
    pub fn finish(mut self) -> Option<Request> {
        let end = self.last_write?.max(self.start);
        for (_, since) in &self.calls {
            self.timeline.claim(*since, end, State::Downstream, Rank::Pending);
        }
        Some(Request {
            id: self.id,
            conn: self.conn,
            pid: self.pid,
            threads: self.threads,
            route: self.route,
            port: self.port,
            peer_port: self.peer_port,
            start: self.start,
            started_at: self.started_at,
            first_read: self.first_read,
            end,
            times: self.timeline.finish(end),
            received: Bytes(self.received),
            sent: Bytes(self.sent),
            touched_by_loss: self.touched_by_loss,
        })
    }
}

/// Method and path of an HTTP/1.x request whose first bytes these are; the query is left out.
pub(super) fn route(head: &[u8]) -> Option<Box<str>> {
    const METHODS: [&str; 9] =
        ["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    let space = head.iter().position(|byte| *byte == b' ')?;
    let method = std::str::from_utf8(&head[..space]).ok()?;
    if !METHODS.contains(&method) {
        return None;
    }
    let rest = &head[space + 1..];
    let length = rest.iter().position(|byte| b" ?#\r\n".contains(byte)).unwrap_or(rest.len());
    let path = String::from_utf8_lossy(&rest[..length]);
    let printable = !path.is_empty() && path.chars().all(|c| !c.is_control());
    printable.then(|| format!("{method} {path}").into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_the_method_and_the_path_without_the_query() {
        assert_eq!(route(b"GET /cpu?us=5 HTTP/1.1\r\n").as_deref(), Some("GET /cpu"));
        assert_eq!(route(b"POST /a/b HTTP/1.0\r\n").as_deref(), Some("POST /a/b"));
        assert_eq!(
            route(b"GET /a-path-longer-than-what-was-ke").as_deref(),
            Some("GET /a-path-longer-than-what-was-ke")
        );
    }

    #[test]
    fn what_is_not_http_has_no_route() {
        for head in [&b"*1\r\n$4\r\nPING\r\n"[..], b"", b"GET", b"GET ", b"get / HTTP/1.1", b"\x16\x03\x01 "]
        {
            assert_eq!(route(head), None, "{head:?}");
        }
    }
}
