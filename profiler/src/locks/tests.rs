//! What small histories of threads, wakers and requests say about a lock.

use std::collections::HashMap;

use proptest::prelude::*;
use whywait_ebpf::{
    abi::{OffCpu, kernel_lock, off_cpu, task_state},
    syscalls as call,
};

use super::*;
use crate::{
    clock::{InHand, LockWait, RequestId},
    decode::Route,
    explain::testing::request,
    probe::{KernelLockWaits, LockWaits},
};

/// `FUTEX_WAIT_PRIVATE` for a contended mutex, `FUTEX_WAIT_BITSET_PRIVATE` for a condition variable, and a shared wait for a thread.
const MUTEX: [u64; 2] = [128, 2];
const CONDITION: [u64; 2] = [137, 0];
const THREAD: [u64; 2] = [265, 77];

#[derive(Default)]
struct Story {
    locks: Locks,
    requests: u64,
}

impl Story {
    fn event(&mut self, at: u64, tid: u32, what: What) {
        let (at, tid) = (Ns(at), Tid(tid));
        self.locks.event(&Event { at, tid, pid: Pid(1), seq: 0, missing: 0, cpu: 0, spun: 0, what });
    }

    /// A thread was blocked in a call from `left` to `woken`, and ran at once.
    fn blocked(
        &mut self,
        tid: u32,
        syscall: i32,
        args: [u64; 3],
        left: u64,
        woken: u64,
        waker: Option<(u32, i32)>,
    ) {
        let (waker_tid, waker_syscall) = waker.unwrap_or((0, -1));
        let interval = OffCpu {
            left,
            woken,
            args,
            timeout: -1,
            syscall,
            waker_tid,
            waker_syscall,
            flags: off_cpu::VOLUNTARY,
            state: task_state::INTERRUPTIBLE,
            ..OffCpu::default()
        };
        self.event(woken, tid, What::OffCpu(interval));
    }

    /// A thread waited on a futex until another one woke it.
    fn waits(&mut self, tid: u32, address: u64, [op, value]: [u64; 2], left: u64, woken: u64, waker: u32) {
        self.blocked(tid, call::FUTEX, [address, op, value], left, woken, Some((waker, call::FUTEX)));
    }

    /// A request ended that began at `start`, and had waits: thread, beginning, end, and the request that the waker owned.
    fn request(&mut self, start: u64, end: u64, waits: &[(u32, u64, u64, Option<u64>)]) {
        self.requests += 1;
        let mut request = request(self.requests, Ns(start), end - start);
        let waited: u64 = waits.iter().map(|(_, from, to, _)| to - from).sum();
        request.times[State::Lock] = waited;
        request.times[State::OnCpu] = (end - start).saturating_sub(waited);
        request.lock_waits = waits
            .iter()
            .map(|(tid, from, to, has)| LockWait {
                tid: Tid(*tid),
                from: Ns(*from),
                to: Ns(*to),
                waker_has: has.map(|id| InHand {
                    request: RequestId(id),
                    owned: true,
                    route: Some(Route::from("GET /slow")),
                }),
            })
            .collect();
        self.locks.request(&request);
    }

    fn only(&self) -> &Lock {
        let mut locks = self.locks.iter();
        let lock = locks.next().unwrap();
        assert!(locks.next().is_none());
        lock
    }
}

/// Three threads in a row: each is told as holder from when it got the mutex, and what it slept in.
#[test]
fn holders_of_a_mutex_are_found_with_what_they_did() {
    let mut story = Story::default();
    story.blocked(10, call::CLOCK_NANOSLEEP, [0; 3], 1_100, 1_900, None);
    story.waits(11, 64, MUTEX, 1_000, 2_000, 10);
    story.blocked(11, call::CLOCK_NANOSLEEP, [0; 3], 2_100, 2_900, None);
    story.waits(12, 64, MUTEX, 1_200, 3_000, 11);
    story.request(900, 2_500, &[(11, 1_000, 2_000, Some(90))]);
    story.request(900, 3_500, &[(12, 1_200, 3_000, Some(91))]);
    let lock = story.only();
    assert_eq!(lock.kind(), LockKind::Exclusion);
    assert_eq!((lock.waits(), lock.waited_ns(), lock.worst_ns()), (2, 2_800, 1_800));
    assert_eq!((lock.waiters(), lock.at_once()), (2, 2));
    let holders = lock.holders();
    assert_eq!(holders.iter().map(|(tid, _)| tid.0).collect::<Vec<_>>(), [10, 11]);
    for (_, holder) in &holders {
        assert_eq!((holder.woke, holder.doing.blocked, holder.doing.on_cpu), (1, 800, 200));
        assert_eq!(holder.doing.blocked_in, call::CLOCK_NANOSLEEP);
        assert_eq!(holder.routes[0].0, Route::from("GET /slow"));
    }
}

