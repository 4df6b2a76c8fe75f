//! What the clock keeps for a connection.

use super::request::RequestId;
use crate::units::Ns;

/// Which end of a connection the target holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Requests come in.
    Server,
    /// Another service is called.
    Client,
}

/// Where the turn-taking on a server's connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Not known: the connection was there before whywait, or a record was lost. A read may be the middle of a request.
    Unknown,
    /// Nothing is asked.
    Idle,
    /// A request is open: read, perhaps answered in part.
    Open(RequestId),
}

/// State of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub role: Role,
    /// Socket's address.
    pub sock: u64,
    pub local_port: u16,
    pub remote_port: u16,
    /// When it was established, where that was seen.
    pub established: Option<Ns>,
    /// When a thread accepted it, where that is known.
    pub accepted: Option<Ns>,
    pub turn: Turn,
    /// Number of the next operation.
    pub next_seq: Option<u32>,
    /// As a client: the request that waits for an answer here, and since when.
    pub caller: Option<(RequestId, Ns)>,
}
