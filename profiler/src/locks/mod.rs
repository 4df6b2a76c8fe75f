//! Which locks requests waited for: how long, with how many others, and what the threads did meanwhile that held them.
//!
//! A pure table. Events tell what each thread waited in and who woke it; finished requests tell which of these waits were theirs. A
//! holder is the thread that woke a waiter. What it did while the other waited is known from its own intervals, since it got the lock
//! itself.

mod convoy;
mod futex;
mod history;
mod kernel;
mod key;
mod lock;
mod lock_type;
mod names;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use whywait_ebpf::{
    abi::{OffCpu, off_cpu},
    syscalls as call,
};

pub use history::Doing;
pub use kernel::{KernelLock, KernelLocks};
pub use key::{LockKey, Place};
pub use lock::{Holder, Lock, LockKind};
pub use lock_type::LockType;
pub use names::{LockName, LockNames, RUBYS};

use crate::{
    clock::{LockWait, Request, State, Wait, classify},
    decode::{Event, What},
    recent_map::RecentMap,
    units::{Ns, Pid, Tid},
};
use futex::FutexCall;
use history::{Asked, End, Held, History, Off, Waited};
use lock::LockId;

/// Locks that are told apart. A program with more has one for each thread or object, none of which matters.
const MOST_LOCKS: usize = 16_384;
/// Nanoseconds within which the end of a thread wakes those that wait for it.
const JUST_NOW: u64 = 2_000_000;
/// Nanoseconds for which the history of an ended thread is kept: its last request may end after it.
const KEPT: u64 = 2_000_000_000;

/// The locks of a run.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    ids: FxHashMap<LockKey, LockId>,
    table: Vec<Lock>,
    threads: RecentMap<Tid, History>,
    ended: VecDeque<(Ns, Tid)>,
    last_end: FxHashMap<Pid, Ns>,
    kernel: KernelLocks,
    request_ns: f64,
}

impl Locks {
    /// Takes an event.
    pub fn event(&mut self, event: &Event) {
        match &event.what {
            What::OffCpu(interval) => self.off_cpu(event.tid, event.pid, event.at, interval),
            What::ThreadEnd => {
                self.last_end.insert(event.pid, event.at);
                self.ended.push_back((event.at, event.tid));
                if let Some(history) = self.threads.get_mut(event.tid) {
                    history.ended = Some(event.at);
                }
            }
            What::Socket { .. } | What::Conn(_) | What::SockState(_) | What::Thread(_) | What::Stack(_) => {}
        }
        while let Some((at, tid)) = self.ended.front().copied()
            && event.at.since(at) > KEPT
        {
            self.ended.pop_front();
            if self.threads.get(tid).is_some_and(|history| history.ended == Some(at)) {
                self.threads.remove(tid);
            }
        }
    }

    fn off_cpu(&mut self, tid: Tid, pid: Pid, at: Ns, interval: &OffCpu) {
        let wait = classify(interval);
        if wait == Wait::State(State::KernelLock) {
            self.kernel.blocked(interval);
        }
        let left = Ns(interval.left);
        let ready = match (wait, interval.woken) {
            (Wait::Preempted, _) => left,
            (_, 0) => at,
            (_, woken) => Ns(woken).clamp(left, at),
        };
        let lock = matches!(wait, Wait::State(State::Lock) | Wait::Latch)
            .then(|| self.lock_of(pid, interval))
            .flatten();
        let waker = (interval.waker_tid != 0 && wait != Wait::Preempted).then_some(Tid(interval.waker_tid));
        let mut parked = false;
        if let Some(id) = lock {
            let by = waker.filter(|_| ends_wait(interval.syscall, interval.waker_syscall));
            let since = self.table[id.0].released_before(ready).max(left);
            let held = by.map(|by| self.held_by(by, id, since, ready));
            let waker_born = by.and_then(|by| self.threads.get(by)?.born);
            let ended =
                by.is_none() && self.last_end.get(&pid).is_some_and(|end| ready.since(*end) < JUST_NOW);
            let end = End::of(interval, by.is_some(), ended, ready.since(left));
            self.table[id.0].blocked(tid, by.is_some(), ready);
            parked = by.is_some() && self.table[id.0].parks_one();
            let waited = Waited {
                from: left,
                lock: id,
                waker: by,
                waker_born,
                born: self.threads.get(tid).and_then(|history| history.born),
                held,
                asked: by.map_or(Asked::Nothing, |by| self.asked(by, tid, ready)),
                end,
                mutex: FutexCall::of(interval).is_some_and(FutexCall::is_mutex),
            };
            self.history(tid).waits(waited);
        }
        let history = self.history(tid);
        if interval.flags & off_cpu::BORN != 0 {
            history.born = Some(left);
        }
        history.off(Off { left, ready, back: at, syscall: interval.syscall, lock, parked });
        if let Some(by) = waker {
            history.woken(by, lock, ready);
        }
    }

    /// What a thread had wanted from the one that woke it.
    fn asked(&self, waker: Tid, waiter: Tid, until: Ns) -> Asked {
        self.threads.get(waker).map_or(Asked::Nothing, |waker| waker.woken_last_by(waiter, until))
    }

