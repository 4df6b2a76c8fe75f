//! What is kept of events and requests to tell the model from.

use rustc_hash::FxHashMap;
use whywait_ebpf::abi::{
    Conn, OffCpu, SockOp, SockState, TIMER_EARLY, Thread, born, off_cpu, op, role, tcp_state,
};

use super::{
    facts::{ConnFacts, ProcessFacts, ThreadFacts},
    figures::Figures,
    wait::Wait,
};
use crate::{
    clock::Request,
    decode::{ConnId, Event, What},
    recent_map::RecentMap,
    units::{Ns, Pid, Tid},
};

/// Threads that have ended and are kept one by one; a server that makes one for each request has shown it by then.
const MOST_GONE: usize = 1 << 14;

/// How a server behaves.
#[derive(Debug)]
pub struct Behaviour {
    pub(super) begin: Ns,
    pub(super) end: Ns,
    threads: RecentMap<Tid, ThreadFacts>,
    gone: Vec<ThreadFacts>,
    conns: RecentMap<ConnId, ConnFacts>,
    sockets: FxHashMap<u64, ConnId>,
    processes: RecentMap<Pid, ProcessFacts>,
    pub(super) figures: Figures,
}

impl Behaviour {
    /// Nothing seen yet, in a window that begins at `begin`.
    pub fn new(begin: Ns) -> Self {
        Self {
            begin,
            end: begin,
            threads: RecentMap::default(),
            gone: Vec::new(),
            conns: RecentMap::default(),
            sockets: FxHashMap::default(),
            processes: RecentMap::default(),
            figures: Figures::default(),
        }
    }

    /// Takes an event.
    pub fn event(&mut self, event: &Event) {
        self.end = self.end.max(event.at);
        match &event.what {
            What::OffCpu(interval) => self.off_cpu(event, interval),
            What::Socket { op, .. } => self.socket(event, op),
            What::Conn(conn) => self.connection(event.at, conn),
            What::SockState(change) => self.sock_state(event, change),
            What::Thread(thread) => self.named(event, thread),
            What::ThreadEnd => self.ended(event),
            What::Stack(_) => {}
        }
    }

    /// Takes a finished request.
    pub fn request(&mut self, request: &Request) {
        self.figures.request(request);
        let process = self.processes.get_or_insert_with(request.pid, ProcessFacts::default);
        process.pid = request.pid;
        process.request_ns += request.latency();
    }

    /// Ends the window.
    pub fn close(&mut self, end: Ns) {
        self.end = end.max(self.begin);
        for conn in self.conns.values_mut() {
            self.figures.turn(conn, self.begin, self.end);
        }
        for process in self.processes.values_mut() {
            if let Some(since) = process.busy_since.take() {
                process.busy_ns += self.end.since(since);
            }
        }
    }

