//! The request clock: finds requests in events, and splits the latency of each into its states.
//!
//! A pure state machine: events in the order of their times go in, finished requests come out. It takes no
//! descriptor, reads no clock and knows no concurrency model. The rules are those of `docs/request-clock.md`.

mod connection;
mod request;
mod state;
mod thread;
mod timeline;
mod wait;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use whywait_ebpf::{
    abi::{Conn, OffCpu, SockOp, SockState, born, off_cpu, op, role, sock_flag},
    syscalls as call,
};

pub use request::{Request, RequestId, StartedAt};
pub use state::{State, StateTimes};
pub use wait::{Wait, classify};

use crate::{
    decode::{ConnId, Event, What},
    units::{Ns, Pid, Tid},
};
use connection::{Connection, Role, Turn};
use request::{Open, route};
use thread::{Handed, IdleReturn, MOST_PENDING, Stretch, Thread};
use timeline::{Rank, Timeline};

const EAGAIN: i64 = -11;
/// `HTTP/1.1 100 Continue` and its empty line: the answer to half a request.
const CONTINUE_LEN: u64 = 25;
/// A wait that lasted its time-out to within this much ended because of it: the kernel rounds time-outs up to its timers' slack
/// (50 µs by default) and poll's to whole milliseconds.
const TIMEOUT_SLACK: u64 = 1_000_000;
const TCP_ESTABLISHED: u32 = 1;

/// Tallies that the clock keeps beside the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were read and never answered: the client or the server went away.
    pub unanswered: u64,
    /// Requests that are open, without an answer, when the run ends.
    pub in_flight: u64,
    /// Records that are known to be lost from gaps in their numbers.
    pub missing: u64,
}

/// The request clock.
#[derive(Debug, Default)]
pub struct RequestClock {
    threads: HashMap<Tid, Thread>,
    connections: HashMap<ConnId, Connection>,
    sockets: HashMap<u64, ConnId>,
    open: HashMap<RequestId, Open>,
    next_request: u64,
    tally: Tally,
}

impl RequestClock {
    /// A clock that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What it counts beside the requests.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes the next event; requests that it finishes are added to `done`.
    pub fn apply(&mut self, event: &Event, done: &mut Vec<Request>) {
        self.check_gap(event);
        if event.spun > 0 {
            let until = if let What::OffCpu(interval) = &event.what { Ns(interval.left) } else { event.at };
            let thread = self.thread(event.tid, event.pid);
            thread.run_to(until);
            thread.spun(u64::from(event.spun));
        }
        match &event.what {
            What::OffCpu(interval) => self.off_cpu(event.tid, event.pid, event.at, interval),
            What::Socket { op, head } => self.socket(event, op, head, done),
            What::Conn(conn) => self.connection(conn, done),
            What::SockState(change) => self.sock_state(event, change, done),
            What::Thread(thread) => {
                let known = self.thread(event.tid, event.pid);
                known.pid = event.pid;
                if thread.how == born::FOUND && thread.running != 0 {
                    known.running = Some(event.at);
                }
            }
            What::ThreadEnd => self.thread_end(event.tid, event.at),
        }
    }

    /// Records never came, and nobody knows what they were about: marks everything that is open.
    pub fn missing(&mut self, records: u64) {
        self.tally.missing += records;
        self.loss();
    }

    /// Marks everything that is open: records were lost, and nobody knows whose.
    pub fn loss(&mut self) {
        for request in self.open.values_mut() {
            request.touched_by_loss = true;
        }
    }

    /// Ends the run at `at`: what has been answered is finished, what has not is counted as in flight.
    pub fn finish(&mut self, at: Ns, done: &mut Vec<Request>) {
        let threads: Vec<Tid> = self.threads.keys().copied().collect();
        for tid in threads {
            self.let_go(tid, at);
        }
        let mut open: Vec<Open> = std::mem::take(&mut self.open).into_values().collect();
        open.sort_by_key(|request| request.id);
        for request in open {
            match request.finish() {
                Some(request) => done.push(request),
                None => self.tally.in_flight += 1,
            }
        }
        for connection in self.connections.values_mut() {
            if matches!(connection.turn, Turn::Open(_)) {
                connection.turn = Turn::Unknown;
            }
        }
    }