/// A thread that took the lock without a wait held it, at the earliest, since the one before let it go: what it did before is none of
/// the lock's.
#[test]
fn a_holder_that_did_not_wait_held_it_since_it_was_let_go() {
    let mut story = Story::default();
    story.blocked(12, call::EPOLL_WAIT, [0; 3], 500, 1_500, None);
    story.waits(11, 64, MUTEX, 900, 2_000, 10);
    story.waits(13, 64, MUTEX, 950, 2_600, 12);
    story.request(900, 2_700, &[(13, 950, 2_600, None)]);
    let held = story.only().held();
    assert_eq!((held.doing.on_cpu, held.doing.blocked), (600, 0));
}

/// The request's thread wakes another one from its queue, and waits for it elsewhere: that is a result, not a lock.
#[test]
fn the_result_of_another_thread_is_work() {
    let mut story = Story::default();
    for round in 0..4_u64 {
        let at = round * 10_000;
        story.waits(20, 640, CONDITION, at, at + 2_000, 11);
        story.waits(11, 64, CONDITION, at + 2_100, at + 5_000, 20);
        story.request(at + 1_000, at + 6_000, &[(11, at + 2_100, at + 5_000, None)]);
    }
    let lock = story.only();
    assert_eq!(lock.kind(), LockKind::Work);
    assert_eq!(lock.key().place, Place::Futex(64));
}

/// The same between threads that wake each other from the same place, or that serve requests of their own: a lock, though made of a
/// condition variable.
#[test]
fn a_lock_made_of_a_condition_variable_is_a_lock() {
    for owned in [None, Some(900)] {
        let mut story = Story::default();
        for round in 0..4_u64 {
            let at = round * 10_000;
            let other = if owned.is_some() { 640 } else { 64 };
            story.waits(20, other, CONDITION, at, at + 2_000, 11);
            story.waits(11, 64, CONDITION, at + 2_100, at + 5_000, 20);
            story.request(at + 1_000, at + 6_000, &[(11, at + 2_100, at + 5_000, owned)]);
        }
        assert_eq!(story.only().kind(), LockKind::Exclusion);
    }
}

/// The futex of a thread's end is cleared by the kernel; the thread that did it may be known or not.
#[test]
fn the_end_of_a_thread_is_a_join() {
    for known in [true, false] {
        let mut story = Story::default();
        story.event(4_900, 77, What::ThreadEnd);
        let waker = known.then_some((77, call::EXIT));
        story.blocked(11, call::FUTEX, [64, THREAD[0], THREAD[1]], 1_000, 5_000, waker);
        story.request(900, 6_000, &[(11, 1_000, 5_000, None)]);
        assert_eq!(story.only().kind(), LockKind::Join);
    }
}

/// A thread that is made for a request tells its maker that it is done by what its library likes; one that serves another request holds a lock.
#[test]
fn a_thread_that_was_made_for_the_request_is_waited_for_like_its_end() {
    for (owned, kind) in [(None, LockKind::Join), (Some(900), LockKind::Exclusion)] {
        let mut story = Story::default();
        for round in 0..4_u64 {
            let at = round * 10_000;
            let born =
                OffCpu { left: at + 1_500, woken: at + 1_600, flags: off_cpu::BORN, ..OffCpu::default() };
            story.event(at + 1_600, 77, What::OffCpu(born));
            story.waits(11, 64, CONDITION, at + 2_000, at + 5_000, 77);
            story.request(at + 1_000, at + 6_000, &[(11, at + 2_000, at + 5_000, owned)]);
        }
        assert_eq!(story.only().kind(), kind);
    }
}

/// glibc's condition variables alternate between two futexes; two mutexes side by side are two.
#[test]
fn the_two_futexes_of_a_condition_variable_are_one_lock() {
    for (how, locks) in [(CONDITION, 1), (MUTEX, 2)] {
        let mut story = Story::default();
        story.waits(11, 64, how, 1_000, 2_000, 10);
        story.waits(11, 68, how, 3_000, 4_000, 10);
        story.request(900, 5_000, &[(11, 1_000, 2_000, None), (11, 3_000, 4_000, None)]);
        assert_eq!(story.locks.iter().count(), locks);
    }
}

