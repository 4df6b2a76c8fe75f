//! A fixed stream of events, as the kernel could have sent them, and what becomes of it.
#![allow(clippy::missing_panics_doc, reason = "a test fails by panicking")]

use std::sync::Arc;

use whywait_ebpf::{
    abi::{Conn, OffCpu, SockOp, Thread, born, off_cpu, op, role, task_state},
    hist::power,
    syscalls as call,
};

use super::{
    Backlog, Health, History, KnownLock, Mark, ModelRow, Models, Note, Release, Snapshot, Stack, Status,
    Target,
};
use crate::{
    clock::{RequestClock, State, StateTimes},
    decode::{Event, Routes, What},
    locks::Doing,
    probe::SyscallCount,
    report::HolderUse,
    units::{Ns, Pid, Tid, fmt_us},
};

/// When the stream begins.
pub const BEGAN: Ns = Ns(1_000_000_000_000);
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const PROCESS: u32 = 4_100;
const WORKERS: u64 = 3;
/// Connections: those of the clients, and that to the database.
pub const CLIENTS: u64 = 8;
const DATABASE: u64 = 100;
/// The lock of the second part.
pub const LOCK: u64 = 0x7f3a_1c00_d040;

/// Events of a server with three workers: a quiet part, one with a lock, one with a slow database; fifteen seconds each.
pub fn events() -> Vec<Event> {
    let mut stream = Stream::default();
    stream.threads();
    for client in 1..=CLIENTS {
        stream.conn(client, role::SERVER, [10, 0, 0, u8::try_from(client).unwrap()], 0);
    }
    stream.conn(DATABASE, role::CLIENT, [10, 0, 9, 1], 5432);
    let step = 40 * MS;
    for number in 0..45 * SECOND / step {
        let at = 10 * MS + number * step;
        let part = at / (15 * SECOND);
        let kind = match (part, number % 5) {
            (_, 0) => Kind::Cpu,
            (1, 1 | 3) => Kind::Lock(20 + number % 7 * 8),
            (2, 2 | 4) => Kind::Database(60 + number % 5 * 5),
            _ => Kind::Plain,
        };
        stream.request(number, at, kind);
    }
    stream.events.sort_by_key(|event| event.at);
    stream.events
}

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Cpu,
    /// So many milliseconds.
    Lock(u64),
    Database(u64),
}

#[derive(Default)]
struct Stream {
    events: Vec<Event>,
    routes: Routes,
    seq: std::collections::HashMap<u64, u32>,
    /// When each thread was done with its last request.
    free: std::collections::HashMap<u32, u64>,
}

impl Stream {
    fn push(&mut self, at: u64, tid: u32, what: What) {
        let at = BEGAN.plus(at);
        let cpu = u16::try_from(tid % 2).unwrap();
        self.events.push(Event {
            at,
            tid: Tid(tid),
            pid: Pid(PROCESS),
            seq: 0,
            missing: 0,
            cpu,
            spun: 0,
            what,
        });
    }

    fn threads(&mut self) {
        for (place, name) in ["shop", "worker-1", "worker-2", "worker-3"].into_iter().enumerate() {
            let mut comm = [0; 16];
            comm[..name.len()].copy_from_slice(name.as_bytes());
            let thread = Thread { comm, how: born::FOUND, ..Thread::default() };
            self.push(0, PROCESS + u32::try_from(place).unwrap(), What::Thread(thread));
        }
    }

    fn conn(&mut self, id: u64, role: u8, address: [u8; 4], port: u16) {
        let mut remote = [0; 16];
        remote[..4].copy_from_slice(&address);
        let conn = Conn {
            id,
            sock: 0xffff_0000 + id,
            remote,
            local_port: 8080,
            remote_port: port,
            family: 2,
            protocol: 6,
            role,
            established: BEGAN.0 + MS,
            ..Conn::default()
        };
        self.push(MS, PROCESS, What::Conn(conn));
    }

    fn off(&mut self, tid: u32, (left, woken, at): (u64, u64, u64), off: OffCpu) {
        let interval = OffCpu {
            left: BEGAN.0 + left,
            woken: BEGAN.0 + woken,
            queued: BEGAN.0 + woken,
            flags: off_cpu::VOLUNTARY,
            state: task_state::INTERRUPTIBLE,
            left_cpu: u16::try_from(tid % 2).unwrap(),
            ..off
        };
        self.push(at, tid, What::OffCpu(interval));
    }

    fn op(&mut self, at: u64, tid: u32, conn: u64, op: u8, (bytes, arrival): (i64, u64), head: &str) {
        let seq = self.seq.entry(conn).or_default();
        let arrival = if arrival == 0 { 0 } else { BEGAN.0 + arrival };
        let done = SockOp { conn, arrival, ret: bytes, conn_seq: *seq, op, ..SockOp::default() };
        *seq += 1;
        let route = self.routes.of(head.as_bytes());
        self.push(at, tid, What::Socket { op: done, route });
    }

