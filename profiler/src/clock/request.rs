//! A request, open and finished.

use smallvec::SmallVec;

use super::{
    lock_wait::LockWait,
    origin::Parts,
    state::{State, StateTimes},
    thread::{Stretch, Thread},
    timeline::{Piece, Rank, Settled, Timeline},
};
use crate::{
    decode::{ConnId, Route},
    units::{Bytes, Ns, Pid, Tid},
};

/// Names a request within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Threads of a request; most have one or two.
pub type Threads = SmallVec<[Tid; 4]>;

/// Ownerships whose thread is kept.
const MOST_OWNERS: usize = 64;
/// Services that a request called, by connection, each with the nanoseconds from the call, or the answer's last part, to the answer's arrival.
pub type Called = SmallVec<[(ConnId, u64); 1]>;

/// Connections of one request that are told apart; what it waits on beyond them goes to the last.
const MOST_CALLED: usize = 16;

/// Where a request's beginning is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartedAt {
    /// Its first byte arrived in the socket.
    Arrival,
    /// Its first read; when the byte arrived is not known.
    Read,
}

/// A finished request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// Its connection.
    pub conn: ConnId,
    /// Process that read it.
    pub pid: Pid,
    /// Threads that owned it, in order, each once.
    pub threads: Threads,
    /// Its route, where the bytes are HTTP/1.x.
    pub route: Option<Route>,
    /// Local port of its connection; 0 for Unix sockets.
    pub port: u16,
    /// Remote port of its connection; 0 for Unix sockets.
    pub peer_port: u16,
    /// When it began.
    pub start: Ns,
    /// Where that is known from.
    pub started_at: StartedAt,
    /// When its first read returned.
    pub first_read: Ns,
    /// When the last write of its response returned.
    pub end: Ns,
    /// Its time by state; sums to its latency.
    pub times: StateTimes,
    /// Services that it waited for; their times may overlap.
    pub called: Called,
    /// Where that time comes from, as far as it is known.
    pub parts: Parts,
    /// Waits for locks of the threads that worked on it, the first so many; they may begin before it does, and overlap.
    pub lock_waits: Vec<LockWait>,
    /// Bytes that were read.
    pub received: Bytes,
    /// Bytes that were written.
    pub sent: Bytes,
    /// A record was lost that may have been about it.
    pub touched_by_loss: bool,
    /// Its states one after the other, where the clock keeps them.
    pub path: Vec<Piece>,
    /// Threads by the number of their ownership, from 1, where the clock keeps paths; the first of them.
    pub owners: Vec<Tid>,
}

impl Request {
    /// Nanoseconds from its beginning to its end.
    pub fn latency(&self) -> u64 {
        self.end.since(self.start)
    }

    /// The thread that owned the request in a piece of its path, where one did.
    pub fn owner_of(&self, piece: &Piece) -> Option<Tid> {
        let place = usize::try_from(piece.ownership).ok()?.checked_sub(1)?;
        self.owners.get(place).copied()
    }

    /// It waited this long for an answer on a connection.
    pub(super) fn waited_on(&mut self, conn: ConnId, nanos: u64) {
        let known = self.called.iter().position(|(called, _)| *called == conn);
        let room = self.called.len() < MOST_CALLED;
        match known.or_else(|| self.called.len().checked_sub(1).filter(|_| !room)) {
            Some(at) => self.called[at].1 += nanos,
            None => self.called.push((conn, nanos)),
        }
    }
}

/// A request that is not finished.
#[derive(Debug)]
pub(super) struct Open {
    /// The request so far; its end and its times are not known yet.
    pub request: Request,
    pub timeline: Timeline,
    /// Thread that owns it, if one does.
    pub owner: Option<Tid>,
    /// Number of the ownership.
    pub epoch: u32,
    /// When the last owner let it go, or, while there is one, when that last touched it.
    pub released: Ns,
    /// Threads that were woken for it.
    pub handed_to: SmallVec<[Tid; 2]>,
    /// When the last write returned.
    pub last_write: Option<Ns>,
    /// Since when a full buffer holds the response up.
    pub send_blocked: Option<Ns>,
    /// Since when each called service owes an answer.
    pub calls: Vec<(ConnId, Ns)>,
    /// Its states are kept one after the other, too.
    keeps_path: bool,
}

impl Open {
    /// A request that `owner` has just read.
    pub fn new(request: Request, owner: Tid, keeps_path: bool) -> Self {
        Self {
            released: request.first_read,
            handed_to: SmallVec::new(),
            timeline: Timeline::new(request.start),
            request,
            owner: Some(owner),
            epoch: 1,
            last_write: None,
            send_blocked: None,
            calls: Vec::new(),
            keeps_path,
        }
    }

    /// Settles what lies before `until` when there are many claims on its time.
    pub fn compact(&mut self, until: Ns) {
        let (timeline, settled) = self.parts();
        timeline.compact(until, settled);
    }

    /// Its claims, and where they are settled.
    fn parts(&mut self) -> (&mut Timeline, Settled<'_>) {
        let request = &mut self.request;
        let path = self.keeps_path.then_some(&mut request.path);
        (&mut self.timeline, Settled { times: &mut request.times, parts: &mut request.parts, path })
    }

    /// Whether a part of the response has been written.
    pub fn responded(&self) -> bool {
        self.last_write.is_some()
    }

    /// A thread works on it from now on; returns the rank of what the thread does.
    pub fn own(&mut self, tid: Tid, at: Ns) -> Rank {
        self.released = at;
        if self.owner != Some(tid) {
            self.owner = Some(tid);
            self.epoch += 1;
            if !self.request.owners.is_empty() && self.request.owners.len() < MOST_OWNERS {
                self.request.owners.push(tid);
            }
            if !self.request.threads.contains(&tid) {
                self.request.threads.push(tid);
            }
        }
        Rank::Owner(self.epoch)
    }

    /// A thread's time goes to it.
    pub fn give(&mut self, stretches: &[Stretch], rank: Rank) {
        for stretch in stretches {
            self.timeline.claim_from(stretch.from, stretch.to, stretch.state, rank, stretch.origin);
        }
    }

    /// Since `ready` nothing kept a thread from going on with it but the lack of a CPU, as often as it had none.
    pub fn wait_for_cpu(&mut self, thread: &Thread, ready: Ns, at: Ns) {
        for (from, to) in thread.queued_since(ready) {
            self.timeline.claim(from.max(ready), to.min(at), State::RunQueue, Rank::Pending);
        }
    }

    /// The thread, if it is the owner, lets it go.
    pub fn release(&mut self, tid: Tid, at: Ns) {
        if self.owner == Some(tid) {
            self.owner = None;
            self.released = at;
        }
    }

    /// Adds the finished request to `done`; returns whether it was ever answered, and is not added otherwise.
    pub fn finish(mut self: Box<Self>, done: &mut Vec<Request>) -> bool {
        let Some(last_write) = self.last_write else { return false };
        let end = last_write.max(self.request.start);
        for (conn, since) in std::mem::take(&mut self.calls) {
            self.timeline.claim(since, end, State::Downstream, Rank::Pending);
            self.request.waited_on(conn, end.since(since));
        }
        self.request.end = end;
        let (timeline, settled) = self.parts();
        timeline.settle(end, settled);
        done.push(self.request);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// glibc keeps freed memory of up to so many bytes at hand for its thread (`TCACHE_MAX_BYTES`).
    #[test]
    fn an_open_request_is_small_enough_for_an_allocator_to_keep_its_memory_at_hand() {
        assert!(size_of::<Open>() <= 1_032, "{}", size_of::<Open>());
    }
}
