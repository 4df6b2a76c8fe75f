//! What other models hang into the event loop: a place for work that must not block it.

use mio::Token;

use crate::reactor::connection::{Connection, Next};
use crate::reactor::upstream::Returned;
use crate::routes::Work;
use crate::work::{Done, Worker};

/// Where a loop's requests are worked on when that would block its thread. What is not described here goes on in the
/// loop.
pub(in crate::models) trait Offload {
    /// Does the work of a request; `None` if another thread does it, which wakes the loop when it is done.
    fn perform(&mut self, _token: Token, work: Work, worker: &mut Worker) -> Option<Done> {
        Some(worker.perform(&work))
    }

    /// May take away a whole connection, with the request that is to be answered on it.
    fn take(&mut self, _token: Token, connection: Box<Connection>, _work: &Work) -> Taken {
        Taken::No(connection)
    }

    /// What has come back since the last time; asked for when the loop has been woken.
    fn finished(&mut self) -> Vec<Finished> {
        Vec::new()
    }
}

/// Whether a connection has been taken away.
pub(in crate::models) enum Taken {
    No(Box<Connection>),
    Yes,
    /// It had to be closed.
    Lost,
}

/// What other threads give back to the loop.
pub(in crate::models) enum Finished {
    /// The result of some work.
    Work(Returned),
    /// A connection that had been taken away, on which the request has been answered.
    Connection(Token, Box<Connection>, Next),
}