    fn request(&mut self, number: u64, arrival: u64, kind: Kind) {
        let tid = PROCESS + 1 + u32::try_from(number % WORKERS).unwrap();
        let conn = 1 + number % CLIENTS;
        let us = 1_000;
        let idle_since = self.free.get(&tid).copied().unwrap_or(2 * MS);
        let ready = arrival + 20 * us;
        let runs = ready + 40 * us;
        let idle = OffCpu { syscall: call::EPOLL_WAIT, args: [4, 0, 0], ..OffCpu::default() };
        self.off(tid, (idle_since, ready, runs), idle);
        let read = runs + 10 * us;
        let head = match kind {
            Kind::Plain => "GET /plaintext HTTP/1.1\r\n",
            Kind::Cpu => "GET /report HTTP/1.1\r\n",
            Kind::Lock(_) => "POST /order HTTP/1.1\r\n",
            Kind::Database(_) => "GET /stock HTTP/1.1\r\n",
        };
        self.op(read, tid, conn, op::RECV, (180, arrival), head);
        let mut at = read + 150 * us;
        match kind {
            Kind::Plain => {}
            Kind::Cpu => at += 5 * MS,
            Kind::Lock(millis) => {
                let ready = at + millis * MS;
                let waker_tid = PROCESS + 1 + u32::try_from((number + 1) % WORKERS).unwrap();
                let lock = OffCpu {
                    syscall: call::FUTEX,
                    args: [LOCK, 0, 0],
                    waker_tid,
                    waker_pid: PROCESS,
                    waker_syscall: call::FUTEX,
                    ..OffCpu::default()
                };
                self.off(tid, (at, ready, ready + 30 * us), lock);
                at = ready + 80 * us;
            }
            Kind::Database(millis) => {
                self.op(at, tid, DATABASE, op::SEND, (64, 0), "");
                let answered = at + millis * MS;
                let wait = OffCpu {
                    syscall: call::RECVFROM,
                    file: whywait_ebpf::abi::file_kind::SOCKET,
                    object: 0xffff_0000 + DATABASE,
                    ..OffCpu::default()
                };
                self.off(tid, (at + 10 * us, answered, answered + 25 * us), wait);
                self.op(answered + 30 * us, tid, DATABASE, op::RECV, (512, answered), "");
                at = answered + 90 * us;
            }
        }
        self.op(at, tid, conn, op::SEND, (1_024, 0), "");
        self.free.insert(tid, at + 30 * us);
    }
}

/// What a history tells of the stream, `seconds` after its beginning.
pub fn recorded(seconds: u64) -> Arc<Snapshot> {
    let mut clock = RequestClock::new();
    clock.keep_paths();
    let mut history = History::new(BEGAN);
    let mut done = Vec::new();
    let end = BEGAN.plus(seconds * SECOND);
    for (at, title, text) in [
        (15, "a lock", "Every order takes the same lock, and holds it for long."),
        (30, "a slow database", "Stock is asked for in a database that takes its time."),
    ] {
        if at < seconds {
            let note = Note { at: BEGAN.plus(at * SECOND), title: title.to_owned(), text: text.to_owned() };
            history.note(note);
        }
    }
    for event in events().iter().filter(|event| event.at <= end) {
        history.event(event, clock.works_for(event.tid));
        clock.apply(event, &mut done);
        for request in done.drain(..) {
            history.request(&request);
        }
    }
    history.advance(end);
    let mut snapshot = Snapshot {
        target: Target { command: "shop".to_owned(), pids: vec![Pid(PROCESS)], ports: vec![8080] },
        status: Status::Watching,
        health: Health {
            records: 12_345,
            cpu_percent: 1.2,
            history_bytes: 5 << 20,
            capabilities: vec![
                ("sched_switch".to_owned(), "waits".to_owned(), None),
                (
                    "accept4".to_owned(),
                    "the moment of accept".to_owned(),
                    Some("tracefs is not mounted".to_owned()),
                ),
            ],
            ..Health::default()
        },
        ..Snapshot::default()
    };
    snapshot.stacks = Arc::new(vec![
        stack(State::Lock, &ORDER, 610_000.0),
        stack(State::OnCpu, &["main", "serve", "report", "sum"], 90_000.0),
        stack(State::OnCpu, &["main", "serve", "report", "format"], 45_000.0),
        stack(State::Downstream, &["main", "serve", "stock", "Client::ask", "recv"], 255_000.0),
    ]);
    snapshot.models = Some(Arc::new(models()));
    snapshot.locks = Arc::new(vec![known_lock()]);
    snapshot.backlogs = vec![backlog(8080, 0, 3, 0), backlog(8081, 5, 5, 12)];
    let (count, oldest) = clock.in_flight();
    snapshot.in_flight = count;
    snapshot.oldest = oldest.map(|since| end.since(since));
    history.tell(&mut snapshot);
    Arc::new(snapshot)
}

