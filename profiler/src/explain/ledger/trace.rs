//! The first requests of a run, one after the other: what a replay is fed with. A sample would not do, as queues are made of neighbours.

use crate::{
    clock::{Request, RequestId, StateTimes},
    decode::ConnId,
    units::Ns,
};

/// Requests that are kept.
const SIZE: usize = 16_384;

/// What a replay needs of a request.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    /// Its name.
    pub id: RequestId,
    /// Its connection.
    pub conn: ConnId,
    /// When it began.
    pub start: Ns,
    /// When it ended.
    pub end: Ns,
    /// Its times.
    pub times: StateTimes,
}

/// The first requests.
#[derive(Debug, Default)]
pub struct Trace {
    requests: Vec<Traced>,
}

impl Trace {
    /// Takes a request.
    pub fn add(&mut self, request: &Request) {
        if self.requests.len() < SIZE {
            self.requests.push(Traced {
                id: request.id,
                conn: request.conn,
                start: request.start,
                end: request.end,
                times: request.times,
            });
        }
    }

    /// The requests by the time at which they began.
    pub fn in_order(&self) -> Vec<Traced> {
        let mut requests = self.requests.clone();
        requests.sort_by_key(|request| (request.start, request.id));
        requests
    }
}
