//! Operations on sockets: turn-taking with clients, calls to other services.

use smallvec::smallvec;
use whywait_ebpf::abi::{SockOp, op, sock_flag};

use super::{
    RequestClock, busy_with,
    connection::{Role, Turn},
    origin::Parts,
    request::{Called, Open, Request, RequestId, StartedAt},
    state::{State, StateTimes},
    thread::Thread,
    timeline::Rank,
};
use crate::{
    decode::{ConnId, Event, Route},
    units::{Bytes, Ns, Tid},
};

/// `EAGAIN`, as system calls return it.
const EAGAIN: i64 = -11;
/// `HTTP/1.1 100 Continue` and its empty line: the answer to half a request.
const CONTINUE_LEN: Bytes = Bytes(25);

impl RequestClock {
    pub(super) fn socket(
        &mut self,
        event: &Event,
        op: &SockOp,
        route: Option<&Route>,
        done: &mut Vec<Request>,
    ) {
        let id = ConnId(op.conn);
        let (tid, at) = (event.tid, event.at);
        self.thread(tid, event.pid).run_to(at);
        let Some(connection) = self.connections.get_mut(id) else { return };
        let missing = connection.next_seq.map_or(0, |next| op.conn_seq.wrapping_sub(next));
        connection.next_seq = Some(op.conn_seq.wrapping_add(1));
        let role = connection.role;
        // Two threads on one connection may be numbered and timed in different order, which looks like a very large gap.
        if missing > 0 && missing < u32::MAX / 2 {
            // An operation was lost: where the turn stands is not known, and an open request cannot be trusted.
            let turn = std::mem::replace(&mut connection.turn, Turn::Unknown);
            if let Turn::Open(request) = turn {
                if let Some(request) = self.open.get_mut(request) {
                    request.request.touched_by_loss = true;
                }
                self.close(request, at, done);
            }
        }
        match (role, op.op) {
            (Role::Server, op::RECV) if op.ret > 0 => self.read(event, id, op, route, done),
            (Role::Server, op::SEND) => self.write(tid, at, id, op),
            (Role::Server, op::ACCEPT) => self.accept(tid, at, id),
            (Role::Client, op::SEND | op::CONNECT) if op.ret >= 0 => self.call(tid, at, id),
            (Role::Client, op::RECV) if op.ret >= 0 => self.answer(tid, at, id, op),
            (Role::Server | Role::Client, _) => {}
        }
    }

