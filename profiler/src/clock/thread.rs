//! What the clock keeps for a thread.

use std::{cmp::Reverse, collections::VecDeque};

use super::{
    hold::{Hold, SHORTEST},
    lock_wait::{LockWait, MOST_LOCK_WAITS},
    origin::{Origin, WaitPlace},
    request::{Open, RequestId},
    state::State,
    timeline::Rank,
};
use crate::{
    decode::StackId,
    units::{Ns, Pid, Tid},
};

/// A stretch of a thread's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub from: Ns,
    pub to: Ns,
    pub state: State,
    pub origin: Option<Origin>,
}

/// A timer for which a thread has waited, as the time-out of its last idle wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    /// When the wait ended by it, or would have.
    pub due: Ns,
    /// The wait did end by it.
    pub fired: bool,
}

/// A request that another thread handed over by waking this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handed {
    pub request: RequestId,
    /// How many hand-overs there were since it was owned.
    pub depth: u32,
}

/// Where a thread waits: the system call and its first argument, which is a futex's address, a descriptor, or a set of semaphores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub syscall: i32,
    pub object: u64,
}

impl Place {
    /// Whether both are the same.
    pub fn is(self, other: Self) -> bool {
        self.syscall == other.syscall && is_one_place(self.object, other.object)
    }
}

/// Whether threads that wait at these addresses wait for the same: the two futexes, four bytes apart, between which glibc's condition
/// variables alternate are one.
pub fn is_one_place(address: u64, other: u64) -> bool {
    address.abs_diff(other) <= 4
}

/// Ownerships that are kept, for wake-ups that are told when the woken thread runs.
const HISTORY: usize = 32;
/// Run-queue waits that are kept, for requests that wait for this thread.
const RUN_QUEUE: usize = 64;
/// Stretches without a boundary after which the older ones are given away or dropped.
pub(super) const MOST_PENDING: usize = 512;

/// State of a thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub pid: Pid,
    /// When it was created; 0 where that was never told. With its id it names one thread for good.
    pub start_time: u64,
    /// Since when it runs; `None` while it is off the CPU or nothing is known.
    pub running: Option<Ns>,
    /// What it did since its last boundary.
    pub pending: Vec<Stretch>,
    /// Waits for locks among these.
    pub lock_waits: Vec<LockWait>,
    /// Beginning of what may belong to another request: what lies before is a wait after a response.
    pub mark: usize,
    /// Request that it owns, finished or not.
    pub owner: Option<RequestId>,
    /// Request that it was handed.
    pub handed: Option<Handed>,
    /// When its last idle wait ended, until it does something.
    pub idle: Option<Ns>,
    /// Where it last waited for something to do, other than for events of descriptors.
    pub idle_place: Option<Place>,
    /// The timer of its last idle wait.
    pub timer: Option<Timer>,
    /// When it last came back from waiting in `accept`.
    pub accepted: Option<Ns>,
    /// Since when it has done what it does, without a wait for something to do.
    pub held_since: Option<Ns>,
    /// Its last stack off the CPU, and when it left with it.
    pub stack: Option<(Ns, StackId)>,
    history: VecDeque<(Ns, Option<RequestId>)>,
    run_queue: VecDeque<(Ns, Ns)>,
}

impl Thread {
    pub fn new(pid: Pid) -> Self {
        Self {
            pid,
            start_time: 0,
            running: None,
            pending: Vec::new(),
            lock_waits: Vec::new(),
            mark: 0,
            owner: None,
            handed: None,
            idle: None,
            idle_place: None,
            timer: None,
            accepted: None,
            held_since: None,
            stack: None,
            history: VecDeque::new(),
            run_queue: VecDeque::new(),
        }
    }

    /// Whether this is another thread than the one that the record is about, which has the same id.
    pub fn is_other(&self, record: &whywait_ebpf::abi::Thread) -> bool {
        self.start_time != 0 && self.start_time != record.start_time
    }

    /// Accounts for the time on the CPU up to `at`.
    pub fn run_to(&mut self, at: Ns) {
        self.run(at, None);
    }

    /// A sample of what it does on the CPU: its time up to `at` is a stretch of its own.
    pub fn sampled(&mut self, at: Ns, stack: Option<StackId>) {
        let place = WaitPlace { pid: self.pid, syscall: -1, futex: 0 };
        self.run(at, Some(Origin { place, stack }));
    }

    fn run(&mut self, at: Ns, origin: Option<Origin>) {
        if let Some(since) = self.running
            && at > since
        {
            self.pending.push(Stretch { from: since, to: at, state: State::OnCpu, origin });
            self.running = Some(at);
        }
    }

