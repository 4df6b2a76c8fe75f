//! What is kept of threads, connections and processes.

use smallvec::SmallVec;

use super::wait::Wait;
use crate::{
    clock::is_one_place,
    decode::ConnId,
    units::{Ns, Pid, Tid},
};

/// Places in which a thread waited for another one, that are told apart.
const PLACES: usize = 8;
/// Ports of a process that are told apart.
const PORTS: usize = 8;

/// Where a thread waits for another one: the first argument of the call, which is a futex's address or a set of semaphores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The argument.
    pub object: u64,
    /// Waits there.
    pub count: u64,
    /// Nanoseconds of them.
    pub ns: u64,
}

/// Someone who woke a thread.
pub(super) type Wakers = SmallVec<[(Tid, u64); 4]>;

/// A thread.
#[derive(Clone, Debug)]
pub(super) struct ThreadFacts {
    pub tid: Tid,
    pub pid: Pid,
    /// Its name, and nothing where it was never told.
    pub name: String,
    /// When it was created, as far as the kernel told.
    pub start_time: u64,
    /// It was born in the window.
    pub born: bool,
    /// When it was first seen.
    pub first: Ns,
    /// When it ended.
    pub ended: Option<Ns>,
    /// Turns that it began, by reading a request.
    pub reads: u64,
    /// Turns that it ended, by beginning the answer.
    pub answers: u64,
    /// Of its answers, those to what another thread had read.
    pub split: u64,
    /// Times that it read a connection which another thread, or none, had read before.
    pub conns: u64,
    /// Of these, those that were accepted in the window.
    pub fresh: u64,
    /// Turns that it began and nobody has ended.
    pub open: u32,
    /// Connections that are open and that it was the last to read.
    pub holds: u32,
    /// Reads of a request while another one was open.
    pub interleaved: u64,
    /// Reads of a request on another connection than the last while that was open.
    pub alternates: u64,
    /// Connection that it read last.
    pub last_conn: Option<ConnId>,
    /// What it waited in since it last read or answered a request.
    pub waited: Option<Wait>,
    /// By what wait it came to the requests that it read, or answered for another.
    pub came: [u64; Wait::COUNT],
    /// Times that it came to one without a wait.
    pub came_busy: u64,
    /// Waits by kind.
    pub waits: [u64; Wait::COUNT],
    /// Nanoseconds of them.
    pub waits_ns: [u64; Wait::COUNT],
    /// Nanoseconds of waits by kind in which it had no request in hand.
    pub idle: [u64; Wait::COUNT],
    /// Waits for events of several descriptors while it held a connection.
    pub polls: u64,
    /// Connections that it accepted.
    pub accepted: u64,
    /// Wake-ups out of nowhere after which it did nothing.
    pub useless: u64,
    /// It was woken from outside, and has done nothing since.
    pub idle_turn: bool,
    /// Threads of its process that it woke by futex while it had a request in hand.
    pub handed_out: u64,
    /// Times that it was woken by a thread that had a request in hand.
    pub handed: u64,
    /// Times that a thread of its process made a descriptor readable for it while it had a request in hand.
    pub returns: u64,
    /// When that last happened.
    pub last_return: Ns,
    /// Answers to requests that it had read before such a return.
    pub via_pool: u64,
    /// Who woke it from waits for another thread.
    pub wakers: Wakers,
    /// Where it waited for another thread.
    pub places: SmallVec<[Place; 2]>,
}

impl ThreadFacts {
    pub fn new(tid: Tid, pid: Pid, first: Ns) -> Self {
        Self {
            tid,
            pid,
            name: String::new(),
            start_time: 0,
            born: false,
            first,
            ended: None,
            reads: 0,
            answers: 0,
            split: 0,
            conns: 0,
            fresh: 0,
            open: 0,
            holds: 0,
            interleaved: 0,
            alternates: 0,
            last_conn: None,
            waited: None,
            came: [0; Wait::COUNT],
            came_busy: 0,
            waits: [0; Wait::COUNT],
            waits_ns: [0; Wait::COUNT],
            idle: [0; Wait::COUNT],
            polls: 0,
            accepted: 0,
            useless: 0,
            idle_turn: false,
            handed_out: 0,
            handed: 0,
            returns: 0,
            last_return: Ns(0),
            via_pool: 0,
            wakers: Wakers::new(),
            places: SmallVec::new(),
        }
    }

    /// It comes to a request.
    pub fn comes(&mut self) {
        match self.waited.take() {
            Some(wait) => self.came[wait as usize] += 1,
            None => self.came_busy += 1,
        }
    }

    /// Whether it touched a request.
    pub fn serves(&self) -> bool {
        self.reads + self.answers > 0
    }

    /// Requests that it came to by waits of this kind.
    pub fn came_by(&self, wait: Wait) -> u64 {
        self.came[wait as usize]
    }

