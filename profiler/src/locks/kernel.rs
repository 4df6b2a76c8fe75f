//! Locks of the kernel: of which type, and in which system calls they were met.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use whywait_ebpf::{
    abi::{OffCpu, file_kind, off_cpu},
    syscalls as call,
};

use crate::probe::LockWaits;

/// Flags of `lock:contention_begin` (`include/trace/events/lock.h`).
mod flag {
    pub const SPIN: u64 = 1;
    pub const READ: u64 = 2;
    pub const WRITE: u64 = 4;
    pub const RT: u64 = 8;
    pub const PERCPU: u64 = 16;
    pub const MUTEX: u64 = 32;
}

/// Share of the waits of which something must be true to be said of all.
const NEARLY_ALL: f64 = 0.9;

/// Waits by system call; a negative number is none: a page fault, mostly.
type ByCall = FxHashMap<i32, u64>;

/// Blocked waits for kernel locks, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct KernelLocks {
    contended: ByCall,
    sockets: ByCall,
    socket_waits: u64,
    worst_socket: u64,
}

/// Kernel locks of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelLock {
    /// What it is.
    pub name: String,
    /// Waits.
    pub waits: u64,
    /// Nanoseconds waited.
    pub total_ns: u64,
    /// The longest.
    pub worst_ns: u64,
    /// Locks of this kind.
    pub locks: usize,
}

impl KernelLocks {
    /// A thread blocked on a kernel lock.
    pub(super) fn blocked(&mut self, interval: &OffCpu) {
        let waited = interval.woken.max(interval.left) - interval.left;
        // Without a flag it is a socket's own lock, for which no tracepoint fires.
        if interval.flags & off_cpu::KERNEL_LOCK == 0 && interval.file == file_kind::SOCKET {
            *self.sockets.entry(interval.syscall).or_default() += waited;
            self.socket_waits += 1;
            self.worst_socket = self.worst_socket.max(waited);
        } else {
            *self.contended.entry(interval.syscall).or_default() += waited;
        }
    }

    /// System calls in which threads blocked on contended locks, with their share of that time, most first.
    pub fn met_in(&self) -> Vec<(&'static str, f64)> {
        let total: u64 = self.contended.values().sum();
        let mut calls: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (number, nanos) in &self.contended {
            *calls.entry(name_of(*number)).or_default() += nanos;
        }
        let mut calls: Vec<_> =
            calls.into_iter().map(|(name, nanos)| (name, nanos as f64 / total.max(1) as f64)).collect();
        calls.sort_by(|a, b| b.1.total_cmp(&a.1));
        calls
    }

    /// What the kernel counted by lock, by what the locks are, most time first.
    pub fn told(&self, counted: &[LockWaits]) -> Vec<KernelLock> {
        let mut by_name: BTreeMap<String, KernelLock> = BTreeMap::new();
        let counted_ns: u64 = counted.iter().map(|lock| lock.total_ns).sum();
        let on_memory = self.mostly(changes_mappings);
        for lock in counted {
            let kind = kind_of(lock.flags);
            let one_for_all = lock.total_ns as f64 >= NEARLY_ALL * counted_ns as f64;
            // All of it is for one lock that sleeps, and it is met only where mappings change, or pages are faulted in.
            let name = if on_memory && one_for_all && is_semaphore(lock.flags) {
                format!("mmap_lock, the lock of the process's memory map ({kind})")
            } else {
                kind.to_owned()
            };
            add(&mut by_name, name, lock.count, lock.total_ns, lock.max_ns);
        }
        let on_sockets: u64 = self.sockets.values().sum();
        if on_sockets > 0 {
            add(
                &mut by_name,
                "the lock of a socket".to_owned(),
                self.socket_waits,
                on_sockets,
                self.worst_socket,
            );
        }
        let mut locks: Vec<KernelLock> = by_name.into_values().collect();
        locks.sort_by_key(|lock| std::cmp::Reverse(lock.total_ns));
        locks
    }

    /// Whether nearly all blocked waits were in such calls.
    fn mostly(&self, such: impl Fn(i32) -> bool) -> bool {
        let total: u64 = self.contended.values().sum();
        let part: u64 =
            self.contended.iter().filter(|(number, _)| such(**number)).map(|(_, nanos)| nanos).sum();
        total > 0 && part as f64 >= NEARLY_ALL * total as f64
    }
}

fn add(by_name: &mut BTreeMap<String, KernelLock>, name: String, waits: u64, total_ns: u64, worst_ns: u64) {
    let known = by_name.entry(name.clone()).or_insert(KernelLock {
        name,
        waits: 0,
        total_ns: 0,
        worst_ns: 0,
        locks: 0,
    });
    known.waits += waits;
    known.total_ns += total_ns;
    known.worst_ns = known.worst_ns.max(worst_ns);
    known.locks += 1;
}

fn kind_of(flags: u64) -> &'static str {
    let has = |flag| flags & flag != 0;
    if has(flag::MUTEX) {
        "a mutex"
    } else if has(flag::RT) {
        "an rt_mutex"
    } else if has(flag::PERCPU) {
        "a per-CPU read-write semaphore"
    } else if has(flag::SPIN) && (has(flag::READ) || has(flag::WRITE)) {
        "a read-write spinlock"
    } else if has(flag::SPIN) {
        "a spinlock"
    } else if has(flag::WRITE) {
        "a read-write semaphore, to write"
    } else if has(flag::READ) {
        "a read-write semaphore, to read"
    } else {
        "a semaphore"
    }
}

/// A read-write semaphore.
fn is_semaphore(flags: u64) -> bool {
    flags & (flag::READ | flag::WRITE) != 0
        && flags & (flag::SPIN | flag::PERCPU | flag::MUTEX | flag::RT) == 0
}

/// Calls that take the lock of the process's memory map and little else that could be contended.
fn changes_mappings(number: i32) -> bool {
    number < 0
        || matches!(
            number,
            call::MMAP | call::MUNMAP | call::MPROTECT | call::MREMAP | call::MADVISE | call::BRK
        )
}

fn name_of(number: i32) -> &'static str {
    if number < 0 { "page faults" } else { call::name(number).unwrap_or("another system call") }
}