    fn accept(&mut self, tid: Tid, at: Ns, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.accepted = Some(at);
            if connection.turn == Turn::Unknown {
                connection.turn = Turn::Idle;
            }
        }
        self.let_go(tid, at);
    }

    /// Data was read from a client.
    fn read(
        &mut self,
        event: &Event,
        id: ConnId,
        op: &SockOp,
        route: Option<&Route>,
        done: &mut Vec<Request>,
    ) {
        let (tid, at) = (event.tid, event.at);
        let Some(connection) = self.connections.get(id) else { return };
        if let Turn::Open(request) = connection.turn
            && let Some(open) = self.open.get(request)
        {
            let goes_on =
                open.request.sent == CONTINUE_LEN && open.request.route.is_some() && route.is_none();
            if !open.responded() || goes_on {
                self.touch(tid, at, request);
                if let Some(open) = self.open.get_mut(request) {
                    open.request.received.0 += op.ret.unsigned_abs();
                    if goes_on {
                        open.last_write = None;
                        open.request.sent = Bytes(0);
                    }
                }
                return;
            }
            self.close(request, at, done);
        } else if connection.turn == Turn::Unknown && route.is_none() {
            // Perhaps the middle of a request: the next one, after an answer, is whole.
            return;
        }
        self.begin(event, id, op, route.cloned());
    }

    /// A request begins with this read; the reader owns it.
    fn begin(&mut self, event: &Event, id: ConnId, op: &SockOp, route: Option<Route>) {
        let (tid, at) = (event.tid, event.at);
        let Some(thread) = self.threads.get_mut(tid) else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };
        let arrived = op.arrival != 0 && op.arrival <= at.0;
        let start = if arrived { Ns(op.arrival) } else { at };
        let accepted = if op.flags & sock_flag::BEFORE_ACCEPT == 0 {
            start
        } else {
            connection.accepted.or_else(|| accepted_about(thread, start)).unwrap_or(at).clamp(start, at)
        };
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let begun = Request {
            id: request,
            conn: id,
            pid: event.pid,
            threads: smallvec![tid],
            route,
            port: connection.local_port,
            peer_port: connection.remote_port,
            start,
            started_at: if arrived { StartedAt::Arrival } else { StartedAt::Read },
            first_read: at,
            end: at,
            times: StateTimes::default(),
            called: Called::new(),
            parts: Parts::default(),
            lock_waits: Vec::new(),
            received: Bytes(op.ret.unsigned_abs()),
            sent: Bytes(0),
            touched_by_loss: false,
            path: Vec::new(),
            owners: if self.keeps_paths { vec![tid] } else { Vec::new() },
        };
        let mut begun = Box::new(Open::new(begun, tid, self.keeps_paths));
        // What came before the read: the queues; over them, what the reader did for this request, and its waits for a CPU.
        begun.timeline.claim(start, accepted, State::AcceptQueue, Rank::Queue);
        begun.timeline.claim(accepted, at, State::RecvQueue, Rank::Queue);
        for (from, to) in thread.queued_since(start) {
            begun.timeline.claim(from, to.min(at), State::RunQueue, Rank::Pending);
        }
        if let Some(previous) = busy_with(&self.open, thread, tid) {
            // It read this one in the middle of another: what it did so far was for that.
            if let Some(request) = self.open.get_mut(previous) {
                let rank = thread.rank_for(tid, request);
                thread.give_pending(request, rank);
                request.release(tid, at);
            }
            thread.drop_pending();
        } else {
            // It runs up to the read, so that all of this lies before.
            thread.drop_before_mark();
            thread.give_pending(&mut begun, Rank::Owner(1));
        }
        self.holds.extend(thread.owns(tid, at, request));
        connection.turn = Turn::Open(request);
        self.open.insert(request, begun);
    }

    /// A thread reads from, writes to, or calls for a request: what it did since its last boundary was for it.
    fn touch(&mut self, tid: Tid, at: Ns, id: RequestId) {
        let Some(thread) = self.threads.get_mut(tid) else { return };
        if let Some(request) = self.open.get_mut(id) {
            if thread.owner != Some(id) {
                // What lies before the mark was a wait after the response to another request.
                thread.drop_before_mark();
            }
            let rank = request.own(tid, at);
            thread.give_pending(request, rank);
            request.compact(request.last_write.unwrap_or(at));
        }
        if let Some(previous) = thread.owner.filter(|previous| *previous != id)
            && let Some(request) = self.open.get_mut(previous)
        {
            request.release(tid, at);
        }
        self.holds.extend(thread.owns(tid, at, id));
    }

    /// A thread wrote to a client.
    fn write(&mut self, tid: Tid, at: Ns, id: ConnId, op: &SockOp) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Turn::Open(request) = connection.turn else {
            // The end of a response whose request was not seen: the next read begins a request.
            if op.ret > 0 {
                connection.turn = Turn::Idle;
            }
            self.let_go(tid, at);
            return;
        };
        if let Some(open) = self.open.get_mut(request) {
            if open.owner != Some(tid)
                && !open.responded()
                && open.calls.is_empty()
                && let Some(thread) = self.threads.get(tid)
                && let Some(due) = timer_of(open, thread, at)
            {
                open.timeline.claim(open.released, due, State::Sleep, Rank::Pending);
                open.wait_for_cpu(thread, due, at);
            }
            if let Some(since) = open.send_blocked.take() {
                open.timeline.claim(since, at, State::Send, Rank::Pending);
            }
        }
        self.touch(tid, at, request);
        if let Some(open) = self.open.get_mut(request) {
            if op.ret > 0 {
                open.last_write = Some(at);
                open.request.sent.0 += op.ret.unsigned_abs();
            }
            if op.ret == EAGAIN || op.flags & sock_flag::FULL != 0 {
                open.send_blocked = Some(at);
            }
        }
    }

    /// A thread called another service; the request that it works for waits for the answer.
    fn call(&mut self, tid: Tid, at: Ns, id: ConnId) {
        let busy = self.threads.get(tid).and_then(|thread| busy_with(&self.open, thread, tid));
        let Some(connection) = self.connections.get_mut(id) else { return };
        // A connection that was being opened: the request waited for it until it was established.
        if let Some((caller, since)) = connection.caller
            && Some(caller) == busy
            && let Some(established) = connection.established.filter(|established| *established > since)
            && let Some(request) = self.open.get_mut(caller)
        {
            request.timeline.claim(since, established, State::Downstream, Rank::Pending);
            request.request.waited_on(id, established.since(since));
        }
        let before = std::mem::replace(&mut connection.caller, busy.map(|request| (request, at)));
        if let Some((caller, _)) = before
            && let Some(request) = self.open.get_mut(caller)
        {
            request.calls.retain(|(conn, _)| *conn != id);
        }
        if let Some(caller) = busy {
            self.touch(tid, at, caller);
            if let Some(request) = self.open.get_mut(caller) {
                request.calls.push((id, at));
            }
        }
    }

    /// A thread read the answer of another service.
    fn answer(&mut self, tid: Tid, at: Ns, id: ConnId, op: &SockOp) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some((caller, since)) = connection.caller else { return };
        if op.ret > 0 {
            connection.caller = Some((caller, at));
        }
        let arrival = if op.arrival != 0 { Ns(op.arrival).min(at) } else { at };
        let Some(request) = self.open.get_mut(caller) else { return };
        request.timeline.claim(since, arrival, State::Downstream, Rank::Pending);
        request.request.waited_on(id, arrival.since(since));
        if let Some(thread) = self.threads.get(tid) {
            request.wait_for_cpu(thread, arrival, at);
        }
        request.calls.retain(|(conn, _)| *conn != id);
        if !request.responded() {
            self.touch(tid, at, caller);
        }
    }
}

/// When a connection was accepted, as far as its reader's own waits tell.
fn accepted_about(reader: &Thread, start: Ns) -> Option<Ns> {
    let accepted = reader.accepted.filter(|at| *at >= start);
    accepted.or_else(|| reader.idle.filter(|at| *at >= start))
}

/// When the timer was due that made a thread take up a request which it had not in hand.
fn timer_of(request: &Open, thread: &Thread, at: Ns) -> Option<Ns> {
    // Time-outs in milliseconds are rounded up, so a timer may be due that much before the end of the time-out.
    const ROUNDED: u64 = 1_000_000;
    let timer = thread.timer?;
    // A wait that something else has ended says less: another thread may have brought the request back.
    let was_due = timer.fired || request.handed_to.is_empty() && timer.due <= at.plus(ROUNDED);
    (was_due && request.released < timer.due).then_some(timer.due.min(at))
}