    fn thread(&mut self, tid: Tid, pid: Pid) -> &mut Thread {
        self.threads.entry(tid).or_insert_with(|| Thread::new(pid))
    }

    /// Missing records of a thread touch what it works for.
    fn check_gap(&mut self, event: &Event) {
        if event.missing == 0 {
            return;
        }
        self.tally.missing += u64::from(event.missing);
        let Some(thread) = self.threads.get(&event.tid) else { return };
        for id in thread.owner.into_iter().chain(thread.handed.map(|handed| handed.request)) {
            if let Some(request) = self.open.get_mut(&id) {
                request.touched_by_loss = true;
            }
        }
    }

    /// Request that the thread is in the middle of.
    fn busy_with(&self, thread: &Thread, tid: Tid) -> Option<RequestId> {
        let owned = thread.owner.filter(|id| {
            self.open.get(id).is_some_and(|request| !request.responded() && request.owner == Some(tid))
        });
        owned.or_else(|| {
            let handed = thread.handed?.request;
            self.open.get(&handed).is_some_and(|request| !request.responded()).then_some(handed)
        })
    }

    fn off_cpu(&mut self, tid: Tid, pid: Pid, at: Ns, interval: &OffCpu) {
        let (left, woken) = (Ns(interval.left), Ns(interval.woken));
        let open_end = interval.flags & off_cpu::OPEN != 0;
        self.thread(tid, pid).run_to(left);
        let wait = classify(interval);
        let ready = if wait == Wait::Preempted {
            left
        } else if interval.woken == 0 {
            at
        } else {
            woken.clamp(left, at)
        };
        if interval.flags & off_cpu::BORN != 0 {
            let thread = self.thread(tid, pid);
            thread.drop_pending();
            thread.queued(left, at);
            self.hand_over(tid, interval, left);
        } else if wait == Wait::Preempted {
            self.thread(tid, pid).queued(left, at);
        } else if self.is_idle(tid, wait) {
            self.let_go(tid, left);
            let timed_out = timed_out(interval.timeout, ready.since(left));
            let accepts = matches!(interval.syscall, call::ACCEPT | call::ACCEPT4);
            let thread = self.thread(tid, pid);
            thread.queued(ready, at);
            thread.idle = Some(IdleReturn { woken: ready, timed_out });
            if accepts {
                thread.accepted = Some(at);
            }
            self.hand_over(tid, interval, ready);
        } else {
            let state = match wait {
                Wait::State(state) => state,
                Wait::Receive(sock) => self.peer_state(sock, State::Other),
                Wait::Send(sock) => self.peer_state(sock, State::Send),
                Wait::Idle | Wait::Preempted => State::Other,
            };
            let busy = self.threads.get(&tid).is_some_and(|thread| self.busy_with(thread, tid).is_some());
            let thread = self.thread(tid, pid);
            thread.pending.push(Stretch { from: left, to: ready, state });
            if !busy {
                thread.mark = thread.pending.len();
            }
            thread.queued(ready, at);
            if !busy {
                self.hand_over(tid, interval, ready);
            }
        }
        let thread = self.thread(tid, pid);
        thread.running = if open_end { None } else { Some(at) };
        if thread.pending.len() > MOST_PENDING {
            self.relieve(tid, at);
        }
    }

    /// Whether a wait ends the thread's ownership.
    fn is_idle(&self, tid: Tid, wait: Wait) -> bool {
        let Some(thread) = self.threads.get(&tid) else { return true };
        let busy = self.busy_with(thread, tid);
        match wait {
            Wait::Idle => true,
            Wait::Preempted => false,
            Wait::Receive(sock) => match self.sockets.get(&sock).and_then(|id| self.connections.get(id)) {
                Some(connection) if connection.role == Role::Server => {
                    // More of its own request is waited for; any other read is for the next one.
                    !matches!(connection.turn, Turn::Open(id) if Some(id) == busy)
                }
                Some(_) => busy.is_none(),
                None => true,
            },
            // After a response a thread may wait and then write more of it; with nothing to finish it is idle.
            Wait::State(_) | Wait::Send(_) => {
                busy.is_none() && thread.owner.is_none_or(|id| !self.open.contains_key(&id))
            }
        }
    }

