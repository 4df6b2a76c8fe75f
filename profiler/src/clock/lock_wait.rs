//! Waits for locks that belong to requests: which ones, and for whom the thread worked that ended each.

use super::request::RequestId;
use crate::{
    decode::Route,
    units::{Ns, Tid},
};

/// Waits that are kept for one request, and for what a thread does between two boundaries.
pub const MOST_LOCK_WAITS: usize = 256;

/// A wait of a request's thread in the state `lock`. What it waited for is told by the record of the interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWait {
    /// The thread.
    pub tid: Tid,
    /// When it left the CPU.
    pub from: Ns,
    /// When it was woken.
    pub to: Ns,
    /// What the thread that woke it had in hand.
    pub waker_has: Option<InHand>,
}

/// A request that a thread had in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InHand {
    /// The request.
    pub request: RequestId,
    /// It owned the request: it had read from the connection, or written to it, rather than been woken for it.
    pub owned: bool,
    /// Route of the request.
    pub route: Option<Route>,
}
