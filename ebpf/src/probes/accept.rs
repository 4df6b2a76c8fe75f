//! The moment of `accept`, without tracing every system call.
//!
//! - Hooks: `syscalls:sys_exit_accept`, `syscalls:sys_exit_accept4`, as perf tracepoints: the kernel looks the number of every system call
//!   up in a bitmap and runs the program for these two alone. See `docs/decisions/0004-accept-tracepoints.md` for the price.
//! - Cost: for other system calls the kernel's slow path, 11 to 15 ns a call where it was measured; one load for somebody else's `accept`.
//! - Minimum kernel: 5.11 (task storage in tracing programs); tracefs must be mounted and readable.

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};

use super::syscall::accepted;
use crate::task::Task;

/// Offset of `ret` in both formats (`events/syscalls/sys_exit_accept/format`).
const RET: usize = 16;

#[tracepoint(category = "syscalls", name = "sys_exit_accept")]
fn sys_exit_accept(ctx: TracePointContext) -> u32 {
    on_accept(&ctx)
}

#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
fn sys_exit_accept4(ctx: TracePointContext) -> u32 {
    on_accept(&ctx)
}

#[inline(always)]
fn on_accept(ctx: &TracePointContext) -> u32 {
    let task = Task::current();
    if let Some(thread) = task.state()
        && let Ok(ret) = unsafe { ctx.read_at::<i64>(RET) }
    {
        accepted(task, thread, ret);
    }
    0
}