    /// A socket's peer is waited for: another service, or a client.
    fn peer_state(&self, sock: u64, of_client: State) -> State {
        match self.sockets.get(&sock).and_then(|id| self.connections.get(id)) {
            Some(connection) if connection.role == Role::Server => of_client,
            _ => State::Downstream,
        }
    }

    /// The thread's time since its last boundary goes to the request it works for, and the ownership ends.
    fn let_go(&mut self, tid: Tid, at: Ns) {
        let Some(mut thread) = self.threads.remove(&tid) else { return };
        thread.run_to(at);
        if let Some(id) = thread.owner.take()
            && let Some(request) = self.open.get_mut(&id)
        {
            let rank = if request.owner == Some(tid) { Rank::Owner(request.epoch) } else { Rank::Handed };
            give(request, &thread.take_pending(), rank);
            request.release(tid, at);
        } else if let Some(handed) = thread.handed
            && let Some(request) = self.open.get_mut(&handed.request)
        {
            give(request, &thread.take_pending(), Rank::Handed);
        }
        thread.handed = None;
        thread.drop_pending();
        thread.works_for(at, None);
        self.threads.insert(tid, thread);
    }

    /// Many stretches without a boundary: what the thread works for gets them, else they are of no use.
    fn relieve(&mut self, tid: Tid, at: Ns) {
        let Some(mut thread) = self.threads.remove(&tid) else { return };
        let busy = self.busy_with(&thread, tid);
        let stretches = thread.take_pending();
        if let Some(request) = busy.and_then(|id| self.open.get_mut(&id)) {
            let rank = if request.owner == Some(tid) { Rank::Owner(request.epoch) } else { Rank::Handed };
            give(request, &stretches, rank);
            request.timeline.compact(at);
        }
        self.threads.insert(tid, thread);
    }

