//! A request that is kept whole, to be looked at.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    clock::{Request, RequestId, State},
    decode::Route,
    units::{Ns, Tid},
};

/// Steps of its threads that are kept of a request.
const STEPS: usize = 48;
/// Steps that are looked back through for a request.
const LOOK_BACK: usize = 8_192;
/// Requests in front of it that are named.
const AHEAD: usize = 4;

/// What a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The thread was off the CPU.
    Off {
        /// What it waited for; `None`: for something to do.
        state: Option<State>,
        /// System call that it was in; negative: none.
        syscall: i32,
        /// The call's first argument: a futex's address, a descriptor.
        object: u64,
        /// Thread of the target that woke it; 0: none.
        waker: Tid,
    },
    /// It read from a client.
    Read,
    /// It wrote to a client.
    Write,
    /// It called another service.
    Call,
    /// It read another service's answer.
    Answer,
}

/// Something that a thread did or waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The thread.
    pub tid: Tid,
    /// When it began.
    pub from: Ns,
    /// When what it waited for had come.
    pub ready: Ns,
    /// When it ran again.
    pub to: Ns,
    /// What it was.
    pub kind: Kind,
    /// The other end of the connection.
    pub peer: Option<Arc<str>>,
}

/// A request that the same thread worked on while this one waited to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Its name.
    pub id: RequestId,
    /// Its route.
    pub route: Option<Route>,
    /// The thread.
    pub tid: Tid,
    /// When it was read.
    pub from: Ns,
    /// When it was answered.
    pub to: Ns,
    /// Nanoseconds of that in which the thread was taken by it.
    pub busy: u64,
}

impl Ahead {
    /// Nanoseconds for which it kept another request from being read, at most.
    pub fn kept_waiting(&self, other: &Request) -> u64 {
        self.to.min(other.first_read).since(self.from.max(other.start)).min(self.busy)
    }
}

/// A request with what its threads did meanwhile.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The request.
    pub request: Request,
    /// What its threads did and waited for, by time.
    pub steps: Vec<Step>,
    /// Who was in front of it, longest first.
    pub ahead: Vec<Ahead>,
}

impl Kept {
    /// The request as it is.
    pub(super) fn plain(request: &Request) -> Self {
        Self { request: request.clone(), steps: Vec::new(), ahead: Vec::new() }
    }

    /// The request, with what is told of its time.
    pub(super) fn new(request: &Request, steps: &VecDeque<Step>, recent: &VecDeque<Ahead>) -> Self {
        let begin = request.start;
        let looked_at = steps.iter().rev().take(LOOK_BACK).take_while(|step| step.to >= begin);
        let own = looked_at.filter(|step| step.from <= request.end && request.threads.contains(&step.tid));
        let mut own: Vec<Step> = own.cloned().collect();
        own.reverse();
        own.truncate(STEPS);
        own.shrink_to_fit();
        let reader = request.threads.first();
        let overlap = |other: &Ahead| other.kept_waiting(request);
        let mut ahead: Vec<Ahead> = recent
            .iter()
            .filter(|other| Some(&other.tid) == reader && other.id != request.id && overlap(other) > 0)
            .cloned()
            .collect();
        ahead.sort_by_key(|other| std::cmp::Reverse(overlap(other)));
        ahead.truncate(AHEAD);
        ahead.shrink_to_fit();
        Self { request: request.clone(), steps: own, ahead }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.steps.capacity() * size_of::<Step>()
            + self.ahead.capacity() * size_of::<Ahead>()
            + self.request.path.capacity() * size_of::<crate::clock::Piece>()
            + self.request.owners.capacity() * size_of::<Tid>()
    }
}