    /// Processes that have read a request.
    pub fn serving(&self) -> impl Iterator<Item = Pid> + '_ {
        self.processes.values().filter(|process| process.turns > 0).map(|process| process.pid)
    }

    /// Processes that have a living thread, each as often as it has threads.
    pub fn pids(&self) -> impl Iterator<Item = Pid> + '_ {
        self.threads.values().map(|thread| thread.pid)
    }

    /// All threads, living and gone.
    pub(super) fn threads(&self) -> impl Iterator<Item = &ThreadFacts> {
        self.gone.iter().chain(self.threads.values())
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = &ProcessFacts> {
        self.processes.values()
    }

    fn thread(&mut self, tid: Tid, pid: Pid, at: Ns) -> &mut ThreadFacts {
        let first = at.max(self.begin);
        self.threads.get_or_insert_with(tid, || ThreadFacts::new(tid, pid, first))
    }

    fn process(&mut self, pid: Pid) -> &mut ProcessFacts {
        let process = self.processes.get_or_insert_with(pid, ProcessFacts::default);
        process.pid = pid;
        process
    }

    fn named(&mut self, event: &Event, thread: &Thread) {
        let length = thread.comm.iter().position(|byte| *byte == 0).unwrap_or(thread.comm.len());
        let name = String::from_utf8_lossy(&thread.comm[..length]).into_owned();
        let new = thread.how == born::NEW;
        if new {
            // The id may be used again, of a thread whose end was lost.
            self.ended(event);
            let parent = Pid(thread.parent_pid);
            if parent != event.pid {
                self.process(parent).children += 1;
                let process = self.process(event.pid);
                *process = ProcessFacts {
                    pid: event.pid,
                    parent: Some(parent),
                    born: true,
                    ..ProcessFacts::default()
                };
            }
        }
        let known = self.thread(event.tid, event.pid, event.at);
        known.pid = event.pid;
        known.name = name;
        known.born |= new;
        known.start_time = thread.start_time;
    }

    fn ended(&mut self, event: &Event) {
        let Some(mut thread) = self.threads.remove(event.tid) else { return };
        thread.ended = Some(event.at);
        if self.gone.len() < MOST_GONE {
            self.gone.push(thread);
        }
    }

    fn connection(&mut self, at: Ns, conn: &Conn) {
        if conn.role != role::SERVER {
            return;
        }
        let id = ConnId(conn.id);
        if let Some(old) = self.sockets.insert(conn.sock, id)
            && old != id
        {
            self.end_connection(old, at);
        }
        self.conns.insert(
            id,
            ConnFacts {
                sock: conn.sock,
                port: conn.local_port,
                acceptor: None,
                holder: None,
                reader: None,
                read_at: at,
                arrival: at,
                last_send: None,
                turns: 0,
            },
        );
    }

    fn sock_state(&mut self, event: &Event, change: &SockState) {
        if change.new == tcp_state::ESTABLISHED {
            return;
        }
        if let Some(thread) = self.threads.get_mut(event.tid) {
            thread.idle_turn = false;
        }
        self.end_connection(ConnId(change.conn), event.at);
    }

    fn end_connection(&mut self, id: ConnId, at: Ns) {
        let Some(mut conn) = self.conns.remove(id) else { return };
        if self.sockets.get(&conn.sock) == Some(&id) {
            self.sockets.remove(&conn.sock);
        }
        self.figures.turn(&mut conn, self.begin, at);
        if let Some(reader) = conn.reader.take() {
            self.give(reader, at);
        }
        self.let_go(conn.holder);
    }

    /// A thread holds a connection no more.
    fn let_go(&mut self, holder: Option<(Tid, Pid)>) {
        if let Some((tid, pid)) = holder
            && let Some(holder) = self.threads.get_mut(tid).filter(|thread| thread.pid == pid)
        {
            holder.holds = holder.holds.saturating_sub(1);
        }
    }

    /// A reader's turn is over.
    fn give(&mut self, reader: Tid, at: Ns) {
        let Some(thread) = self.threads.get_mut(reader) else { return };
        thread.open = thread.open.saturating_sub(1);
        let pid = thread.pid;
        self.process(pid).gives(at);
    }

    fn socket(&mut self, event: &Event, op: &SockOp) {
        let id = ConnId(op.conn);
        match op.op {
            op::RECV if op.ret > 0 && self.read(event, id, op) => return,
            op::SEND if op.ret >= 0 && self.write(event, id) => return,
            op::ACCEPT => self.accept(event, id),
            // The client has closed: what is left to do is to close as well.
            op::RECV if op.ret <= 0 => {
                if let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.reader.is_none()) {
                    let holder = conn.holder.take();
                    self.let_go(holder);
                }
            }
            _ => {}
        }
        self.thread(event.tid, event.pid, event.at).idle_turn = false;
    }

    fn accept(&mut self, event: &Event, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.acceptor = Some((event.tid, event.pid));
        self.thread(event.tid, event.pid, event.at).accepted += 1;
        self.process(event.pid).accepted += 1;
    }

    /// A thread read from a client; whether it begins a turn.
    fn read(&mut self, event: &Event, id: ConnId, op: &SockOp) -> bool {
        let (tid, pid, at) = (event.tid, event.pid, event.at);
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.reader.is_none()) else {
            // Another service's answer, or more of a request that somebody has begun to read.
            return false;
        };
        self.figures.turn(conn, self.begin, at);
        let before = conn.holder.replace((tid, pid));
        conn.reader = Some(tid);
        conn.read_at = at;
        conn.arrival = if op.arrival != 0 && op.arrival <= at.0 { Ns(op.arrival) } else { at };
        conn.turns += 1;
        let (first, port) = (conn.turns == 1, conn.port);
        let (fresh, passed) =
            (first && conn.acceptor.is_some(), conn.acceptor.is_some_and(|(_, by)| by != pid));
        let moved = before != Some((tid, pid));
        if moved {
            self.let_go(before);
        }
        let thread = self.threads.get_or_insert_with(tid, || ThreadFacts::new(tid, pid, at.max(self.begin)));
        let last = thread.last_conn.replace(id).filter(|last| *last != id);
        thread.alternates += u64::from(last.is_some_and(|last| self.conns.contains_key(last)));
        thread.idle_turn = false;
        thread.comes();
        thread.interleaved += u64::from(thread.open > 0);
        thread.reads += 1;
        thread.open += 1;
        if moved {
            thread.holds += 1;
            thread.conns += 1;
            thread.fresh += u64::from(fresh);
        }
        let process = self.process(pid);
        process.turns += 1;
        process.takes(at);
        process.reads_on(port);
        if first {
            process.conns += 1;
            process.passed += u64::from(passed);
        } else {
            process.kept += 1;
            process.changed += u64::from(before.is_some() && moved);
            process.changed_process += u64::from(before.is_some_and(|(_, before)| before != pid));
        }
        true
    }

    /// A thread wrote to a client; whether it ends a turn.
    fn write(&mut self, event: &Event, id: ConnId) -> bool {
        let (tid, pid, at) = (event.tid, event.pid, event.at);
        let Some(conn) = self.conns.get_mut(id) else { return false };
        conn.last_send = Some(at);
        let (read_at, Some(reader)) = (conn.read_at, conn.reader.take()) else { return false };
        let split = reader != tid;
        let elsewhere = split && self.threads.get(reader).is_none_or(|reader| reader.pid != pid);
        if split {
            self.give(reader, at);
        }
        let thread = self.threads.get_or_insert_with(tid, || ThreadFacts::new(tid, pid, at.max(self.begin)));
        thread.idle_turn = false;
        if split {
            thread.comes();
            thread.split += 1;
        } else {
            thread.open = thread.open.saturating_sub(1);
            thread.via_pool += u64::from(thread.last_return > read_at);
        }
        thread.waited = None;
        thread.answers += 1;
        let (born, first) = (thread.born, thread.answers == 1);
        let process = self.process(pid);
        if !split {
            process.gives(at);
        }
        process.answered += 1;
        process.from_elsewhere += u64::from(elsewhere);
        process.split += u64::from(split);
        process.by_born += u64::from(born);
        process.serving_births += u64::from(born && first);
        true
    }

    fn off_cpu(&mut self, event: &Event, interval: &OffCpu) {
        // What was over before the window began, while whywait attached, took no time of it.
        let at = event.at.max(self.begin);
        let left = Ns(interval.left).max(self.begin).min(at);
        let born = interval.flags & off_cpu::BORN != 0;
        let known = self.thread(event.tid, event.pid, at);
        if born {
            return;
        }
        let Some(wait) = Wait::of(interval) else { return };
        let over = interval.flags & off_cpu::OPEN == 0;
        let ready = if over && interval.woken != 0 { Ns(interval.woken).clamp(left, at) } else { at };
        let ns = ready.since(left);
        known.waits[wait as usize] += 1;
        known.waits_ns[wait as usize] += ns;
        let free = known.open == 0;
        if free {
            known.idle[wait as usize] += ns;
        }
        if wait.is_many() || wait == Wait::Accept {
            known.polls += u64::from(wait.is_many() && known.holds > 0);
            known.useless += u64::from(known.idle_turn);
            let timed_out =
                interval.timeout >= 0 && ns.saturating_add(TIMER_EARLY) >= interval.timeout.unsigned_abs();
            known.idle_turn = over && interval.waker_tid == 0 && !timed_out;
        }
        if wait == Wait::Futex && free {
            known.waits_at(interval.args[0], ns);
        }
        if over {
            known.waited = Some(wait);
        }
        let holds = known.holds;
        let queues = match wait {
            Wait::Futex => free,
            Wait::Epoll | Wait::Poll | Wait::Select | Wait::One | Wait::Accept => free && holds == 0,
            Wait::Receive | Wait::Other => false,
        };
        if queues {
            self.figures.idle(event.pid, event.tid, left, ready);
        }
        let (waker, waker_pid) = (Tid(interval.waker_tid), Pid(interval.waker_pid));
        if over && waker != Tid(0) && waker != event.tid && waker_pid == event.pid {
            self.woken(event, wait, interval.waker_syscall, waker, ready);
        }
    }

    /// A thread was woken by another one of its process.
    fn woken(&mut self, event: &Event, wait: Wait, syscall: i32, waker: Tid, at: Ns) {
        if wait == Wait::Futex && Wait::hands_out(syscall) {
            let hands = self.threads.get_mut(waker).is_some_and(|waker| {
                waker.handed_out += u64::from(waker.open > 0);
                waker.open > 0
            });
            let woken = self.thread(event.tid, event.pid, event.at);
            woken.woken_by(waker);
            woken.handed += u64::from(hands);
        } else if wait.is_many() && Wait::brings_back(syscall) {
            let woken = self.thread(event.tid, event.pid, event.at);
            if woken.open > 0 {
                woken.returns += 1;
                woken.last_return = at;
            }
        }
    }
}