/// Where the second part waits.
const ORDER: [&str; 5] = ["main", "serve", "order", "Mutex::lock", "futex_wait"];

fn stack(state: State, frames: &[&str], micros: f64) -> Stack {
    Stack { state, frames: frames.iter().map(|name| (*name).to_owned()).collect(), micros }
}

/// The same at the end, with system calls traced one by one.
pub fn traced() -> Arc<Snapshot> {
    let mut snapshot = Snapshot::clone(&recorded(45));
    snapshot.health.syscalls = true;
    let last = snapshot.buckets.last_mut().map(Arc::make_mut).unwrap();
    for (syscall, count, nanos, errors) in
        [(call::RECVFROM, 950, 300_000, 12), (call::SENDTO, 930, 9_000, 0), (call::FUTEX, 310, 2_000, 40)]
    {
        let mut all = SyscallCount { count, total_ns: count * nanos, errors, ..SyscallCount::default() };
        all.by_time[power(nanos)] = count - 100;
        all.by_time[power(4 * nanos)] = 100;
        last.call(syscall).traced = Some(Box::new(all));
    }
    Arc::new(snapshot)
}

fn backlog(port: u16, queued: u32, most: u32, dropped: u64) -> Backlog {
    let address = ([0, 0, 0, 0], port).into();
    Backlog { address, sockets: 1, queued, limit: 4, most, dropped }
}

/// The lock of the second part, as a window's explanation has it.
fn known_lock() -> KnownLock {
    let holder = |tid: u32, name: &str, on_cpu_us, blocked_us| HolderUse {
        tid,
        name: name.to_owned(),
        woke: 40,
        on_cpu_us,
        runnable_us: 1_500.0,
        blocked_us,
        blocked_in: (blocked_us > 0.0).then(|| "fsync".to_owned()),
        routes: vec!["POST /order".to_owned()],
    };
    let frames = ["main", "serve", "order", "Mutex::unlock", "futex_wake"].map(str::to_owned).to_vec();
    KnownLock {
        pid: Pid(PROCESS),
        is_shared: false,
        addresses: vec![LOCK],
        kind: "exclusion",
        name: Some("STOCK".to_owned()),
        held: Doing { on_cpu: 6_000, blocked: 300_000, blocked_in: 74, ..Doing::default() },
        holders: vec![
            holder(PROCESS + 1, "worker-1", 4_000.0, 190_000.0),
            holder(PROCESS + 2, "worker-2", 3_000.0, 0.0),
        ],
        releases: vec![Release { count: 80, frames }],
        waiters: vec![stack(State::Lock, &ORDER, 590_000.0)],
    }
}

/// A comparison in which two servers have run, one runs, and one is to come.
fn models() -> Models {
    let row = |name: &str, [speed, p50, p99]: [(&str, Option<Mark>); 3], times: &[(State, u64)]| {
        let mut all = StateTimes::default();
        for (state, micros) in times {
            all[*state] = micros * 1_000;
        }
        let cells = [speed, p50, p99].map(|(text, mark)| (text.to_owned(), mark)).to_vec();
        ModelRow { name: name.to_owned(), cells, times: all, mean: fmt_us(all.total() as f64 / 1e3) }
    };
    let (best, worst) = (Some(Mark::Best), Some(Mark::Worst));
    Models {
        conditions: "GET /mix, as fast as they are answered".to_owned(),
        heads: vec![["req.", "per s"], ["latency", "p50"], ["latency", "p99"]],
        rows: vec![
            row(
                "iterative",
                [("929", worst), ("14.9 ms", worst), ("44.6 ms", None)],
                &[(State::AcceptQueue, 9_240), (State::RunQueue, 6_380), (State::OnCpu, 500)],
            ),
            row(
                "async",
                [("3,415", best), ("1.64 ms", best), ("25.8 ms", None)],
                &[(State::RunQueue, 1_890), (State::AppQueue, 340), (State::OnCpu, 160)],
            ),
        ],
        running: Some("thread-per-connection".to_owned()),
        to_come: vec!["gil".to_owned()],
        failed: vec![("io-uring".to_owned(), "the kernel has no io_uring".to_owned())],
        conclusions: vec![
            "async is the fastest, with 3.7 times the requests of iterative, the slowest.".to_owned(),
        ],
    }
}
