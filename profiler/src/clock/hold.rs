//! How long a thread is kept by one thing: what a request waits behind when the thread that will read it is busy.

use super::request::RequestId;
use crate::units::{Ns, Pid, Tid};

/// Holds that are shorter are not told: a thread that serves many requests has one for each of them.
pub const SHORTEST: u64 = 500_000;

/// A stretch of time in which a thread worked on, or blocked in, one request without a look at what else there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The thread.
    pub tid: Tid,
    /// Its process.
    pub pid: Pid,
    /// When it took the request up, or came back from waiting for something to do.
    pub from: Ns,
    /// When it went on to something else.
    pub to: Ns,
    /// The request; `None` for work that belongs to none: a timer, the collection of garbage.
    pub request: Option<RequestId>,
}

impl Hold {
    /// Nanoseconds that it lasted.
    pub fn length(&self) -> u64 {
        self.to.since(self.from)
    }
}
