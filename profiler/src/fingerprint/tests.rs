//! Models from streams of events that are made up: each with what is essential of it, and what only looks like it.

use whywait_ebpf::{
    abi::{Conn, OffCpu, SockOp, SockState, Thread, born, file_kind, off_cpu, op, role},
    syscalls as call,
};

use super::*;
use crate::{
    decode::{Event, What},
    units::{Ns, Pid, Tid},
};

const MS: u64 = 1_000_000;
/// The clock when the window begins, long after the server did.
const BEGIN: u64 = 1_000 * MS;
const PORT: u16 = 8080;

/// A server that is made up.
struct Server {
    behaviour: Behaviour,
    outside: Outside,
    now: u64,
}

impl Server {
    fn new() -> Self {
        Self { behaviour: Behaviour::new(Ns(BEGIN)), outside: Outside::default(), now: BEGIN }
    }

    fn event(&mut self, (pid, tid): (u32, u32), what: What) {
        self.now += 10_000;
        let event = Event {
            at: Ns(self.now),
            tid: Tid(tid),
            pid: Pid(pid),
            seq: 0,
            missing: 0,
            cpu: 0,
            spun: 0,
            what,
        };
        self.behaviour.event(&event);
    }

    fn told(&mut self, who: (u32, u32), name: &str, how: u8, parent: (u32, u32), start_time: u64) {
        let mut comm = [0; 16];
        comm[..name.len()].copy_from_slice(name.as_bytes());
        let thread =
            Thread { how, comm, start_time, parent_pid: parent.0, parent_tid: parent.1, ..Thread::default() };
        self.event(who, What::Thread(thread));
    }

    /// Threads that were there before, the first of which is the process's own.
    fn found(&mut self, pid: u32, tids: &[u32], name: &str) {
        for (age, tid) in tids.iter().enumerate() {
            self.told((pid, *tid), name, born::FOUND, (0, 0), 1 + age as u64 * 50 * MS);
        }
    }

    fn born(&mut self, who: (u32, u32), parent: (u32, u32)) {
        let now = self.now;
        self.told(who, "made", born::NEW, parent, now);
    }

    fn ends(&mut self, who: (u32, u32)) {
        self.event(who, What::ThreadEnd);
    }

    /// A connection that was there before: the first operation on it announces it.
    fn open(&mut self, who: (u32, u32), id: u64) {
        let conn =
            Conn { id, sock: id * 64, local_port: PORT, role: role::SERVER, protocol: 6, ..Conn::default() };
        self.event(who, What::Conn(conn));
    }

    fn accept(&mut self, who: (u32, u32), id: u64) {
        self.open(who, id);
        self.operation(who, id, op::ACCEPT, 0);
    }

    fn operation(&mut self, who: (u32, u32), id: u64, op: u8, ret: i64) {
        let op = SockOp { conn: id, op, ret, ..SockOp::default() };
        self.event(who, What::Socket { op, route: None });
    }

    fn read(&mut self, who: (u32, u32), id: u64) {
        self.operation(who, id, op::RECV, 100);
    }

    fn write(&mut self, who: (u32, u32), id: u64) {
        self.operation(who, id, op::SEND, 100);
    }

    fn serve(&mut self, who: (u32, u32), id: u64) {
        self.read(who, id);
        self.write(who, id);
    }

    fn close(&mut self, who: (u32, u32), id: u64) {
        self.event(who, What::SockState(SockState { conn: id, old: 1, new: 4, ..SockState::default() }));
    }

    fn wait(&mut self, who: (u32, u32), interval: OffCpu) {
        let left = self.now;
        self.now += MS;
        let woken = self.now;
        let interval =
            OffCpu { left, woken, flags: interval.flags | off_cpu::VOLUNTARY, timeout: -1, ..interval };
        self.event(who, What::OffCpu(interval));
    }

    fn epoll(&mut self, who: (u32, u32)) {
        self.wait(who, OffCpu { syscall: call::EPOLL_WAIT, ..OffCpu::default() });
    }

    fn accepting(&mut self, who: (u32, u32)) {
        self.wait(who, OffCpu { syscall: call::ACCEPT4, ..OffCpu::default() });
    }

    fn receiving(&mut self, who: (u32, u32), id: u64) {
        let interval =
            OffCpu { syscall: call::RECVFROM, file: file_kind::SOCKET, object: id * 64, ..OffCpu::default() };
        self.wait(who, interval);
    }