    fn history(&mut self, tid: Tid) -> &mut History {
        let history = self.threads.get_or_insert_with(tid, History::default);
        history.ended = None;
        history
    }

    /// What a waker did while another thread waited, since it had the lock itself.
    fn held_by(&self, waker: Tid, lock: LockId, from: Ns, to: Ns) -> Held {
        self.threads.get(waker).map_or_else(
            || Held { doing: Doing::running(to.since(from)), had_waited: false },
            |history| history.held(lock, self.table[lock.0].parks_one(), from, to),
        )
    }

    /// The lock that a wait is for; `None` when there are too many already.
    fn lock_of(&mut self, pid: Pid, interval: &OffCpu) -> Option<LockId> {
        let key = LockKey::of(pid, interval);
        let known = self.ids.get(&key).copied().or_else(|| {
            // The two futexes of a glibc condition variable lie side by side.
            let others = key.beside(interval)?;
            let id = others.into_iter().find_map(|other| self.ids.get(&other).copied())?;
            self.table[id.0].is_also(key);
            Some(id)
        });
        if known.is_some() || self.table.len() >= MOST_LOCKS {
            return known;
        }
        let id = LockId(self.table.len());
        self.ids.insert(key, id);
        self.table.push(Lock::new(key, pid));
        Some(id)
    }

    /// Takes a finished request: which waits were its own. To be told before many more events, since waits are not kept for long.
    pub fn request(&mut self, request: &Request) {
        let time = request.times[State::Lock] as f64;
        self.request_ns += time;
        if request.lock_waits.is_empty() {
            return;
        }
        let length = |wait: &LockWait| wait.to.min(request.end).since(wait.from.max(request.start)) as f64;
        let known: Vec<(&LockWait, Waited)> = request
            .lock_waits
            .iter()
            .filter_map(|wait| Some((wait, self.threads.get(wait.tid)?.waited_from(wait.from)?)))
            .collect();
        let all: f64 = known.iter().map(|(wait, _)| length(wait)).sum();
        if all <= 0.0 {
            return;
        }
        // Waits of several threads may overlap, and a request counts each moment once.
        let scale = time / all;
        for (wait, waited) in known {
            self.table[waited.lock.0].add(wait, &waited, length(wait) * scale, request);
        }
    }

    /// Names the locks for which requests waited longest. Those that share a name that stands for one lock are one from then on: the
    /// parts of an interpreter lock, a file that several processes lock.
    pub fn name(&mut self, most: usize, mut name: impl FnMut(&Lock) -> Option<LockName>) {
        let mut first: FxHashMap<(LockKind, Option<Pid>, String), usize> = FxHashMap::default();
        for id in self.ranked().into_iter().take(most) {
            let Some(name) = name(&self.table[id]) else { continue };
            let text = name.text.clone();
            self.table[id].set_name(name);
            let lock = &self.table[id];
            let same = match lock.kind() {
                LockKind::Gil => (LockKind::Gil, lock.key().pid, String::new()),
                LockKind::File => (LockKind::File, None, text),
                _ => continue,
            };
            if let Some(first) = first.get(&same) {
                let part = self.table[id].take();
                self.table[*first].absorb(&part);
            } else {
                first.insert(same, id);
            }
        }
    }

    /// Locks that requests waited for, the longest waits first.
    fn ranked(&self) -> Vec<usize> {
        let mut ids: Vec<usize> = (0..self.table.len()).filter(|id| self.table[*id].waits() > 0).collect();
        ids.sort_by(|a, b| self.table[*b].request_ns().total_cmp(&self.table[*a].request_ns()));
        ids
    }

    /// The locks for which requests waited longest.
    pub(self) fn longest(&self, most: usize) -> impl Iterator<Item = &Lock> {
        self.ranked().into_iter().take(most).map(|id| &self.table[id])
    }

    /// Locks that requests waited for, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Lock> {
        self.table.iter().filter(|lock| lock.waits() > 0)
    }

    /// Nanoseconds that requests were in the state `lock`.
    pub fn request_ns(&self) -> f64 {
        self.request_ns
    }

    /// Kernel locks for which threads blocked, by the system call that met them.
    pub fn kernel(&self) -> &KernelLocks {
        &self.kernel
    }
}

/// Whether a waker in this system call ends a wait in that one on purpose, rather than by chance: an interrupt, a signal, a time-out.
fn ends_wait(waits_in: i32, waker_in: i32) -> bool {
    match waits_in {
        call::FUTEX | call::FUTEX_WAIT | call::FUTEX_WAITV => {
            matches!(waker_in, call::FUTEX | call::FUTEX_WAKE | call::EXIT | call::EXIT_GROUP)
        }
        call::FLOCK | call::FCNTL => {
            matches!(waker_in, call::FLOCK | call::FCNTL | call::CLOSE | call::EXIT | call::EXIT_GROUP)
        }
        call::SEMOP | call::SEMTIMEDOP => {
            matches!(waker_in, call::SEMOP | call::SEMTIMEDOP | call::SEMCTL | call::EXIT | call::EXIT_GROUP)
        }
        // A latch, which is one by how it was ended.
        _ => true,
    }
}