/// Waits that belong to no request, of workers that have nothing to do, are none of a lock.
#[test]
fn waits_without_a_request_are_not_counted() {
    let mut story = Story::default();
    story.waits(11, 64, CONDITION, 1_000, 2_000, 10);
    story.request(3_000, 4_000, &[]);
    assert_eq!(story.locks.iter().count(), 0);
}

/// A file, semaphores: by the call.
#[test]
fn other_locks_are_told_by_their_calls() {
    for (syscall, kind, place) in [
        (call::FLOCK, LockKind::File, Place::File(7)),
        (call::SEMOP, LockKind::Semaphore, Place::Semaphores(7)),
    ] {
        let mut story = Story::default();
        story.blocked(11, syscall, [7, 2, 0], 1_000, 2_000, Some((12, syscall)));
        story.request(900, 3_000, &[(11, 1_000, 2_000, None)]);
        assert_eq!((story.only().kind(), story.only().key().place), (kind, place));
        assert_eq!(story.only().holders()[0].0, Tid(12));
    }
}

/// Parts of an interpreter lock are one lock once they are named, and what ends after the switch interval speaks for one.
#[test]
fn the_parts_of_an_interpreter_lock_are_one() {
    let mut story = Story::default();
    for round in 0..10_u64 {
        let at = round * 20_000_000;
        for (tid, address) in [(11, 64), (12, 64), (11, 640)] {
            let at = at + u64::from(tid) + address;
            story.blocked(tid, call::FUTEX, [address, CONDITION[0], 0], at, at + 5_060_000, None);
            story.request(at, at + 6_000_000, &[(tid, at, at + 5_060_000, None)]);
        }
    }
    let mut timed = Vec::new();
    story.locks.name(10, |lock| {
        timed.push(lock.waits_like_gil());
        Some(LockName { text: format!("{:?}", lock.key()), is_gil: true })
    });
    assert_eq!(timed, [true, false], "a single thread contends with nobody");
    assert_eq!((story.only().kind(), story.only().waits()), (LockKind::Gil, 30));
}

/// The lock of the process's memory map is known by where it lies, others are told by their type; a lock that is met in several
/// system calls is one.
#[test]
fn a_kernel_lock_is_named_only_as_far_as_is_known() {
    let counted = |address, total_ns, flags, name, syscall| KernelLockWaits {
        waits: LockWaits { address, count: 1, total_ns, ..LockWaits::default() },
        syscall,
        name,
        flags,
    };
    let story = Story::default();
    let told = story.locks.kernel().told(&[
        counted(1, 1_000, 4, kernel_lock::MMAP, call::MUNMAP),
        counted(1, 500, 4, kernel_lock::MMAP, -1),
        counted(2, 100, 4, kernel_lock::NAMELESS, call::FSYNC),
        counted(3, 90, 4, kernel_lock::NAMELESS, call::FSYNC),
        counted(4, 10, 1, kernel_lock::NAMELESS, call::FSYNC),
    ]);
    assert!(told[0].name.starts_with("mmap_lock"), "{told:?}");
    assert_eq!((told[0].waits, told[0].total_ns, told[0].locks), (2, 1_500, 1));
    assert_eq!((&*told[1].name, told[1].locks), ("a read-write semaphore, to write", 2));
    assert_eq!(told[2].name, "a spinlock");
}

proptest! {
    /// However waits overlap, locks share out just the time that requests were in `lock`.
    #[test]
    fn locks_share_out_the_requests_time(
        waits in proptest::collection::vec((1_u32..6, 0_u64..5, 1_u64..1_000, 1_u64..1_000), 1..60),
        time in 0_u64..50_000,
    ) {
        let mut locks = Locks::default();
        let mut story = Story::default();
        let mut ends = HashMap::new();
        let mut request = request(1, Ns(0), 1_000_000);
        for (tid, address, pause, length) in waits {
            let from = ends.get(&tid).copied().unwrap_or(0) + pause;
            let to = from + length;
            ends.insert(tid, to);
            story.waits(tid, address * 64, MUTEX, from, to, 9);
            request.lock_waits.push(LockWait { tid: Tid(tid), from: Ns(from), to: Ns(to), waker_has: None });
        }
        request.times[State::Lock] = time;
        std::mem::swap(&mut locks, &mut story.locks);
        locks.request(&request);
        let shared: f64 = locks.iter().map(Lock::request_ns).sum();
        prop_assert!((shared - time as f64).abs() < 1.0, "{shared} of {time}");
    }
}