    /// Waits on a futex until another thread wakes it.
    fn parked(&mut self, who: (u32, u32), address: u64, waker: u32) {
        let interval = OffCpu {
            syscall: call::FUTEX,
            args: [address, 0, 0],
            waker_tid: waker,
            waker_pid: who.0,
            waker_syscall: call::FUTEX,
            ..OffCpu::default()
        };
        self.wait(who, interval);
    }

    /// Waits for events until another thread makes a descriptor readable.
    fn called_back(&mut self, who: (u32, u32), waker: u32) {
        let interval = OffCpu {
            syscall: call::EPOLL_WAIT,
            waker_tid: waker,
            waker_pid: who.0,
            waker_syscall: call::WRITE,
            ..OffCpu::default()
        };
        self.wait(who, interval);
    }

    fn looked_at(&mut self, pid: u32, outside: ProcessOutside) {
        self.outside.processes.insert(Pid(pid), outside);
    }

    fn fingerprint(&mut self) -> Fingerprint {
        self.behaviour.close(Ns(self.now));
        self.behaviour.fingerprint(&self.outside)
    }

    /// Checks the verdict, and that it is given with evidence.
    fn is(mut self, id: ModelId) -> Fingerprint {
        let fingerprint = self.fingerprint();
        assert_eq!(fingerprint.id, id, "{:?} {:#?}", fingerprint.confidence, fingerprint.evidence);
        assert!(
            (0.5..1.0).contains(&fingerprint.confidence) && !fingerprint.evidence.is_empty(),
            "{fingerprint:?}"
        );
        fingerprint
    }
}

fn listener(inode: u64) -> Listener {
    Listener { port: PORT, address: "0100007F".to_owned(), inode }
}

/// An event loop on four connections.
fn event_loop(server: &mut Server, who: (u32, u32), first: u64) {
    for id in first..first + 4 {
        server.accept(who, id);
    }
    for turn in 0..20 {
        server.epoll(who);
        server.serve(who, first + turn % 4);
    }
}

/// One connection after the other.
fn iterative(server: &mut Server, who: (u32, u32), first: u64) {
    for id in first..first + 10 {
        server.accepting(who);
        server.accept(who, id);
        server.receiving(who, id);
        server.serve(who, id);
        server.close(who, id);
    }
}

/// Four threads of a pool, whose members take a connection each time they are woken.
fn pool(server: &mut Server, pid: u32, first: u64) {
    server.found(pid, &[pid, pid + 1, pid + 2, pid + 3, pid + 4], "server");
    for id in first..first + 20 {
        let worker = (pid, pid + 1 + u32::try_from(id % 4).unwrap());
        server.accepting((pid, pid));
        server.accept((pid, pid), id);
        server.parked(worker, 0x1000, pid);
        server.serve(worker, id);
        server.close(worker, id);
    }
}

#[test]
fn one_connection_after_the_other_is_iterative() {
    let mut server = Server::new();
    iterative(&mut server, (1, 1), 0);
    let fingerprint = server.is(ModelId::Iterative);
    assert_eq!(fingerprint.pool.as_ref().map(|pool| pool.workers), Some(1));
}

#[test]
fn a_thread_that_waits_for_events_of_all_connections_is_an_event_loop() {
    let mut server = Server::new();
    event_loop(&mut server, (1, 1), 0);
    let fingerprint = server.is(ModelId::EventLoop);
    assert_eq!(fingerprint.loops.len(), 1);
    assert!(fingerprint.loops[0].busy < 0.5 && fingerprint.pool.is_none(), "{fingerprint:?}");
}

/// It never waits, but changes between open connections.
#[test]
fn an_event_loop_may_be_too_busy_to_wait() {
    let mut server = Server::new();
    for id in 0..4 {
        server.open((1, 1), id);
    }
    for turn in 0..40 {
        server.serve((1, 1), turn % 4);
    }
    server.is(ModelId::EventLoop);
}

