//! The target's threads, as they are and as they were.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use whywait_ebpf::{
    abi::{OffCpu, off_cpu},
    syscalls as call,
};

use super::lanes::{Count, Lane, Share};
use crate::{
    clock::State,
    units::{Ns, Pid, Tid},
};

/// Threads that have a lane.
const MOST: usize = 256;
/// Of these, those that have ended and are kept.
const ENDED: usize = 64;

/// What a thread is for, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It accepts connections, and reads from none.
    Acceptor,
    /// It reads requests, and waits for events of many descriptors.
    Loop,
    /// It reads requests, one after the other.
    Worker,
    /// It works on requests that others have read.
    Helper,
    /// It has never worked for a request.
    Idle,
}

impl Role {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Acceptor => "acceptor",
            Self::Loop => "loop",
            Self::Worker => "worker",
            Self::Helper => "helper",
            Self::Idle => "idle",
        }
    }
}

/// A thread.
#[derive(Clone, Debug)]
pub struct ThreadView {
    /// The thread.
    pub tid: Tid,
    /// Its process.
    pub pid: Pid,
    /// Its name.
    pub name: Arc<str>,
    /// What it is for.
    pub role: Role,
    /// What it did.
    pub lane: Arc<Lane>,
    /// What it does now, and since when, where that is known.
    pub now: Option<(Share, Ns)>,
    /// System call that it was last blocked in; negative: none.
    pub syscall: i32,
    /// When it ended, if it has.
    pub ended: Option<Ns>,
    /// Requests that it has read.
    pub read: u64,
    /// Requests of others that it worked on.
    pub helped: u64,
    /// Nanoseconds on a CPU.
    pub on_cpu: u64,
    /// Nanoseconds on a run queue without one.
    pub run_queue: u64,
}

/// A thread as it is kept.
#[derive(Debug)]
pub(super) struct Thread {
    pub view: ThreadView,
    /// Since when it runs.
    pub running: Option<Ns>,
    /// When it was heard of last.
    pub heard: Ns,
    /// It accepts connections.
    pub accepts: bool,
    /// It waits for events of many descriptors.
    pub polls: bool,
}

impl Thread {
    fn new(tid: Tid, pid: Pid, at: Ns) -> Self {
        let view = ThreadView {
            tid,
            pid,
            name: Arc::from(""),
            role: Role::Idle,
            lane: Arc::default(),
            now: None,
            syscall: -1,
            ended: None,
            read: 0,
            helped: 0,
            on_cpu: 0,
            run_queue: 0,
        };
        Self { view, running: None, heard: at, accepts: false, polls: false }
    }

    /// It was off the CPU: fills its lane, and tells since when it had run.
    pub fn off_cpu(&mut self, began: Ns, at: Ns, interval: &OffCpu, share: Share, ready: Ns) -> Option<Ns> {
        let left = Ns(interval.left);
        let ran_since = self.running.filter(|since| *since < left);
        let lane = Arc::make_mut(&mut self.view.lane);
        if let Some(since) = ran_since {
            lane.fill(since.since(began), left.since(began), Some(State::OnCpu));
            self.view.on_cpu += left.since(since);
        }
        let voluntary = interval.flags & off_cpu::VOLUNTARY != 0;
        if interval.flags & (off_cpu::BORN | off_cpu::CLIPPED) == 0 {
            let how = if voluntary { Count::Voluntary } else { Count::Involuntary };
            lane.count(left.since(began), how);
            if voluntary && interval.woken != 0 {
                lane.count(ready.since(began), Count::Woken);
            }
        }
        lane.fill(left.since(began), ready.since(began), share);
        lane.fill(ready.since(began), at.since(began), Some(State::RunQueue));
        self.view.run_queue += at.since(ready);
        if voluntary {
            self.view.syscall = interval.syscall;
            self.accepts |= matches!(interval.syscall, call::ACCEPT | call::ACCEPT4);
            self.polls |= matches!(
                interval.syscall,
                call::EPOLL_WAIT
                    | call::EPOLL_PWAIT
                    | call::EPOLL_PWAIT2
                    | call::POLL
                    | call::PPOLL
                    | call::SELECT
                    | call::PSELECT6
                    | call::IO_URING_ENTER
            );
        }
        self.running = Some(at);
        self.heard = at;
        // What it does from now on is told when it is over, or when somebody looks.
        self.view.now = None;
        ran_since
    }

    /// It ended a wait of a thread of the target.
    pub fn woke(&mut self, began: Ns, at: Ns) {
        Arc::make_mut(&mut self.view.lane).count(at.since(began), Count::Woke);
    }

    /// The view, with a role.
    fn seen(&self) -> ThreadView {
        let role = match (self.view.read, self.view.helped) {
            (0, 0) if self.accepts => Role::Acceptor,
            (0, 0) => Role::Idle,
            (0, _) => Role::Helper,
            _ if self.polls => Role::Loop,
            _ => Role::Worker,
        };
        ThreadView { role, ..self.view.clone() }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Threads {
    by_tid: FxHashMap<Tid, Thread>,
    ended: Vec<ThreadView>,
    untold: u64,
}

impl Threads {
    /// A thread; `None` when there are too many.
    pub fn get(&mut self, tid: Tid, pid: Pid, at: Ns) -> Option<&mut Thread> {
        if !self.by_tid.contains_key(&tid) {
            if self.by_tid.len() >= MOST {
                self.untold += 1;
                return None;
            }
            self.by_tid.insert(tid, Thread::new(tid, pid, at));
        }
        self.by_tid.get_mut(&tid)
    }

    /// A thread that is known.
    pub fn known(&mut self, tid: Tid) -> Option<&mut Thread> {
        self.by_tid.get_mut(&tid)
    }

    /// It has ended.
    pub fn end(&mut self, tid: Tid, at: Ns) {
        if let Some(thread) = self.by_tid.remove(&tid) {
            if self.ended.len() == ENDED {
                self.ended.remove(0);
            }
            self.ended.push(ThreadView { ended: Some(at), now: None, ..thread.seen() });
        }
    }

    /// Threads of which nothing was heard since, at most so many.
    pub fn silent(&self, since: Ns, most: usize) -> Vec<(Pid, Tid)> {
        let silent = self.by_tid.values().filter(|thread| thread.heard < since);
        silent.take(most).map(|thread| (thread.view.pid, thread.view.tid)).collect()
    }

    /// All of them, by process and thread; those that have ended come last.
    pub fn views(&self) -> Vec<ThreadView> {
        let mut views: Vec<ThreadView> = self.by_tid.values().map(Thread::seen).collect();
        views.sort_by_key(|view| (view.pid, view.tid));
        views.extend(self.ended.iter().rev().cloned());
        views
    }

    /// Processes with a thread that has not ended, by their ids.
    pub fn processes(&self) -> Vec<Pid> {
        let mut pids: Vec<Pid> = self.by_tid.values().map(|thread| thread.view.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Threads that found no room so far.
    pub fn untold(&self) -> u64 {
        self.untold
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let lanes = self.by_tid.values().map(|thread| thread.view.lane.bytes());
        let ended = self.ended.iter().map(|view| view.lane.bytes());
        lanes.chain(ended).sum::<usize>()
            + self.by_tid.capacity() * size_of::<(Tid, Thread)>()
            + self.ended.capacity() * size_of::<ThreadView>()
    }
}
