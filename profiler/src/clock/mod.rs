//! The request clock: finds requests in events, and splits the latency of each into its states.
//!
//! A pure state machine: events in the order of their times go in, finished requests come out. It takes no
//! descriptor, reads no clock and knows no concurrency model. The rules are those of `docs/request-clock.md`.

mod connection;
mod exchange;
mod hold;
mod lock_wait;
mod off_cpu;
mod origin;
mod request;
mod state;
mod thread;
mod timed;
mod timeline;
mod wait;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use whywait_ebpf::abi::{Conn, SockState, born, role, tcp_state};

pub use hold::Hold;
pub use lock_wait::{InHand, LockWait};
pub use origin::{Origin, Part, Parts, WaitPlace};
pub use request::{Called, Request, RequestId, StartedAt};
pub use state::{State, StateTimes};
pub use thread::is_one_place;
use timed::TimedFutexes;
pub use timeline::Piece;
pub use wait::{Wait, classify};

use crate::{
    decode::{ConnId, Event, StackEvent, Taken, What},
    recent_map::RecentMap,
    units::{Ns, Pid, Tid},
};
use connection::{Connection, Role, Turn};
use request::Open;
use thread::Thread;

/// How long an answered request waits for news of the threads that it was handed to: what such a thread did is told when it comes
/// back from its next wait.
const LINGER: u64 = 1_000_000_000;

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

impl Tally {
    /// What was tallied since an earlier look.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            unanswered: self.unanswered.saturating_sub(before.unanswered),
            in_flight: self.in_flight,
            missing: self.missing.saturating_sub(before.missing),
        }
    }
}

/// Requests that are not finished.
type OpenRequests = RecentMap<RequestId, Box<Open>>;

/// The request clock.
#[derive(Debug, Default)]
pub struct RequestClock {
    threads: RecentMap<Tid, Thread>,
    connections: RecentMap<ConnId, Connection>,
    sockets: FxHashMap<u64, ConnId>,
    open: OpenRequests,
    /// Closed requests that are in `open` still, because a thread may have worked on them, by the time of their closing.
    lingering: VecDeque<(Ns, RequestId)>,
    next_request: u64,
    holds: Vec<Hold>,
    tally: Tally,
    keeps_paths: bool,
    timed: TimedFutexes,
}

impl RequestClock {
    /// A clock that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that has seen nothing and has tallied this.
    pub fn with_tally(tally: Tally) -> Self {
        Self { tally, ..Self::default() }
    }

    /// Finished requests keep their states one after the other, not only the sums.
    pub fn keep_paths(&mut self) {
        self.keeps_paths = true;
    }

    /// Finishes requests whose answer has been out since `before`, without waiting for the next one on their connection: for a run whose
    /// results are looked at while it goes on. What is written later still is not counted.
    pub fn settle(&mut self, before: Ns, done: &mut Vec<Request>) {
        let answered = |open: &Open| open.last_write.is_some_and(|at| at < before);
        let settled: Vec<(ConnId, RequestId)> = self
            .open
            .values()
            .filter(|open| answered(open))
            .map(|open| (open.request.conn, open.request.id))
            .collect();
        for (conn, request) in settled {
            if let Some(connection) = self.connections.get_mut(conn)
                && connection.turn == Turn::Open(request)
            {
                connection.turn = Turn::Idle;
                self.close(request, before, done);
            }
        }
    }

    /// The request that a thread works for and has not answered.
    pub fn works_for(&self, tid: Tid) -> Option<RequestId> {
        busy_with(&self.open, self.threads.get(tid)?, tid)
    }

    /// Requests that are read and not answered: how many, and when the oldest of them began.
    pub fn in_flight(&self) -> (usize, Option<Ns>) {
        let unanswered = self.open.values().filter(|open| !open.responded());
        unanswered.fold((0, None), |(count, oldest), open| {
            let start = open.request.start;
            (count + 1, Some(oldest.map_or(start, |oldest: Ns| oldest.min(start))))
        })
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// What it counts beside the requests.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Long holds since the last call.
    pub fn holds(&mut self) -> std::vec::Drain<'_, Hold> {
        self.holds.drain(..)
    }

    /// Takes the next event; requests that it finishes are added to `done`.
    pub fn apply(&mut self, event: &Event, done: &mut Vec<Request>) {
        self.check_gap(event);
        self.finish_lingering(event.at, done);
        if event.spun > 0 {
            let until = if let What::OffCpu(interval) = &event.what { Ns(interval.left) } else { event.at };
            let thread = self.thread(event.tid, event.pid);
            thread.run_to(until);
            thread.spun(u64::from(event.spun));
        }
        match &event.what {
            What::OffCpu(interval) => self.off_cpu(event.tid, event.pid, event.at, interval),
            What::Socket { op, route } => self.socket(event, op, route.as_ref(), done),
            What::Conn(conn) => self.connection(event.at, conn, done),
            What::SockState(change) => self.sock_state(event, change, done),
            What::Thread(thread) => {
                if let Some(old) = self.threads.get(event.tid).filter(|known| known.is_other(thread)) {
                    // The id is used again, and the end of the thread that had it was lost.
                    let pid = old.pid;
                    self.thread_end(event.tid, pid, event.at, done);
                }
                let known = self.thread(event.tid, event.pid);
                known.pid = event.pid;
                known.start_time = thread.start_time;
                if thread.how == born::FOUND && thread.running != 0 {
                    known.running = Some(event.at);
                }
            }
            What::ThreadEnd => self.thread_end(event.tid, event.pid, event.at, done),
            What::Stack(stack) => self.stack(event, stack),
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
            request.request.touched_by_loss = true;
        }
    }

