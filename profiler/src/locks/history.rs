//! What a thread did lately, as far as another one may have waited for it.

use std::collections::VecDeque;

use whywait_ebpf::{abi::OffCpu, syscalls as call};

use super::{futex::FutexCall, lock::LockId};
use crate::units::{Ns, Tid};

/// Intervals that are kept for a thread.
const MOST_OFF: usize = 64;
/// Wake-ups that are kept.
const MOST_WOKEN: usize = 8;
/// Waits for locks that are kept until the request ends that they belong to.
const MOST_WAITS: usize = 128;

/// An interval off the CPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Off {
    pub left: Ns,
    pub ready: Ns,
    pub back: Ns,
    pub syscall: i32,
    pub lock: Option<LockId>,
    /// It was parked in a place of its own, until another thread woke it.
    pub parked: bool,
}

/// A wait for a lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited {
    pub from: Ns,
    pub lock: LockId,
    /// Thread that ended it on purpose.
    pub waker: Option<Tid>,
    /// When that thread was created, as far as that was seen.
    pub waker_born: Option<Ns>,
    /// When the one that waits was created.
    pub born: Option<Ns>,
    /// What that thread did meanwhile.
    pub held: Option<Held>,
    /// What the waiter had wanted from that thread.
    pub asked: Asked,
    /// How it ended.
    pub end: End,
    /// It was for a mutex, by the arguments of the call.
    pub mutex: bool,
}

/// How a wait for a lock ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Another thread ended it on purpose.
    Woken,
    /// By the end of a thread.
    Joined,
    /// By nobody, after the time that a thread in `CPython` waits for the interpreter lock before it asks for it.
    SwitchInterval,
    /// By nobody that is known: a time-out, a signal, a thread that is no part of the target.
    Nobody,
}

/// `sys.getswitchinterval()`, unless a program sets another one.
const SWITCH_INTERVAL: u64 = 5_000_000;
/// A time-out is that much late, or, since the thread is on its way to sleep for a moment, early.
const EARLY: u64 = 100_000;
const LATE: u64 = 1_000_000;

impl End {
    /// Tells how a wait ended: whether somebody did it on purpose, and whether a thread of the process had just ended.
    pub fn of(interval: &OffCpu, woken: bool, thread_ended: bool, length: u64) -> Self {
        let exits =
            matches!(interval.waker_syscall, call::EXIT | call::EXIT_GROUP) && interval.waker_tid != 0;
        let futex = FutexCall::of(interval);
        // The kernel clears and wakes the futex of a thread that ends as one that processes share.
        if futex.is_some_and(FutexCall::is_shared) && (exits || !woken && thread_ended) {
            Self::Joined
        } else if woken {
            Self::Woken
        } else if futex.is_some_and(FutexCall::waits_for_bits)
            && (SWITCH_INTERVAL - EARLY..SWITCH_INTERVAL + LATE).contains(&length)
        {
            Self::SwitchInterval
        } else {
            Self::Nobody
        }
    }
}

/// What the holder of a lock did while another thread waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub doing: Doing,
    /// It had waited for the same lock itself.
    pub had_waited: bool,
}

/// What a thread did in a stretch of time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doing {
    /// On a CPU.
    pub on_cpu: u64,
    /// Ready to run, without a CPU.
    pub runnable: u64,
    /// Blocked.
    pub blocked: u64,
    /// Of that, the longest in one system call.
    pub longest: u64,
    /// That system call; negative for none.
    pub blocked_in: i32,
}

impl Doing {
    /// It was on a CPU all the time.
    pub fn running(nanos: u64) -> Self {
        Self { on_cpu: nanos, blocked_in: -1, ..Self::default() }
    }

    /// It had something to compute, with or without a CPU, for most of the time.
    pub fn runs(&self) -> bool {
        self.on_cpu + self.runnable > self.blocked
    }

    /// Nanoseconds in all.
    pub fn total(&self) -> u64 {
        self.on_cpu + self.runnable + self.blocked
    }

    /// Adds another stretch.
    pub fn add(&mut self, other: &Self) {
        self.on_cpu += other.on_cpu;
        self.runnable += other.runnable;
        self.blocked += other.blocked;
        if self.blocked_in == other.blocked_in {
            self.longest += other.longest;
        } else if other.longest > self.longest {
            (self.longest, self.blocked_in) = (other.longest, other.blocked_in);
        }
    }
}

/// What a waiter had wanted from the thread that woke it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing that is known.
    Nothing,
    /// It had woken it at this time, perhaps from a wait for a lock.
    At(Ns, Option<LockId>),
}

/// A thread that this one was woken by.
#[derive(Clone, Copy, Debug)]
struct Woken {
    by: Tid,
    lock: Option<LockId>,
    at: Ns,
}

