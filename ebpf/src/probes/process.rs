//! Threads and processes: births, ends, names, other programs.
//!
//! - Hooks: `task:task_newtask` and `sched:sched_wakeup_new` (a new thread, io_uring workers included, in its creator's context, before it
//!   runs), `sched:sched_process_exit`, `sched:sched_process_exec`, `task:task_rename`, as BTF tracepoints.
//! - Cost: one load for somebody else's thread.
//! - Minimum kernel: 5.11 (task storage in tracing programs).

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use whywait_ebpf::abi::{Thread, ThreadEnd, born, kind, off_cpu};

use crate::{
    emit::{header, send},
    globals::{CHILDREN, TASK_COMM, TASK_START_TIME},
    mem::{load, peek},
    task::{Task, ThreadState},
};
use aya_ebpf::helpers::bpf_probe_read_kernel_buf;

/// The creator of a new thread, if that becomes one of the target's.
#[inline(always)]
fn creator_of(child: Task) -> Option<Task> {
    let parent = Task::current();
    let is_ours = parent.state().is_some() && (CHILDREN.load() != 0 || child.pid() == parent.pid());
    is_ours.then_some(parent)
}

/// Asks for the new thread's memory while interrupts are on. Where the kernel has none at hand, it gets some as soon as this program is over, and has it
/// by the time of `sched_wakeup_new`, which runs under a lock of the scheduler.
#[btf_tracepoint(function = "task_newtask")]
fn task_newtask(ctx: BtfTracePointContext) -> i32 {
    let child = Task(ctx.arg::<*const u8>(0));
    if creator_of(child).is_some() {
        let _asked_again_when_it_wakes = child.try_adopt();
    }
    0
}

#[btf_tracepoint(function = "sched_wakeup_new")]
fn sched_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    let child = Task(ctx.arg::<*const u8>(0));
    let Some(parent) = creator_of(child) else { return 0 };
    let Some(thread) = child.adopt() else { return 0 };
    let now = unsafe { bpf_ktime_get_ns() };
    thread.left = now;
    thread.woken = now;
    thread.queued = now;
    thread.waker_tid = parent.tid();
    thread.waker_pid = parent.pid();
    thread.waker_syscall = parent.registers().syscall();
    thread.syscall = -1;
    thread.timeout = -1;
    thread.flags = off_cpu::BORN;
    tell(child, thread, born::NEW, now, parent.tid(), parent.pid(), 0);
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let task = Task(ctx.arg::<*const u8>(0));
    if let Some(thread) = task.state() {
        let now = unsafe { bpf_ktime_get_ns() };
        let record = ThreadEnd { header: header::<ThreadEnd>(kind::THREAD_END, now, task, thread) };
        send(kind::THREAD_END, record);
        // It still runs for a moment, and is of no interest any more.
        task.forget();
    }
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let task = Task(ctx.arg::<*const u8>(0));
    if let Some(thread) = task.state() {
        let now = unsafe { bpf_ktime_get_ns() };
        // A thread that executes another program takes over its process's id; this is the one it had.
        let before = ctx.arg::<i32>(1) as u32;
        tell(task, thread, born::EXEC, now, before, task.pid(), 1);
    }
    0
}

#[btf_tracepoint(function = "task_rename")]
fn task_rename(ctx: BtfTracePointContext) -> i32 {
    let task = Task(ctx.arg::<*const u8>(0));
    if let Some(thread) = task.state() {
        let now = unsafe { bpf_ktime_get_ns() };
        let name = ctx.arg::<*const u8>(1);
        let mut record = describe(task, thread, born::RENAMED, now);
        record.running = 1;
        // The tracepoint fires before the name is copied; both names are 16 bytes, `TASK_COMM_LEN`.
        let _unreadable = unsafe { bpf_probe_read_kernel_buf(name, &mut record.comm) };
        send(kind::THREAD, record);
    }
    0
}

/// A thread and its name as they are now.
#[inline(always)]
fn describe(task: Task, thread: &mut ThreadState, how: u8, now: u64) -> Thread {
    Thread {
        header: header::<Thread>(kind::THREAD, now, task, thread),
        start_time: unsafe { load(task.0, &TASK_START_TIME) },
        parent_tid: 0,
        parent_pid: 0,
        comm: peek(task.0, &TASK_COMM),
        how,
        running: 0,
        reserved: [0; 6],
    }
}

/// Sends a thread's record.
#[inline(always)]
pub fn tell(
    task: Task,
    thread: &mut ThreadState,
    how: u8,
    now: u64,
    parent_tid: u32,
    parent_pid: u32,
    running: u8,
) {
    let mut record = describe(task, thread, how, now);
    record.parent_tid = parent_tid;
    record.parent_pid = parent_pid;
    record.running = running;
    send(kind::THREAD, record);
}