#[test]
fn an_event_loop_that_is_called_back_by_threads_has_a_pool() {
    let mut server = Server::new();
    server.found(1, &[1, 2, 3], "server");
    for turn in 0..20 {
        let (id, worker) = (turn % 4, 2 + u32::try_from(turn % 2).unwrap());
        if turn < 4 {
            server.accept((1, 1), id);
        }
        server.epoll((1, 1));
        server.read((1, 1), id);
        server.parked((1, worker), 0x1000, 1);
        server.called_back((1, 1), worker);
        server.write((1, 1), id);
    }
    let fingerprint = server.is(ModelId::EventLoopWithPool);
    assert_eq!(fingerprint.pool.as_ref().map(|pool| pool.workers), Some(2));
    assert!(fingerprint.evidence.iter().any(|line| line == "2 threads wait on one futex"), "{fingerprint:?}");
}

/// As a runtime does that collects its garbage on other threads.
#[test]
fn a_loop_that_wakes_threads_now_and_then_has_no_pool() {
    let mut server = Server::new();
    server.found(1, &[1, 2], "server");
    event_loop(&mut server, (1, 1), 0);
    for turn in 0..30 {
        server.epoll((1, 1));
        server.read((1, 1), turn % 4);
        if turn % 10 == 0 {
            server.parked((1, 2), 0x1000, 1);
        }
        server.write((1, 1), turn % 4);
    }
    server.is(ModelId::EventLoop);
}

#[test]
fn threads_that_are_woken_by_an_acceptor_are_a_pool() {
    let mut server = Server::new();
    pool(&mut server, 10, 0);
    let fingerprint = server.is(ModelId::ThreadPool);
    let found = fingerprint.pool.as_ref().unwrap();
    assert_eq!(found.workers, 4);
    assert!(found.utilisation > 0.5, "each waited for a quarter of the wake-ups: {found:?}");
    assert!(fingerprint.roles.iter().any(|role| role.tid == Tid(10) && role.role == Role::Acceptor));
    assert!(fingerprint.evidence.iter().any(|line| line == "4 threads wait on one futex"), "{fingerprint:?}");
}

/// Requests of all connections go to whichever thread is free.
#[test]
fn a_dispatcher_and_threads_that_read_are_a_pool() {
    let mut server = Server::new();
    server.found(10, &[10, 11, 12, 13], "server");
    for turn in 0..40 {
        let worker = (10, 12 + u32::try_from(turn / 3 % 2).unwrap());
        if turn < 4 {
            server.accept((10, 11), turn);
        }
        server.epoll((10, 11));
        server.parked(worker, 0x1000 * u64::from(worker.1), 11);
        server.serve(worker, turn % 4);
    }
    server.is(ModelId::ThreadPool);
}

/// Workers that wait with a time-out for the first bytes of a new connection, in a set of this one descriptor.
#[test]
fn a_pool_whose_threads_wait_for_the_first_bytes_is_no_loop() {
    let mut server = Server::new();
    server.found(10, &[10, 11, 12, 13], "server");
    for turn in 0..40 {
        let worker = (10, 12 + u32::try_from(turn / 3 % 2).unwrap());
        let fresh = turn % 5 == 0;
        if fresh {
            server.accept((10, 11), turn / 5);
        }
        server.epoll((10, 11));
        server.parked(worker, 0x1000 * u64::from(worker.1), 11);
        if fresh {
            server.wait(worker, OffCpu { syscall: call::EPOLL_WAIT, args: [9, 0, 1], ..OffCpu::default() });
        }
        server.serve(worker, turn / 5);
    }
    server.is(ModelId::ThreadPool);
}

#[test]
fn threads_born_for_connections() {
    let mut server = Server::new();
    server.found(1, &[1], "server");
    for id in 0..8 {
        let own = (1, 100 + u32::try_from(id).unwrap());
        server.accepting((1, 1));
        server.accept((1, 1), id);
        server.born(own, (1, 1));
        for _ in 0..3 {
            server.receiving(own, id);
            server.serve(own, id);
        }
        // Threads that a request starts and that touch no connection change nothing.
        server.born((1, 200), own);
        server.ends((1, 200));
        server.close(own, id);
        server.ends(own);
    }
    server.is(ModelId::ThreadPerConnection);
}

/// Nobody is born while whywait watches.
#[test]
fn threads_that_block_in_a_connection_each_are_made_for_it() {
    let mut server = Server::new();
    server.found(1, &[1, 20, 21, 22], "server");
    server.wait((1, 1), OffCpu { syscall: call::POLL, args: [0, 1, 0], ..OffCpu::default() });
    for turn in 0..30 {
        let (id, own) = (turn % 3, (1, 20 + u32::try_from(turn % 3).unwrap()));
        if turn < 3 {
            server.open(own, id);
        }
        server.receiving(own, id);
        server.serve(own, id);
    }
    server.is(ModelId::ThreadPerConnection);
}