/// What a thread did lately.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// When it was created, as far as that was seen.
    pub born: Option<Ns>,
    /// When it ended.
    pub ended: Option<Ns>,
    offs: VecDeque<Off>,
    woken: VecDeque<Woken>,
    waits: VecDeque<Waited>,
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(item);
}

impl History {
    pub fn off(&mut self, off: Off) {
        push(&mut self.offs, off, MOST_OFF);
    }

    pub fn woken(&mut self, by: Tid, lock: Option<LockId>, at: Ns) {
        push(&mut self.woken, Woken { by, lock, at }, MOST_WOKEN);
    }

    pub fn waits(&mut self, waited: Waited) {
        push(&mut self.waits, waited, MOST_WAITS);
    }

    /// The wait that began at a time.
    pub fn waited_from(&self, from: Ns) -> Option<Waited> {
        self.waits.binary_search_by_key(&from, |waited| waited.from).ok().map(|at| self.waits[at])
    }

    /// How a thread woke it last before a moment.
    pub fn woken_last_by(&self, by: Tid, until: Ns) -> Asked {
        let last = self.woken.iter().rev().find(|woken| woken.by == by && woken.at <= until);
        last.map_or(Asked::Nothing, |woken| Asked::At(woken.at, woken.lock))
    }

    /// What it did from `from` to `to`, since it got the lock itself. Where each thread is parked in a place of its own, it got the lock, if it had
    /// to wait for it, when it was last woken there.
    pub fn held(&self, lock: LockId, parks: bool, from: Ns, to: Ns) -> Held {
        let before = self.offs.iter().rev().skip_while(|off| off.back > to);
        let own = before.clone().find(|off| off.lock == Some(lock));
        let known = if self.offs.len() == MOST_OFF { self.offs[0].left } else { Ns(0) };
        let got = own.or_else(|| before.clone().find(|off| parks && off.parked));
        let from = got.map_or(from, |got| got.back.max(from)).max(known).min(to);
        let mut doing = Doing::running(0);
        for off in before.take_while(|off| off.back > from) {
            let runnable = off.back.since(off.ready.max(from));
            let blocked = off.ready.since(off.left.max(from));
            doing.add(&Doing { on_cpu: 0, runnable, blocked, longest: blocked, blocked_in: off.syscall });
        }
        doing.on_cpu = to.since(from).saturating_sub(doing.runnable + doing.blocked);
        Held { doing, had_waited: own.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOCK: LockId = LockId(3);

    fn off(left: u64, ready: u64, back: u64, syscall: i32, lock: Option<LockId>) -> Off {
        Off { left: Ns(left), ready: Ns(ready), back: Ns(back), syscall, lock, parked: lock.is_some() }
    }

    /// Its own wait for the lock is no part of what it did while it held it.
    #[test]
    fn a_holder_is_looked_at_since_it_got_the_lock() {
        let mut history = History::default();
        history.off(off(100, 500, 520, call::FUTEX, Some(LOCK)));
        history.off(off(600, 800, 810, call::CLOCK_NANOSLEEP, None));
        let held = history.held(LOCK, false, Ns(50), Ns(900));
        assert!(held.had_waited);
        assert_eq!((held.doing.on_cpu, held.doing.runnable, held.doing.blocked), (170, 10, 200));
        assert_eq!(held.doing.blocked_in, call::CLOCK_NANOSLEEP);
        assert_eq!(history.held(LOCK, false, Ns(700), Ns(900)).doing.blocked, 100);
    }

    /// A lock that parks each of its waiters elsewhere is held since the holder was woken in its own place.
    #[test]
    fn a_holder_that_was_parked_itself_is_looked_at_since_then() {
        let mut history = History::default();
        history.off(off(100, 500, 520, call::FUTEX, Some(LockId(7))));
        let held = history.held(LOCK, true, Ns(50), Ns(900));
        assert_eq!((held.doing.on_cpu, held.doing.blocked, held.had_waited), (380, 0, false));
        assert_eq!(history.held(LOCK, false, Ns(50), Ns(900)).doing.blocked, 400);
    }

    proptest! {
        /// Whatever a thread did, it sums to the time that was asked about, or to less where that is not known any more.
        #[test]
        fn what_a_holder_did_sums_to_the_time(
            steps in proptest::collection::vec((1_u64..50, 0_u64..50, 0_u64..50, any::<bool>()), 0..100),
            from in 0_u64..3_000,
            length in 0_u64..3_000,
        ) {
            let mut history = History::default();
            let mut at = 0;
            for (ran, blocked, queued, lock) in &steps {
                let left = at + ran;
                at = left + blocked + queued;
                history.off(off(left, left + blocked, at, 1, lock.then_some(LOCK)));
            }
            let held = history.held(LOCK, false, Ns(from), Ns(from + length));
            prop_assert!(held.doing.total() <= length);
            prop_assert!(held.doing.longest <= held.doing.blocked);
            if !held.had_waited && steps.len() < MOST_OFF {
                prop_assert_eq!(held.doing.total(), length);
            }
        }
    }
}
