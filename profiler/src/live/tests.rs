//! What the history adds up to, and its bounds.

use std::sync::Arc;

use whywait_ebpf::{
    abi::{Conn, OffCpu, Thread, born, off_cpu, role},
    syscalls as call,
};

use super::{History, KEPT, LENGTH, MOST_BYTES, Role, Side, Snapshot, Span, testing};
use crate::{
    clock::{Piece, Request, RequestId, State, StateTimes},
    decode::{ConnId, Event, Routes, What},
    probe::SyscallCount,
    units::{Ns, Pid, Tid},
};

fn span(snapshot: &Snapshot) -> Span {
    Span::of(&snapshot.buckets, LENGTH)
}

#[test]
fn times_by_state_sum_to_the_latencies() {
    let snapshot = testing::recorded(45);
    let span = span(&snapshot);
    // A request is over when the next one is read on its connection, or after a while: the last of each client is not.
    assert_eq!(span.sums.requests.count, 45_000 / 40 - testing::CLIENTS);
    assert_eq!(span.sums.requests.times.total(), span.sums.requests.total);
    assert_eq!(span.sums.latencies.count(), span.sums.requests.count);
    let of_routes: u64 = span.sums.routes.iter().map(|cell| cell.group.total).sum();
    assert_eq!(of_routes, span.sums.requests.total);
}

#[test]
fn the_lock_and_the_database_are_named() {
    let snapshot = testing::recorded(45);
    let span = span(&snapshot);
    let lock = span.sums.locks.first().expect("a lock that was waited for");
    assert_eq!(lock.place.address, testing::LOCK);
    assert!(lock.waits.total > span.sums.requests.times[State::Lock] * 9 / 10);
    let called = snapshot.peers.iter().position(|peer| peer.side == Side::Called).unwrap();
    assert_eq!(&*snapshot.peers[called].name, "10.0.9.1:5432");
    let cell = span.sums.peers.iter().find(|cell| usize::from(cell.peer) == called).unwrap();
    assert!(cell.exchanges.total > span.sums.requests.times[State::Downstream] * 9 / 10);
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

/// Each wake-up counts for the thread that was woken and for the one that woke it.
#[test]
fn wake_ups_are_counted_on_both_sides() {
    let snapshot = testing::recorded(30);
    let all = 0..snapshot.buckets.last().unwrap().number + 1;
    let sum = |count: fn(&super::Cell) -> u16| -> u64 {
        let threads = snapshot.threads.iter();
        threads
            .map(|thread| all.clone().map(|number| u64::from(count(&thread.lane.cell(number)))).sum::<u64>())
            .sum()
    };
    let span = span(&snapshot);
    let (woken, woke) = (sum(|cell| cell.woken), sum(|cell| cell.woke));
    assert_eq!(woken, span.sums.switches.voluntary, "every wait of the stream ends by a wake-up");
    assert_eq!(
        woke,
        span.sums.locks.iter().map(|lock| lock.waits.count).sum::<u64>(),
        "only locks are passed on by threads"
    );
}

/// Of the chosen call every wait is in the histogram.
#[test]
fn lengths_of_waits_add_up() {
    let snapshot = testing::recorded(45);
    for call in span(&snapshot).sums.calls {
        for blocked in [call.busy, call.idle] {
            let rows: u64 = blocked.lengths.rows().iter().map(|(_, count)| count).sum();
            assert_eq!(rows, blocked.waits.count);
        }
    }
}

/// Counts since the beginning become counts of each half second.
#[test]
fn traced_calls_count_when_they_are_made() {
    let mut history = History::new(Ns(0));
    let calls = |count| [SyscallCount { number: 3, count, errors: count / 10, ..SyscallCount::default() }];
    for (second, count) in [(0, 100), (1, 150), (2, 150)] {
        history.advance(Ns(second * 2 * LENGTH));
        history.traced(&calls(count));
    }
    let mut snapshot = Snapshot::default();
    history.tell(&mut snapshot);
    let traced =
        |bucket: usize| snapshot.buckets[bucket].sums.calls.first().and_then(|call| call.traced.as_ref());
    assert_eq!(traced(0).map(|all| (all.count, all.errors)), Some((100, 10)));
    assert_eq!(traced(2).map(|all| (all.count, all.errors)), Some((50, 5)));
    assert!(traced(4).is_none());
}

/// A fork, another program, an end: each is told once.
#[test]
fn processes_that_come_and_go_are_told() {
    let mut history = History::new(Ns(0));
    let event = |pid: u32, what| Event {
        at: Ns(5),
        tid: Tid(pid),
        pid: Pid(pid),
        seq: 0,
        missing: 0,
        cpu: 0,
        spun: 0,
        what,
    };
    let born = |how, parent_pid| {
        let mut comm = [0; 16];
        comm[..5].copy_from_slice(b"nginx");
        What::Thread(Thread { how, parent_pid, comm, ..Thread::default() })
    };
    history.event(&event(7, born(born::FOUND, 0)), None);
    history.event(&event(8, born(born::NEW, 7)), None);
    history.event(&event(8, born(born::EXEC, 8)), None);
    assert_eq!(history.processes(), [Pid(7), Pid(8)]);
    history.event(&event(7, What::ThreadEnd), None);
    let turnover = history.turnover();
    assert_eq!((turnover.forked, turnover.ended), (1, 1));
    assert_eq!(turnover.words().as_deref(), Some("a process was forked, a process has ended"));
    assert_eq!(turnover.executed, [(Pid(8), Arc::from("nginx"))]);
    assert_eq!((history.processes(), history.turnover()), (vec![Pid(8)], super::Turnover::default()));
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