    /// Waits for events of several descriptors.
    pub fn many_waits(&self) -> u64 {
        [Wait::Epoll, Wait::Poll, Wait::Select].into_iter().map(|wait| self.waits[wait as usize]).sum()
    }

    /// Whether it waits, or may wait, for connections and for no other thread.
    pub fn may_accept(&self) -> bool {
        self.accepted > 0
            || [Wait::Epoll, Wait::Poll, Wait::Select, Wait::One, Wait::Accept]
                .into_iter()
                .any(|wait| self.waits[wait as usize] > 0)
    }

    /// Notes where it waited for another thread.
    pub fn waits_at(&mut self, object: u64, ns: u64) {
        if let Some(place) = self.places.iter_mut().find(|place| is_one_place(place.object, object)) {
            place.count += 1;
            place.ns += ns;
        } else if self.places.len() < PLACES {
            self.places.push(Place { object, count: 1, ns });
        }
    }

    /// Notes who woke it from a wait for another thread.
    pub fn woken_by(&mut self, waker: Tid) {
        if let Some((_, count)) = self.wakers.iter_mut().find(|(tid, _)| *tid == waker) {
            *count += 1;
        } else if self.wakers.len() < PLACES {
            self.wakers.push((waker, 1));
        }
    }

    /// Where it spends most of its waits for other threads.
    pub fn usual_place(&self) -> Option<Place> {
        self.places.iter().copied().max_by_key(|place| place.ns)
    }

    /// Its name without digits: what the members of a pool have in common.
    pub fn kind(&self) -> String {
        self.name.chars().filter(|letter| !letter.is_ascii_digit()).collect()
    }
}

/// A connection of a client.
#[derive(Clone, Debug)]
pub(super) struct ConnFacts {
    pub sock: u64,
    pub port: u16,
    /// Who accepted it, where that was seen.
    pub acceptor: Option<(Tid, Pid)>,
    /// The thread that read it last.
    pub holder: Option<(Tid, Pid)>,
    /// The thread that began the turn that is under way.
    pub reader: Option<Tid>,
    /// When that thread read it.
    pub read_at: Ns,
    /// When the request of the last turn arrived.
    pub arrival: Ns,
    /// When the last part of its answer was written.
    pub last_send: Option<Ns>,
    /// Turns so far.
    pub turns: u32,
}

/// A process.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessFacts {
    pub pid: Pid,
    /// Process that created it, where that was seen.
    pub parent: Option<Pid>,
    /// It was born in the window.
    pub born: bool,
    /// Turns that its threads began.
    pub turns: u64,
    /// Turns that its threads ended.
    pub answered: u64,
    /// Of these, those that a thread of another process had begun.
    pub from_elsewhere: u64,
    /// Of the answered, those begun by another thread than ended them.
    pub split: u64,
    /// Of the answered, those ended by a thread that was born in the window.
    pub by_born: u64,
    /// Threads born in the window that answered something.
    pub serving_births: u64,
    /// Connections that its threads read for the first time.
    pub conns: u64,
    /// Of these, those that a thread of another process had accepted.
    pub passed: u64,
    /// Turns on a connection that had one before.
    pub kept: u64,
    /// Of these, those that another thread began than the one before.
    pub changed: u64,
    /// Of these, those that another process began.
    pub changed_process: u64,
    /// Connections that its threads accepted.
    pub accepted: u64,
    /// Turns by local port.
    pub ports: SmallVec<[(u16, u64); 2]>,
    /// Processes that were born of it in the window.
    pub children: u64,
    /// Nanoseconds that its requests took.
    pub request_ns: u64,
    /// Nanoseconds in which it had a request in hand, and since when it has.
    pub busy_ns: u64,
    pub busy_since: Option<Ns>,
    pub in_hand: u32,
}

impl ProcessFacts {
    /// The port on which it serves most.
    pub fn port(&self) -> u16 {
        self.ports.iter().max_by_key(|(_, turns)| *turns).map_or(0, |(port, _)| *port)
    }

    /// A turn began on a port.
    pub fn reads_on(&mut self, port: u16) {
        if let Some((_, turns)) = self.ports.iter_mut().find(|(known, _)| *known == port) {
            *turns += 1;
        } else if self.ports.len() < PORTS {
            self.ports.push((port, 1));
        }
    }

    /// One of its threads has begun a turn.
    pub fn takes(&mut self, at: Ns) {
        self.in_hand += 1;
        self.busy_since.get_or_insert(at);
    }

    /// A turn of one of its threads is over.
    pub fn gives(&mut self, at: Ns) {
        self.in_hand = self.in_hand.saturating_sub(1);
        if self.in_hand == 0
            && let Some(since) = self.busy_since.take()
        {
            self.busy_ns += at.since(since);
        }
    }
}
