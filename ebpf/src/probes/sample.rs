//! Samples of what the target's threads do on a CPU.
//!
//! - Hook: a performance event on each CPU, the software clock `PERF_COUNT_SW_CPU_CLOCK`, at the rate that the loader asks for.
//! - Cost: one load for a sample of somebody else's thread; for one of the target's, a stack.
//! - Minimum kernel: 5.11 (task storage in tracing programs).

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::perf_event, programs::PerfEventContext};
use whywait_ebpf::abi::taken;

use crate::{stack, task::Task};

#[perf_event]
fn sample_cpu(ctx: PerfEventContext) -> i32 {
    let task = Task::current();
    if let Some(thread) = task.state() {
        // A switch that is under way, and noted already, ends the time on the CPU.
        if thread.left == 0 {
            let now = unsafe { bpf_ktime_get_ns() };
            stack::take(&ctx, task, thread, taken::ON_CPU, now, now, 0, 0);
        }
    }
    0
}
