//! Waits for the kernel's own locks.
//!
//! - Hooks: `lock:contention_begin`, `lock:contention_end`, as BTF tracepoints. They fire only when a lock is taken.
//! - Cost: one look-up in task storage for somebody else's thread.
//! - Minimum kernel: 5.19.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use whywait_ebpf::abi::{KernelLock, LockStat, kind};

use crate::{
    emit::{header, send},
    maps::KERNEL_LOCKS,
    task::Task,
};

/// Waits shorter than this are only counted: a spin of less than a microsecond is not why a request waits, and each
/// record would cost as much again.
const SENT_FROM: u64 = 1_000;

#[btf_tracepoint(function = "contention_begin")]
fn contention_begin(ctx: BtfTracePointContext) -> i32 {
    if let Some(thread) = Task::current().state() {
        // A lock that is met while another one is waited for (in an interrupt) is part of the same wait.
        if thread.lock_begin == 0 {
            thread.lock = ctx.arg::<u64>(0);
            thread.lock_flags = ctx.arg::<u32>(1);
            thread.lock_begin = unsafe { bpf_ktime_get_ns() };
        }
    }
    0
}

#[btf_tracepoint(function = "contention_end")]
fn contention_end(ctx: BtfTracePointContext) -> i32 {
    let task = Task::current();
    if let Some(thread) = task.state() {
        let lock = ctx.arg::<u64>(0);
        if thread.lock_begin == 0 || lock != thread.lock {
            return 0;
        }
        let now = unsafe { bpf_ktime_get_ns() };
        let begin = thread.lock_begin;
        thread.lock_begin = 0;
        let waited = now.saturating_sub(begin);
        add(lock, waited, thread.lock_flags);
        if waited >= SENT_FROM {
            let record = KernelLock {
                header: header::<KernelLock>(kind::KERNEL_LOCK, now, task.tid(), task.pid(), thread.next_seq()),
                begin,
                lock,
                flags: thread.lock_flags,
                syscall: task.registers().syscall(),
            };
            send(kind::KERNEL_LOCK, record);
        }
    }
    0
}

/// Adds a wait to those of its lock.
#[inline(always)]
fn add(lock: u64, nanos: u64, flags: u32) {
    if let Some(stat) = KERNEL_LOCKS.get_ptr_mut(&lock) {
        unsafe {
            (*stat).count += 1;
            (*stat).total += nanos;
            (*stat).flags = u64::from(flags);
            if nanos > (*stat).max {
                (*stat).max = nanos;
            }
        }
    } else {
        let first = LockStat { count: 1, total: nanos, max: nanos, flags: u64::from(flags) };
        let _full = KERNEL_LOCKS.insert(&lock, &first, 0);
    }
}
