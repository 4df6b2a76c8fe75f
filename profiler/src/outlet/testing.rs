//! Made-up requests and metrics.

use smallvec::smallvec;

use super::metrics::{Metrics, Vitals};
use super::registry::Registry;
use crate::{
    clock::{Called, Parts, Piece, Request, RequestId, StartedAt, State, StateTimes},
    decode::{ConnId, Route},
    explain::Id as FindingId,
    units::{Bytes, Ns, Pid, Tid},
};

/// A request that was in these states one after the other, from its own second on.
pub fn request(number: u64, route: &str, states: &[(State, u64)]) -> Request {
    let start = Ns(number * 1_000_000_000);
    let (mut times, mut path, mut at) = (StateTimes::default(), Vec::new(), start);
    for (state, nanos) in states {
        times[*state] += nanos;
        path.push(Piece { from: at, to: at.plus(*nanos), state: *state, ownership: 1 });
        at = at.plus(*nanos);
    }
    Request {
        id: RequestId(number),
        conn: ConnId(7),
        pid: Pid(4_100),
        threads: smallvec![Tid(4_101)],
        route: Some(Route::from(route)),
        port: 8080,
        peer_port: 40_000,
        start,
        started_at: StartedAt::Arrival,
        first_read: start,
        end: at,
        times,
        called: Called::new(),
        parts: Parts::default(),
        lock_waits: Vec::new(),
        received: Bytes(100),
        sent: Bytes(200),
        touched_by_loss: false,
        path,
        owners: vec![Tid(4_101)],
    }
}

/// Metrics with everything in them, also what must be escaped.
pub fn metrics() -> Metrics {
    let mut registry = Registry::default();
    for number in 0..40 {
        let route = ["GET /json", "POST /a\\b\"c"][usize::from(number % 4 == 0)];
        registry.add(&request(
            number,
            route,
            &[(State::RecvQueue, 20_000), (State::Lock, number * 1_000_000)],
        ));
    }
    let vitals = Vitals {
        command: "shop \"main\"".to_owned(),
        ports: vec![8080, 8443],
        pid: Some(Pid(4_100)),
        up: true,
        in_flight: 3,
        oldest_ns: 1_500_000,
        records: 1_000,
        lost: vec![("off_cpu", 2), ("sock_op", 0)],
        run_queue: vec![0, 5, 0, 2],
        own_cpu_ns: 250_000_000,
        model: Some("thread_pool".to_owned()),
        found: Some(vec![(FindingId::LockContention, 0.75)]),
        ..Vitals::default()
    };
    Metrics {
        registry,
        vitals,
        at: 1_700_000_010_000_000_000,
        began: 1_700_000_000_000_000_000,
        pushed: None,
    }
}