    /// A thread was woken: if its waker worked for a request and did it on purpose, the request is handed over.
    fn hand_over(&mut self, tid: Tid, interval: &OffCpu, at: Ns) {
        if interval.waker_tid == 0 || !wakes_on_purpose(interval.waker_syscall) {
            return;
        }
        let Some(waker) = self.threads.get(&Tid(interval.waker_tid)) else { return };
        let Some(id) = waker.worked_for(at) else { return };
        if self.open.get(&id).is_none_or(Open::responded) {
            return;
        }
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.handed = Some(Handed { request: id });
            thread.works_for(at, Some(id));
        }
    }

    fn connection(&mut self, conn: &Conn, done: &mut Vec<Request>) {
        let id = ConnId(conn.id);
        if let Some(old) = self.sockets.insert(conn.sock, id)
            && old != id
        {
            self.end_connection(old, done);
        }
        let established = (conn.established != 0).then_some(Ns(conn.established));
        let connection = Connection {
            role: if conn.role == role::SERVER { Role::Server } else { Role::Client },
            sock: conn.sock,
            local_port: conn.local_port,
            remote_port: conn.remote_port,
            established,
            accepted: None,
            turn: if established.is_some() { Turn::Idle } else { Turn::Unknown },
            next_seq: None,
            caller: None,
        };
        self.connections.insert(id, connection);
    }

    fn sock_state(&mut self, event: &Event, change: &SockState, done: &mut Vec<Request>) {
        let id = ConnId(change.conn);
        if change.new == TCP_ESTABLISHED {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.established = Some(event.at);
            }
            return;
        }
        if event.tid != Tid(0)
            && let Some(thread) = self.threads.get_mut(&event.tid)
        {
            thread.run_to(event.at);
        }
        self.end_connection(id, done);
    }

    fn end_connection(&mut self, id: ConnId, done: &mut Vec<Request>) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if self.sockets.get(&connection.sock) == Some(&id) {
            self.sockets.remove(&connection.sock);
        }
        if let Turn::Open(request) = connection.turn {
            self.close(request, done);
        }
        if let Some((caller, _)) = connection.caller
            && let Some(request) = self.open.get_mut(&caller)
        {
            request.calls.retain(|(conn, _)| *conn != id);
        }
    }

    /// Finishes an open request.
    fn close(&mut self, id: RequestId, done: &mut Vec<Request>) {
        let Some(request) = self.open.remove(&id) else { return };
        match request.finish() {
            Some(request) => done.push(request),
            None => self.tally.unanswered += 1,
        }
    }

    fn thread_end(&mut self, tid: Tid, at: Ns) {
        self.let_go(tid, at);
        self.threads.remove(&tid);
    }

    fn socket(&mut self, event: &Event, op: &SockOp, head: &[u8], done: &mut Vec<Request>) {
        let id = ConnId(op.conn);
        let (tid, at) = (event.tid, event.at);
        self.thread(tid, event.pid).run_to(at);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let missing = connection.next_seq.map_or(0, |next| op.conn_seq.wrapping_sub(next));
        connection.next_seq = Some(op.conn_seq.wrapping_add(1));
        // Two threads on one connection may be numbered and timed in different order, which looks like a very large gap.
        if missing > 0 && missing < u32::MAX / 2 {
            // An operation was lost: where the turn stands is not known, and an open request cannot be trusted.
            let turn = std::mem::replace(&mut connection.turn, Turn::Unknown);
            if let Turn::Open(request) = turn {
                if let Some(request) = self.open.get_mut(&request) {
                    request.touched_by_loss = true;
                }
                self.close(request, done);
            }
        }
        let Some(connection) = self.connections.get(&id) else { return };
        match (connection.role, op.op) {
            (Role::Server, op::RECV) if op.ret > 0 => self.read(event, id, op, head, done),
            (Role::Server, op::SEND) => self.write(tid, at, id, op),
            (Role::Server, op::ACCEPT) => self.accept(tid, at, id),
            (Role::Client, op::SEND | op::CONNECT) if op.ret >= 0 => self.call(tid, at, id),
            (Role::Client, op::RECV) if op.ret >= 0 => self.answer(tid, at, id, op),
            (Role::Server | Role::Client, _) => {}
        }
    }

    fn accept(&mut self, tid: Tid, at: Ns, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.accepted = Some(at);
            if connection.turn == Turn::Unknown {
                connection.turn = Turn::Idle;
            }
        }
        self.let_go(tid, at);
    }

    /// Data was read from a client.
    fn read(&mut self, event: &Event, id: ConnId, op: &SockOp, head: &[u8], done: &mut Vec<Request>) {
        let (tid, at) = (event.tid, event.at);
        let Some(connection) = self.connections.get(&id) else { return };
        let route = route(head);
        if let Turn::Open(request) = connection.turn
            && let Some(open) = self.open.get(&request)
        {
            let goes_on = open.sent == CONTINUE_LEN && open.route.is_some() && route.is_none();
            if !open.responded() || goes_on {
                self.touch(tid, at, request);
                if let Some(open) = self.open.get_mut(&request) {
                    open.received += op.ret.unsigned_abs();
                    if goes_on {
                        open.last_write = None;
                        open.sent = 0;
                    }
                }
                return;
            }
            self.close(request, done);
        } else if connection.turn == Turn::Unknown && route.is_none() {
            // Perhaps the middle of a request: the next one, after an answer, is whole.
            return;
        }
        self.begin(event, id, op, route);
        if let Some(connection) = self.connections.get_mut(&id)
            && let Some(request) = self.threads.get(&tid).and_then(|thread| thread.owner)
        {
            connection.turn = Turn::Open(request);
        }
    }

    /// A request begins with this read; the reader owns it.
    fn begin(&mut self, event: &Event, id: ConnId, op: &SockOp, route: Option<Box<str>>) {
        let (tid, at) = (event.tid, event.at);
        let Some(mut thread) = self.threads.remove(&tid) else { return };
        let Some(connection) = self.connections.get(&id) else { return };
        let arrived = op.arrival != 0 && op.arrival <= at.0;
        let start = if arrived { Ns(op.arrival) } else { at };
        let mut timeline = Timeline::new(start);
        // What came before the read: the queues; over them, what the reader did for this request, and its waits for a CPU.
        let accepted = if op.flags & sock_flag::BEFORE_ACCEPT == 0 {
            start
        } else {
            connection.accepted.or_else(|| accepted_about(&thread, start)).unwrap_or(at).clamp(start, at)
        };
        timeline.claim(start, accepted, State::AcceptQueue, Rank::Queue);
        timeline.claim(accepted, at, State::RecvQueue, Rank::Queue);
        for (from, to) in thread.queued_since(start) {
            timeline.claim(from, to.min(at), State::RunQueue, Rank::Pending);
        }
        let previous = self.busy_with(&thread, tid);
        if let Some(previous) = previous {
            // It read this one in the middle of another: what it did so far was for that.
            let stretches = thread.take_pending();
            if let Some(request) = self.open.get_mut(&previous) {
                let rank = if request.owner == Some(tid) { Rank::Owner(request.epoch) } else { Rank::Handed };
                give(request, &stretches, rank);
                request.release(tid, at);
            }
        } else {
            let mark = thread.mark.min(thread.pending.len());
            for stretch in &thread.pending[mark..] {
                timeline.claim(stretch.from, stretch.to.min(at), stretch.state, Rank::Owner(1));
            }
            thread.drop_pending();
        }
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.open.insert(
            request,
            Open {
                id: request,
                conn: id,
                pid: event.pid,
                threads: vec![tid],
                route,
                port: connection.local_port,
                peer_port: connection.remote_port,
                start,
                started_at: if arrived { StartedAt::Arrival } else { StartedAt::Read },
                first_read: at,
                timeline,
                received: op.ret.unsigned_abs(),
                sent: 0,
                touched_by_loss: false,
                owner: Some(tid),
                epoch: 1,
                released: at,
                last_write: None,
                send_blocked: None,
                calls: Vec::new(),
            },
        );
        thread.owner = Some(request);
        thread.handed = None;
        thread.idle = None;
        thread.works_for(at, Some(request));
        self.threads.insert(tid, thread);
    }

    /// A thread reads from, writes to, or calls for a request: what it did since its last boundary was for it.
    fn touch(&mut self, tid: Tid, at: Ns, id: RequestId) {
        let Some(mut thread) = self.threads.remove(&tid) else { return };
        if let Some(request) = self.open.get_mut(&id) {
            if thread.owner != Some(id) {
                // What lies before the mark was a wait after the response to another request.
                let mark = thread.mark.min(thread.pending.len());
                thread.pending.drain(..mark);
            }
            let rank = request.own(tid);
            give(request, &thread.take_pending(), rank);
            request.timeline.compact(request.last_write.unwrap_or(at));
        }
        if let Some(previous) = thread.owner.filter(|previous| *previous != id)
            && let Some(request) = self.open.get_mut(&previous)
        {
            request.release(tid, at);
        }
        thread.owner = Some(id);
        thread.handed = None;
        thread.idle = None;
        thread.works_for(at, Some(id));
        self.threads.insert(tid, thread);
    }

    /// A thread wrote to a client.
    fn write(&mut self, tid: Tid, at: Ns, id: ConnId, op: &SockOp) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Turn::Open(request) = connection.turn else {
            // The end of a response whose request was not seen: the next read begins a request.
            if op.ret > 0 {
                connection.turn = Turn::Idle;
            }
            self.let_go(tid, at);
            return;
        };
        let idle = self.threads.get(&tid).and_then(|thread| thread.idle);
        if let Some(open) = self.open.get_mut(&request) {
            if open.owner.is_none() && !open.responded() && open.calls.is_empty() {
                // Nobody had it, nothing was called for it, and a timer that was due is what brought it back.
                if let Some(idle) = idle.filter(|idle| idle.timed_out) {
                    open.timeline.claim(open.released, idle.woken, State::Sleep, Rank::Pending);
                }
            }
            if let Some(since) = open.send_blocked.take() {
                open.timeline.claim(since, at, State::Send, Rank::Pending);
            }
        }
        self.touch(tid, at, request);
        if let Some(open) = self.open.get_mut(&request) {
            if op.ret > 0 {
                open.last_write = Some(at);
                open.sent += op.ret.unsigned_abs();
            }
            if op.ret == EAGAIN || op.flags & sock_flag::FULL != 0 {
                open.send_blocked = Some(at);
            }
        }
    }

    /// A thread called another service; the request that it works for waits for the answer.
    fn call(&mut self, tid: Tid, at: Ns, id: ConnId) {
        let busy = self.threads.get(&tid).and_then(|thread| self.busy_with(thread, tid));
        let Some(connection) = self.connections.get_mut(&id) else { return };
        // A connection that was being opened: the request waited for it until it was established.
        if let Some((caller, since)) = connection.caller
            && Some(caller) == busy
            && let Some(established) = connection.established.filter(|established| *established > since)
            && let Some(request) = self.open.get_mut(&caller)
        {
            request.timeline.claim(since, established, State::Downstream, Rank::Pending);
        }
        let before = std::mem::replace(&mut connection.caller, busy.map(|request| (request, at)));
        if let Some((caller, _)) = before
            && let Some(request) = self.open.get_mut(&caller)
        {
            request.calls.retain(|(conn, _)| *conn != id);
        }
        if let Some(caller) = busy {
            self.touch(tid, at, caller);
            if let Some(request) = self.open.get_mut(&caller) {
                request.calls.push((id, at));
            }
        }
    }

    /// A thread read the answer of another service.
    fn answer(&mut self, tid: Tid, at: Ns, id: ConnId, op: &SockOp) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some((caller, since)) = connection.caller else { return };
        if op.ret > 0 {
            connection.caller = Some((caller, at));
        }
        let arrival = if op.arrival != 0 { Ns(op.arrival).min(at) } else { at };
        let Some(request) = self.open.get_mut(&caller) else { return };
        request.timeline.claim(since, arrival, State::Downstream, Rank::Pending);
        request.calls.retain(|(conn, _)| *conn != id);
        if !request.responded() {
            self.touch(tid, at, caller);
        }
    }
}