    /// Ends the run at `at`: what has been answered is finished, what has not is counted as in flight.
    pub fn finish(&mut self, at: Ns, done: &mut Vec<Request>) {
        let threads: Vec<Tid> = self.threads.keys().collect();
        for tid in threads {
            self.let_go(tid, at);
        }
        self.lingering.clear();
        let mut open: Vec<Box<Open>> = std::mem::take(&mut self.open).into_values().collect();
        open.sort_by_key(|open| open.request.id);
        for request in open {
            self.tally.in_flight += u64::from(!request.finish(done));
        }
        for connection in self.connections.values_mut() {
            if matches!(connection.turn, Turn::Open(_)) {
                connection.turn = Turn::Unknown;
            }
        }
    }

    fn thread(&mut self, tid: Tid, pid: Pid) -> &mut Thread {
        self.threads.get_or_insert_with(tid, || Thread::new(pid))
    }

    /// Missing records of a thread touch what it works for.
    fn check_gap(&mut self, event: &Event) {
        if event.missing == 0 {
            return;
        }
        self.tally.missing += u64::from(event.missing);
        let Some(thread) = self.threads.get(event.tid) else { return };
        for id in thread.owner.into_iter().chain(thread.handed.map(|handed| handed.request)) {
            if let Some(request) = self.open.get_mut(id) {
                request.request.touched_by_loss = true;
            }
        }
    }

    fn connection(&mut self, at: Ns, conn: &Conn, done: &mut Vec<Request>) {
        let id = ConnId(conn.id);
        if let Some(old) = self.sockets.insert(conn.sock, id)
            && old != id
        {
            self.end_connection(old, at, done);
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
        if change.new == tcp_state::ESTABLISHED {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.established = Some(event.at);
            }
            return;
        }
        if event.tid != Tid(0)
            && let Some(thread) = self.threads.get_mut(event.tid)
        {
            thread.run_to(event.at);
        }
        self.end_connection(id, event.at, done);
    }

    fn end_connection(&mut self, id: ConnId, at: Ns, done: &mut Vec<Request>) {
        let Some(connection) = self.connections.remove(id) else { return };
        if self.sockets.get(&connection.sock) == Some(&id) {
            self.sockets.remove(&connection.sock);
        }
        if let Turn::Open(request) = connection.turn {
            self.close(request, at, done);
        }
        if let Some((caller, _)) = connection.caller
            && let Some(request) = self.open.get_mut(caller)
        {
            request.calls.retain(|(conn, _)| *conn != id);
        }
    }

    /// An open request is over: it is finished, at once or when nothing more is to be heard of it.
    fn close(&mut self, id: RequestId, at: Ns, done: &mut Vec<Request>) {
        if self.is_awaited(id) {
            self.lingering.push_back((at, id));
        } else {
            self.finish_request(id, done);
        }
    }

    /// Whether a thread has an answered request in hand of which it has not told what it did.
    fn is_awaited(&self, id: RequestId) -> bool {
        let Some(request) = self.open.get(id).filter(|request| request.responded()) else { return false };
        request.handed_to.iter().any(|tid| {
            let handed = self.threads.get(*tid).and_then(|thread| thread.handed);
            handed.is_some_and(|handed| handed.request == id)
        })
    }

    /// Finishes requests that have been closed and of which all is known, or long enough ago.
    fn finish_lingering(&mut self, now: Ns, done: &mut Vec<Request>) {
        while let Some((closed, id)) = self.lingering.front().copied()
            && (now.since(closed) > LINGER || !self.is_awaited(id))
        {
            self.lingering.pop_front();
            self.finish_request(id, done);
        }
    }

    fn finish_request(&mut self, id: RequestId, done: &mut Vec<Request>) {
        let Some(request) = self.open.remove(id) else { return };
        self.tally.unanswered += u64::from(!request.finish(done));
    }

    /// A stack tells what its thread does: in the wait that begins, or on the CPU up to now.
    fn stack(&mut self, event: &Event, stack: &StackEvent) {
        let Some(thread) = self.threads.get_mut(event.tid) else { return };
        match stack.taken {
            Taken::OffCpu => thread.stack = stack.id.map(|id| (stack.at, id)),
            Taken::OnCpu => thread.sampled(event.at, stack.id),
            Taken::Waker => {}
        }
    }

    fn thread_end(&mut self, tid: Tid, pid: Pid, at: Ns, done: &mut Vec<Request>) {
        self.let_go(tid, at);
        self.threads.remove(tid);
        if self.threads.values().all(|thread| thread.pid != pid) {
            self.process_end(pid, at, done);
        }
    }

    /// Of a Unix socket's end the kernel tells nothing: it is over, at the latest, with the process that reads from it.
    fn process_end(&mut self, pid: Pid, at: Ns, done: &mut Vec<Request>) {
        let requests = self.open.values().map(|open| &open.request);
        let of_process = requests.filter(|request| request.pid == pid && request.port == 0);
        let ended: Vec<ConnId> = of_process.map(|request| request.conn).collect();
        for conn in ended {
            self.end_connection(conn, at, done);
        }
    }
}

/// Request that a thread is in the middle of.
fn busy_with(open: &OpenRequests, thread: &Thread, tid: Tid) -> Option<RequestId> {
    let owned = thread
        .owner
        .filter(|id| open.get(*id).is_some_and(|request| !request.responded() && request.owner == Some(tid)));
    owned.or_else(|| {
        let handed = thread.handed?.request;
        open.get(handed).is_some_and(|request| !request.responded()).then_some(handed)
    })
}
