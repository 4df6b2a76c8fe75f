//! What the history adds up to, and its bounds.

use std::sync::Arc;

use whywait_ebpf::{
    abi::{Conn, OffCpu, off_cpu, role},
    syscalls as call,
};

use super::{History, KEPT, LENGTH, Role, Side, Snapshot, Span, testing};
use crate::{
    clock::{Piece, Request, RequestId, State, StateTimes},
    decode::{ConnId, Event, Routes, What},
    units::{Ns, Pid, Tid},
};

/// What is promised in docs/dashboard.md.
const MOST_BYTES: usize = 96 << 20;

fn span(snapshot: &Snapshot) -> Span {
    Span::of(&snapshot.buckets, LENGTH)
}

#[test]
fn times_by_state_sum_to_the_latencies() {
    let snapshot = testing::recorded(45);
    let span = span(&snapshot);
    // A request is over when the next one is read on its connection, or after a while: the last of each client is not.
    assert_eq!(span.requests.count, 45_000 / 40 - testing::CLIENTS);
    assert_eq!(span.requests.times.total(), span.requests.total);
    assert_eq!(span.latencies.count(), span.requests.count);
    let of_routes: u64 = span.routes.iter().map(|cell| cell.group.total).sum();
    assert_eq!(of_routes, span.requests.total);
}

#[test]
fn the_lock_and_the_database_are_named() {
    let snapshot = testing::recorded(45);
    let span = span(&snapshot);
    let lock = span.locks.first().expect("a lock that was waited for");
    assert_eq!(lock.place.address, testing::LOCK);
    assert!(lock.waits.total > span.requests.times[State::Lock] * 9 / 10);
    let called = snapshot.peers.iter().position(|peer| peer.side == Side::Called).unwrap();
    assert_eq!(&*snapshot.peers[called].name, "10.0.9.1:5432");
    let cell = span.peers.iter().find(|cell| usize::from(cell.peer) == called).unwrap();
    assert!(cell.exchanges.total > span.requests.times[State::Downstream] * 9 / 10);
}

#[test]
fn threads_have_roles_and_lanes() {
    let snapshot = testing::recorded(30);
    let worker = snapshot.threads.iter().find(|thread| &*thread.name == "worker-1").unwrap();
    assert!(worker.role == Role::Loop && worker.read > 100, "{worker:?}");
    let last = snapshot.buckets.last().unwrap().number;
    let waited: f64 = (last - 20..last).map(|number| worker.lane.cell(number).share(Some(State::Lock))).sum();
    assert!(waited > 1.0, "{waited}");
}

#[test]
fn a_slow_request_knows_its_way() {
    let snapshot = testing::recorded(28);
    let slowest = snapshot.buckets.iter().flat_map(|bucket| &bucket.slowest);
    let slowest = slowest.max_by_key(|kept| kept.request.latency()).unwrap();
    let path: u64 = slowest.request.path.iter().map(|piece| piece.to.since(piece.from)).sum();
    assert_eq!(path, slowest.request.latency());
    assert!(slowest.request.path.iter().any(|piece| piece.state == State::Lock));
    assert!(!slowest.steps.is_empty());
}

/// A request with as much to keep as there can be, made of any other one.
fn large(any: &Request, number: u64, end: Ns, latency: u64, routes: &mut Routes) -> Request {
    let mut times = StateTimes::default();
    times[State::Lock] = latency;
    let start = Ns(end.0 - latency);
    let piece = Piece { from: start, to: end, state: State::Lock, ownership: 1 };
    Request {
        id: RequestId(number),
        conn: ConnId(number % 100_000),
        threads: [Tid(u32::try_from(number % 400).unwrap())].into_iter().collect(),
        route: routes.of(format!("GET /{} HTTP/1.1\r\n", number % 97).as_bytes()),
        start,
        first_read: start,
        end,
        times,
        path: vec![piece; 64],
        owners: vec![Tid(1); 64],
        ..any.clone()
    }
}

/// Twice ten minutes of more threads, routes, peers, locks, calls and connections than are told apart: the second half takes no more
/// memory than the first, and neither takes more than is promised.
#[test]
fn memory_is_bounded() {
    let began = Ns(LENGTH * 10);
    let mut history = History::new(began);
    let mut routes = Routes::default();
    let any = testing::recorded(1).latest[0].request.clone();
    let mut number = 0;
    let mut halves = [0; 2];
    for bucket in 0..2 * KEPT as u64 {
        for _ in 0..120 {
            number += 1;
            let at = began.plus(bucket * LENGTH + number % 400 * 1_000_000);
            let tid = Tid(u32::try_from(number % 400).unwrap());
            let event = |what| Event { at, tid, pid: Pid(1), seq: 0, missing: 0, cpu: 0, spun: 0, what };
            let address = u32::try_from(number).unwrap().to_be_bytes();
            let mut remote = [0; 16];
            remote[..4].copy_from_slice(&address);
            let conn =
                Conn { id: number, sock: number, remote, family: 2, role: role::CLIENT, ..Conn::default() };
            history.event(&event(What::Conn(conn)), None);
            let interval = OffCpu {
                left: at.0 - number % 900 * 1_000_000,
                flags: off_cpu::VOLUNTARY,
                syscall: if number.is_multiple_of(2) {
                    call::FUTEX
                } else {
                    i32::try_from(number % 300).unwrap()
                },
                args: [number, 0, 0],
                ..OffCpu::default()
            };
            history.event(&event(What::OffCpu(interval)), Some(RequestId(number)));
            history.request(&large(&any, number, at, 1 + (number * 7_919) % 4_000_000_000, &mut routes));
        }
        halves[usize::from(bucket >= KEPT as u64)] =
            halves[usize::from(bucket >= KEPT as u64)].max(history.bytes());
    }
    assert!(halves[1] < MOST_BYTES, "{halves:?}");
    assert!(halves[1] < halves[0] * 11 / 10, "{halves:?}");
}

/// The parts of a snapshot are shared with the history, not copied.
#[test]
fn a_snapshot_shares_its_buckets() {
    let mut history = History::new(Ns(0));
    history.advance(Ns(20 * LENGTH));
    let (mut one, mut two) = (Snapshot::default(), Snapshot::default());
    history.tell(&mut one);
    history.tell(&mut two);
    assert_eq!(one.buckets.len(), 21);
    assert!(one.buckets.iter().zip(&two.buckets).all(|(a, b)| Arc::ptr_eq(a, b)));
}
