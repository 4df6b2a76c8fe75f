//! Requests and times for tests.

use super::{Facts, Times, findings};
use crate::{
    clock::{Called, Parts, Request, RequestId, StartedAt, State, StateTimes},
    decode::ConnId,
    units::{Bytes, Ns, Pid, Tid},
};

/// A request that was on a CPU from beginning to end.
pub fn request(id: u64, start: Ns, latency: u64) -> Request {
    let mut times = StateTimes::default();
    times[State::OnCpu] = latency;
    Request {
        id: RequestId(id),
        conn: ConnId(id),
        pid: Pid(1),
        threads: smallvec::smallvec![Tid(1)],
        route: None,
        port: 80,
        peer_port: 40_000,
        start,
        started_at: StartedAt::Arrival,
        first_read: start,
        end: start.plus(latency),
        times,
        called: Called::new(),
        parts: Parts::default(),
        lock_waits: Vec::new(),
        received: Bytes(10),
        sent: Bytes(10),
        touched_by_loss: false,
        path: Vec::new(),
        owners: Vec::new(),
    }
}

/// Microseconds by state; the others are zero.
pub fn times(of: &[(State, f64)]) -> Times {
    let mut times = Times::default();
    for (state, time) in of {
        times[*state] += time;
    }
    times
}

/// Whether two figures are the same but for the digits that arithmetic loses.
pub fn near(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-6 * one.abs().max(other.abs())
}

/// A thousand requests, all made of this, on a server with two CPUs of which one is busy.
pub fn facts(of: &[(State, f64)]) -> Facts {
    let times = times(of);
    Facts {
        requests: 1_000,
        seconds: 3.0,
        all: times,
        slow: times,
        cpus: 2.0,
        parallelism: 1.0,
        ..Facts::default()
    }
}

/// Ids and shares of what is found.
pub fn found(facts: &Facts) -> Vec<(&'static str, f64)> {
    findings(facts).iter().map(|finding| (finding.id.id(), finding.share)).collect()
}

/// Sentence of the first finding.
pub fn sentence(facts: &Facts) -> String {
    findings(facts).first().map(|finding| finding.summary.clone()).unwrap_or_default()
}
