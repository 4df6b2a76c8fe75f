//! Who wakes whom, and when the woken thread is on a run queue.
//!
//! - Hooks: `sched:sched_waking` (in the waker's context, as the wake-up begins) and `sched:sched_wakeup` (when the
//!   thread has been put on a run queue, perhaps by another CPU: the moment from which `/proc/PID/schedstat` counts), as BTF tracepoints.
//! - Cost: one load for somebody else's thread.
//! - Minimum kernel: 5.11 (task storage in tracing programs).

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{stack, task::Task};

#[btf_tracepoint(function = "sched_waking")]
fn sched_waking(ctx: BtfTracePointContext) -> i32 {
    let task = Task(ctx.arg::<*const u8>(0));
    if let Some(thread) = task.state() {
        let waker = Task::current();
        if let Some(waking) = waker.state() {
            thread.waker_tid = waker.tid();
            thread.waker_pid = waker.pid();
            thread.waker_syscall = waker.registers().syscall();
            if thread.sampled != 0 {
                thread.sampled = 0;
                stack::of_waker(&ctx, waker, waking, task, thread);
            }
        } else {
            thread.waker_tid = 0;
            thread.waker_pid = 0;
            thread.waker_syscall = -1;
        }
        thread.woken = unsafe { bpf_ktime_get_ns() };
    }
    0
}

#[btf_tracepoint(function = "sched_wakeup")]
fn sched_wakeup(ctx: BtfTracePointContext) -> i32 {
    let task = Task(ctx.arg::<*const u8>(0));
    if let Some(thread) = task.state() {
        thread.queued = unsafe { bpf_ktime_get_ns() };
    }
    0
}