    /// Accounts for a wait for a CPU.
    pub fn queued(&mut self, from: Ns, to: Ns) {
        if to <= from {
            return;
        }
        self.pending.push(Stretch { from, to, state: State::RunQueue, origin: None });
        if self.run_queue.len() == RUN_QUEUE {
            self.run_queue.pop_front();
        }
        self.run_queue.push_back((from, to));
    }

    /// The last `nanos` of its time on the CPU were spent spinning for kernel locks.
    pub fn spun(&mut self, mut nanos: u64) {
        let mut spun = Vec::new();
        for stretch in self.pending.iter_mut().rev().filter(|stretch| stretch.state == State::OnCpu) {
            let part = nanos.min(stretch.to.since(stretch.from));
            let begin = Ns(stretch.to.0 - part);
            spun.push(Stretch { from: begin, to: stretch.to, state: State::KernelLock, origin: None });
            stretch.to = begin;
            nanos -= part;
            if nanos == 0 {
                break;
            }
        }
        self.pending.extend(spun);
    }

    /// Its waits for a CPU that end after `since`.
    pub fn queued_since(&self, since: Ns) -> impl Iterator<Item = (Ns, Ns)> + '_ {
        // They end in order: most requests begin after all of them.
        let first = self.run_queue.partition_point(|(_, to)| *to <= since);
        self.run_queue.range(first..).copied()
    }

    /// How much its work for a request is believed.
    pub fn rank_for(&self, tid: Tid, request: &Open) -> Rank {
        if request.owner == Some(tid) {
            return Rank::Owner(request.epoch);
        }
        let handed = self.handed.filter(|handed| handed.request == request.request.id);
        Rank::Handed(Reverse(handed.map_or(0, |handed| handed.depth)))
    }

    /// Gives what it did since its last boundary to a request.
    pub fn give_pending(&mut self, request: &mut Open, rank: Rank) {
        request.give(&self.pending, rank);
        self.give_lock_waits(&mut request.request.lock_waits);
        self.drop_pending();
    }

    /// Forgets what it did since its last boundary.
    pub fn drop_pending(&mut self) {
        self.mark = 0;
        self.pending.clear();
        self.lock_waits.clear();
    }

    /// Forgets what it did before the mark.
    pub fn drop_before_mark(&mut self) {
        let mark = std::mem::take(&mut self.mark).min(self.pending.len());
        if mark == 0 {
            return;
        }
        self.pending.drain(..mark);
        let since = self.pending.first().map_or(Ns(u64::MAX), |first| first.from);
        self.lock_waits.retain(|wait| wait.from >= since);
    }

    /// Notes a wait for a lock that its request may have had.
    pub fn waited_for_lock(&mut self, wait: LockWait) {
        if self.lock_waits.len() < MOST_LOCK_WAITS {
            self.lock_waits.push(wait);
        }
    }

    /// Gives its waits for locks away.
    pub fn give_lock_waits(&mut self, to: &mut Vec<LockWait>) {
        if self.lock_waits.is_empty() {
            return;
        }
        let room = MOST_LOCK_WAITS.saturating_sub(to.len());
        to.extend(self.lock_waits.drain(..).take(room));
    }

    /// It owns this request from `at` on; returns the hold that ends with it, if that was long.
    pub fn owns(&mut self, tid: Tid, at: Ns, request: RequestId) -> Option<Hold> {
        let before = self.owner.replace(request);
        self.handed = None;
        self.idle = None;
        self.works_for(at, Some(request));
        if before == Some(request) {
            return None;
        }
        self.goes_on(tid, at, before)
    }

    /// It is done with what it did since its last hold ended, and goes on to something else.
    pub fn goes_on(&mut self, tid: Tid, at: Ns, request: Option<RequestId>) -> Option<Hold> {
        let from = self.held_since.replace(at)?;
        let long = at.since(from) >= SHORTEST;
        long.then_some(Hold { tid, pid: self.pid, from, to: at, request })
    }

    /// Notes which request it works for from `at` on.
    pub fn works_for(&mut self, at: Ns, request: Option<RequestId>) {
        if self.history.back().map(|(_, last)| *last) == Some(request) {
            return;
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((at, request));
    }

    /// Request that it worked for at a time.
    pub fn worked_for(&self, at: Ns) -> Option<RequestId> {
        self.history.iter().rev().find(|(since, _)| *since <= at).and_then(|(_, request)| *request)
    }
}
