//! Waits for the kernel's own locks.
//!
//! - Hooks: `lock:contention_begin`, `lock:contention_end`, as BTF tracepoints. They fire only when a lock is taken.
//!   They may fire inside the ring's own lock, or that of a hash bucket, so nothing is sent from here: a wait that blocks is
//!   an interval off the CPU, marked; the time of one that spins goes with the thread's next record.
//! - Cost: one load for somebody else's thread.
//! - Minimum kernel: 5.19.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use whywait_ebpf::abi::{KernelLockKey, LockStat, kernel_lock};

use crate::{
    globals::{MM_MMAP_LOCK, TASK_MM},
    maps::KERNEL_LOCKS,
    mem::peek,
    task::Task,
};

#[btf_tracepoint(function = "contention_begin")]
fn contention_begin(ctx: BtfTracePointContext) -> i32 {
    if let Some(thread) = Task::current().state() {
        // A lock that is met while another one is waited for (in an interrupt) is part of the same wait.
        if thread.lock_begin == 0 {
            thread.lock = ctx.arg::<u64>(0);
            thread.lock_flags = ctx.arg::<u32>(1);
            thread.lock_blocked = 0;
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
        // As a number: the verifier would not let a pointer be compared with one of unknown origin.
        let mm: u64 = peek(task.0, &TASK_MM);
        let mmap_lock = mm != 0 && lock == mm.wrapping_add(u64::from(MM_MMAP_LOCK.load()));
        let name = if mmap_lock { kernel_lock::MMAP } else { kernel_lock::NAMELESS };
        let syscall = task.registers().syscall();
        add(&KernelLockKey { lock, syscall, name }, waited, thread.lock_flags);
        if thread.lock_blocked == 0 {
            thread.spun = thread.spun.saturating_add(waited as u32);
        }
    }
    0
}

/// Adds a wait to those of its lock and system call.
#[inline(always)]
fn add(key: &KernelLockKey, nanos: u64, flags: u32) {
    if let Some(stat) = KERNEL_LOCKS.get_ptr_mut(key) {
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
        let _full = KERNEL_LOCKS.insert(key, &first, 0);
    }
}
