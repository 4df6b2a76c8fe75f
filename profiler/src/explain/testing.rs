//! Requests and times for tests.

use super::Times;
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
        received: Bytes(10),
        sent: Bytes(10),
        touched_by_loss: false,
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
