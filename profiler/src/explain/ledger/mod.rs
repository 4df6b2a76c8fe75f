//! What findings need beside the window's sums: a sample of whole requests, the services they called, what kept threads for long, births.
//!
//! Fed like the window, event by event and request by request; constant space, and on the way of a request a few additions.

mod births;
mod holds;
mod peers;
mod sample;
mod trace;

pub use births::{Births, Kind};
pub use holds::{Holds, overlapping};
pub use peers::{PeerId, Peers};
pub use sample::Sample;
pub use trace::{Trace, Traced};

use crate::{
    clock::{Hold, Request, State},
    decode::{Event, What},
};

/// The ledger of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    sample: Sample,
    trace: Trace,
    peers: Peers,
    holds: Holds,
    births: Births,
    service_ns: u64,
}

impl Ledger {
    /// Takes an event.
    pub fn event(&mut self, event: &Event) {
        match &event.what {
            What::Conn(conn) => self.peers.connection(conn),
            What::SockState(change) => self.peers.sock_state(change),
            What::OffCpu(interval) => self.births.off_cpu(event, interval),
            What::ThreadEnd => self.births.ended(event),
            What::Thread(_) | What::Socket { .. } | What::Stack(_) => {}
        }
    }

    /// Takes a long hold of a thread.
    pub fn hold(&mut self, hold: Hold) {
        self.holds.add(hold);
    }

    /// Takes a finished request.
    pub fn request(&mut self, request: &Request) {
        let queued =
            [State::AcceptQueue, State::RecvQueue, State::AppQueue].map(|state| request.times[state]);
        self.service_ns += request.latency().saturating_sub(queued.iter().sum());
        self.holds.request(request);
        self.peers.request(request);
        self.trace.add(request);
    }

    /// Perhaps keeps the request whole, which nobody else needs any more, see [`Sample::add`].
    pub fn keep(&mut self, request: &mut Request) {
        self.sample.add(request);
    }

    /// A sample of the requests.
    pub fn sample(&self) -> &Sample {
        &self.sample
    }

    /// The first requests.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Services that were called.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// What kept threads for long.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Threads and processes that were born.
    pub fn births(&self) -> &Births {
        &self.births
    }

    /// Nanoseconds of all requests in which they were in no queue before a worker.
    pub fn service_ns(&self) -> u64 {
        self.service_ns
    }
}