/// A thread's time goes to a request.
fn give(request: &mut Open, stretches: &[Stretch], rank: Rank) {
    for stretch in stretches {
        request.timeline.claim(stretch.from, stretch.to, stretch.state, rank);
    }
}

/// Whether a wait ended because its time was over.
fn timed_out(timeout: i64, waited: u64) -> bool {
    // The thread is on its way to sleep for a moment before it has left the CPU: that much shorter it may seem.
    const BEFORE: u64 = 50_000;
    u64::try_from(timeout).is_ok_and(|timeout| {
        waited.saturating_add(BEFORE) >= timeout && waited <= timeout.saturating_add(TIMEOUT_SLACK)
    })
}

/// When a connection was accepted, as far as its reader's own waits tell.
fn accepted_about(reader: &Thread, start: Ns) -> Option<Ns> {
    let accepted = reader.accepted.filter(|at| *at >= start);
    accepted.or_else(|| reader.idle.map(|idle| idle.woken).filter(|at| *at >= start))
}

/// Whether a waker in this system call means the thread that it wakes.
fn wakes_on_purpose(syscall: i32) -> bool {
    matches!(
        syscall,
        call::FUTEX
            | call::FUTEX_WAKE
            | call::WRITE
            | call::WRITEV
            | call::SENDTO
            | call::SENDMSG
            | call::SEMOP
            | call::SEMTIMEDOP
            | call::SEMCTL
            | call::MSGSND
            | call::KILL
            | call::TKILL
            | call::TGKILL
            | call::PIDFD_SEND_SIGNAL
            | call::CLONE
            | call::CLONE3
            | call::FORK
            | call::VFORK
            | call::IO_URING_ENTER
            | call::MQ_TIMEDSEND
    )
}