/// The same, but for threads that wait like those that serve.
#[test]
fn threads_that_block_in_a_connection_each_are_a_pools_when_others_wait() {
    let mut server = Server::new();
    server.found(1, &[1, 20, 21, 22, 23], "server");
    server.wait((1, 1), OffCpu { syscall: call::ACCEPT, ..OffCpu::default() });
    for id in 0..2 {
        let own = (1, 20 + u32::try_from(id).unwrap());
        server.open(own, id);
        for _ in 0..10 {
            server.receiving(own, id);
            server.serve(own, id);
        }
    }
    for idle in [22, 23] {
        let interval =
            OffCpu { syscall: call::FUTEX, args: [0x1000, 0, 0], flags: off_cpu::OPEN, ..OffCpu::default() };
        server.wait((1, idle), interval);
    }
    let fingerprint = server.is(ModelId::ThreadPool);
    assert_eq!(fingerprint.pool.as_ref().map(|pool| pool.workers), Some(4));
}

#[test]
fn threads_born_for_requests_that_another_has_read() {
    let mut server = Server::new();
    server.found(1, &[1], "server");
    server.accept((1, 1), 0);
    for turn in 0..20 {
        let own = (1, 100 + turn);
        server.epoll((1, 1));
        server.read((1, 1), 0);
        server.born(own, (1, 1));
        server.write(own, 0);
        server.ends(own);
    }
    server.is(ModelId::ThreadPerRequest);
}

#[test]
fn threads_born_for_requests_that_they_read() {
    let mut server = Server::new();
    server.found(1, &[1, 2], "server");
    for id in 0..2 {
        server.accept((1, 2), id);
    }
    for turn in 0..20 {
        let own = (1, 100 + turn);
        server.epoll((1, 2));
        server.born(own, (1, 2));
        server.serve(own, u64::from(turn % 2));
        server.ends(own);
    }
    server.is(ModelId::ThreadPerRequest);
}

#[test]
fn several_threads_that_wait_for_events_are_asynchronous() {
    let mut server = Server::new();
    server.found(1, &[1, 2, 3], "server");
    for turn in 0..40 {
        let own = (1, 2 + u32::try_from(turn / 3 % 2).unwrap());
        if turn < 4 {
            server.accept(own, turn);
        }
        server.epoll(own);
        server.serve(own, turn % 4);
    }
    server.is(ModelId::AsyncMultiThread);
}

#[test]
fn processes_that_accept_for_themselves_are_pre_forked() {
    let mut server = Server::new();
    iterative(&mut server, (11, 11), 0);
    iterative(&mut server, (12, 12), 100);
    let fingerprint = server.is(ModelId::Prefork);
    assert_eq!(fingerprint.processes.len(), 2);
    assert_eq!(fingerprint.processes[0].accepted, 10);
    assert_eq!(fingerprint.pool.as_ref().map(|pool| pool.workers), Some(2));
}

/// One worker is not iterative when a master keeps its socket.
#[test]
fn a_lone_worker_with_a_master_is_pre_forked() {
    let mut server = Server::new();
    iterative(&mut server, (11, 11), 0);
    server.looked_at(
        11,
        ProcessOutside {
            parent: Some(Pid(10)),
            listeners: vec![listener(7)],
            parent_listeners: vec![listener(7)],
            ..ProcessOutside::default()
        },
    );
    server.is(ModelId::Prefork);
}

#[test]
fn pools_in_several_processes() {
    let mut server = Server::new();
    pool(&mut server, 10, 0);
    pool(&mut server, 20, 100);
    let fingerprint = server.is(ModelId::PreforkThreads);
    assert_eq!(fingerprint.pool.as_ref().map(|pool| pool.workers), Some(8));
}

#[test]
fn processes_born_for_connections() {
    let mut server = Server::new();
    server.found(1, &[1], "server");
    for id in 0..8 {
        let own = 100 + u32::try_from(id).unwrap();
        server.epoll((1, 1));
        server.accept((1, 1), id);
        server.born((own, own), (1, 1));
        server.epoll((own, own));
        server.serve((own, own), id);
        server.close((own, own), id);
        server.ends((own, own));
    }
    server.is(ModelId::ProcessPerConnection);
}

