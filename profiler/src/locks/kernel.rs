//! Locks of the kernel: of which type, and in which system calls they were met.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use whywait_ebpf::{
    abi::{OffCpu, file_kind, kernel_lock, off_cpu},
    syscalls as call,
};

use super::LockType;
use crate::probe::KernelLockWaits;

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

    /// Nanoseconds for which threads blocked on contended locks, all together.
    pub fn blocked_ns(&self) -> u64 {
        self.contended.values().sum()
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
    pub fn told(&self, counted: &[KernelLockWaits]) -> Vec<KernelLock> {
        let mut by_name: BTreeMap<String, KernelLock> = BTreeMap::new();
        let mut seen = FxHashSet::default();
        for lock in counted {
            let kind = LockType::of(lock.flags).words();
            let name = if lock.name == kernel_lock::MMAP {
                format!("mmap_lock, the lock of the process's memory map ({kind})")
            } else {
                kind.to_owned()
            };
            let waits = &lock.waits;
            let known = known(&mut by_name, name);
            add(known, waits.count, waits.total_ns, waits.max_ns);
            known.locks += usize::from(seen.insert(waits.address));
        }
        let on_sockets: u64 = self.sockets.values().sum();
        if on_sockets > 0 {
            let known = known(&mut by_name, "the lock of a socket".to_owned());
            add(known, self.socket_waits, on_sockets, self.worst_socket);
            known.locks = 1;
        }
        let mut locks: Vec<KernelLock> = by_name.into_values().collect();
        locks.sort_by_key(|lock| std::cmp::Reverse(lock.total_ns));
        locks
    }
}

fn known(by_name: &mut BTreeMap<String, KernelLock>, name: String) -> &mut KernelLock {
    by_name.entry(name.clone()).or_insert(KernelLock { name, waits: 0, total_ns: 0, worst_ns: 0, locks: 0 })
}

fn add(known: &mut KernelLock, waits: u64, total_ns: u64, worst_ns: u64) {
    known.waits += waits;
    known.total_ns += total_ns;
    known.worst_ns = known.worst_ns.max(worst_ns);
}

fn name_of(number: i32) -> &'static str {
    if number < 0 { "page faults" } else { call::name(number).unwrap_or("another system call") }
}
