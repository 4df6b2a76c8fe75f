//! The number of system calls, for a slice of a run.
//!
//! - Hook: `raw_syscalls:sys_enter`, as BTF tracepoint, attached for a few hundred milliseconds only: while it is, every system call of
//!   every process takes the kernel's slow path.
//! - Cost: one load for somebody else's system call.
//! - Minimum kernel: 5.11 (task storage in tracing programs).

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{maps::SYSCALLS, task::Task};

#[btf_tracepoint(function = "sys_enter")]
fn count_syscalls(ctx: BtfTracePointContext) -> i32 {
    if Task::current().state().is_some()
        && let Some(stat) = SYSCALLS.get_ptr_mut(ctx.arg::<u32>(1))
    {
        unsafe { (*stat).count += 1 };
    }
    0
}