/// Nobody is born while whywait watches; the listening socket is the parent's alone.
#[test]
fn processes_with_a_connection_each_and_no_way_to_get_another() {
    let mut server = Server::new();
    for pid in [11, 12, 13] {
        server.open((pid, pid), u64::from(pid));
        for _ in 0..5 {
            server.epoll((pid, pid));
            server.serve((pid, pid), u64::from(pid));
        }
        server.looked_at(
            pid,
            ProcessOutside {
                parent: Some(Pid(10)),
                parent_listeners: vec![listener(7)],
                ..ProcessOutside::default()
            },
        );
    }
    server.is(ModelId::ProcessPerConnection);
}

#[test]
fn processes_born_for_requests_that_another_has_read() {
    let mut server = Server::new();
    server.found(1, &[1], "server");
    server.accept((1, 1), 0);
    for turn in 0..10 {
        let own = 100 + turn;
        server.receiving((1, 1), 0);
        server.read((1, 1), 0);
        server.born((own, own), (1, 1));
        server.write((own, own), 0);
        server.ends((own, own));
    }
    server.is(ModelId::ProcessPerRequest);
}

#[test]
fn loops_with_a_listening_socket_each_are_shards() {
    let mut server = Server::new();
    for pid in [11, 12] {
        event_loop(&mut server, (pid, pid), u64::from(pid) * 100);
        let listeners = vec![listener(u64::from(pid))];
        server
            .looked_at(pid, ProcessOutside { parent: Some(Pid(10)), listeners, ..ProcessOutside::default() });
    }
    server.is(ModelId::ReuseportShards);
}

#[test]
fn a_loop_with_more_stacks_than_threads_has_green_threads() {
    let mut server = Server::new();
    event_loop(&mut server, (1, 1), 0);
    server.looked_at(1, ProcessOutside { connections: 4, spare_stacks: 4, ..ProcessOutside::default() });
    let fingerprint = server.is(ModelId::GreenThreads);
    assert!(fingerprint.evidence.iter().any(|line| line.contains("/proc")), "a hint from outside says so");
}

/// The library alone decides nothing: a pool of threads may have it mapped.
#[test]
fn a_pool_with_a_library_for_green_threads_is_a_pool() {
    let mut server = Server::new();
    pool(&mut server, 10, 0);
    let stack_switcher = Some("_greenlet.so".to_owned());
    server.looked_at(10, ProcessOutside { stack_switcher, ..ProcessOutside::default() });
    server.is(ModelId::ThreadPool);
}

#[test]
fn too_little_is_unknown() {
    let mut server = Server::new();
    let nothing = server.fingerprint();
    assert_eq!((nothing.id, nothing.evidence.len(), nothing.little), (ModelId::Unknown, 0, None));
    let mut server = Server::new();
    server.open((1, 1), 0);
    server.serve((1, 1), 0);
    let little = server.fingerprint();
    assert_eq!(little.id, ModelId::Unknown);
    assert_eq!(little.evidence, ["1 request alone tells too little"]);
}

/// One thread, one connection, and never a wait: that may be anything.
#[test]
fn what_fits_several_models_is_unknown() {
    let mut server = Server::new();
    server.open((1, 1), 0);
    for _ in 0..100 {
        server.serve((1, 1), 0);
    }
    let fingerprint = server.fingerprint();
    assert_eq!(fingerprint.id, ModelId::Unknown, "{:#?}", fingerprint.evidence);
}

/// Of two ports, the one whose requests take longer is the front: it waits for the other.
#[test]
fn the_front_is_told_from_what_it_asks() {
    let mut server = Server::new();
    event_loop(&mut server, (1, 1), 0);
    let conn = Conn { id: 900, sock: 9, local_port: 5432, role: role::SERVER, ..Conn::default() };
    server.event((2, 2), What::Conn(conn));
    for _ in 0..5 {
        server.receiving((2, 2), 900);
        server.serve((2, 2), 900);
    }
    server.is(ModelId::EventLoop);
}

#[test]
fn events_before_the_window_do_no_harm() {
    let mut server = Server::new();
    server.now = BEGIN - 100 * MS;
    event_loop(&mut server, (1, 1), 0);
    iterative(&mut server, (1, 1), 100);
    let fingerprint = server.fingerprint();
    assert!(fingerprint.confidence < 1.0);
}
