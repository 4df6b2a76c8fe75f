//! Intervals off the CPU.
//!
//! - Hook: `sched:sched_switch`, as BTF tracepoint.
//! - Cost: two loads for a switch between two threads of somebody else.
//! - Minimum kernel: 5.18, the first that hands over the state of the thread that leaves.

use aya_ebpf::{
    helpers::bpf_get_smp_processor_id, helpers::bpf_ktime_get_ns, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use whywait_ebpf::{
    abi::{OffCpu, TIMER_EARLY, WaitStat, counter, file_kind, kind, off_cpu, taker},
    hist,
    syscalls::{self, Timeout},
};

use crate::{
    emit::{count, header, send},
    files,
    globals::{TASK_IN_IOWAIT, TASK_IN_IOWAIT_MASK, TASK_LAST_ARRIVAL, TASK_NVCSW, TASK_RAN, TASK_WAITED},
    maps::{FUTEXES, FutexKey, RUN_QUEUE},
    mem::{load, peek_user},
    stack,
    task::{Registers, Task, ThreadState},
};

#[btf_tracepoint(function = "sched_switch")]
fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    let previous = Task(ctx.arg::<*const u8>(1));
    let next = Task(ctx.arg::<*const u8>(2));
    // One time for both, taken before the work: what this program costs is then nobody's wait for a CPU. Two branches, since
    // the compiler would ask for "neither" by joining the two pointers, which the verifier forbids.
    if let Some(leaving) = previous.state() {
        let now = unsafe { bpf_ktime_get_ns() };
        leave(previous, leaving, ctx.arg::<u32>(3), now);
        stack::of_leaving(&ctx, previous, leaving, now);
        if let Some(coming) = next.state() {
            come_back(next, coming, now, previous.pid());
        }
    } else if let Some(coming) = next.state() {
        come_back(next, coming, unsafe { bpf_ktime_get_ns() }, previous.pid());
    }
    0
}

/// Notes why and when a thread leaves the CPU.
#[inline(always)]
fn leave(task: Task, thread: &mut ThreadState, state: u32, now: u64) {
    let arrived: u64 = unsafe { load(task.0, &TASK_LAST_ARRIVAL) };
    if thread.left == 0 {
        thread.clock_offset = thread.back.wrapping_sub(arrived);
    } else {
        // Some kernels switch a thread in without the tracepoint, about once in a thousand times on a crowded CPU (seen on 6.18; ftrace
        // does not see it either). The scheduler's own note of when that was is on another clock.
        let back = arrived.wrapping_add(thread.clock_offset);
        let back = if back < thread.left || back > now { now } else { back };
        come_back(task, thread, back, taker::UNKNOWN);
    }
    let nvcsw: u64 = unsafe { load(task.0, &TASK_NVCSW) };
    let mut flags = 0;
    let left_since = nvcsw.wrapping_sub(thread.nvcsw);
    if left_since != 0 {
        flags |= off_cpu::VOLUNTARY;
        if left_since > 1 {
            count(counter::UNSEEN_SWITCHES, left_since - 1);
        }
    }
    thread.nvcsw = nvcsw;
    if thread.lock_begin != 0 {
        flags |= off_cpu::KERNEL_LOCK;
        thread.lock_blocked = 1;
    }
    let bits: u8 = unsafe { load(task.0, &TASK_IN_IOWAIT) };
    if u32::from(bits) & TASK_IN_IOWAIT_MASK.load() != 0 {
        flags |= off_cpu::IO_WAIT;
    }
    thread.flags = flags;
    thread.state = state;
    thread.left_cpu = unsafe { bpf_get_smp_processor_id() };
    waits_in(task, thread, flags & off_cpu::VOLUNTARY != 0);
    thread.left = now;
}

/// Notes the system call that a thread is in, and what that waits for.
#[inline(always)]
pub fn waits_in(task: Task, thread: &mut ThreadState, voluntary: bool) {
    let registers = task.registers();
    let number = registers.syscall();
    thread.syscall = number;
    thread.args = [registers.arg0(), registers.arg1(), registers.arg2()];
    thread.file = file_kind::NONE;
    thread.object = 0;
    thread.timeout = -1;
    if number < 0 || !voluntary {
        return;
    }
    if syscalls::waits_on_descriptor(number) {
        let file = files::of_descriptor(task, registers.arg0() as u32);
        thread.file = file.kind;
        thread.object = file.object;
    } else {
        thread.timeout = timeout(registers, number);
    }
}

/// Time-out of a wait for events or on a futex in nanoseconds, -1 for none.
#[inline(always)]
fn timeout(registers: Registers, number: i32) -> i64 {
    let given = if number == syscalls::FUTEX {
        syscalls::futex_timeout(registers.arg1())
    } else {
        syscalls::timeout(number)
    };
    match given {
        Timeout::None => -1,
        Timeout::Millis(argument) => {
            let millis = registers.arg(argument) as i32;
            if millis < 0 { -1 } else { i64::from(millis) * 1_000_000 }
        }
        Timeout::Timespec(argument) => match peek_user::<[i64; 2]>(registers.arg(argument)) {
            Some([seconds, nanos]) => seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos),
            None => -1,
        },
        Timeout::Timeval(argument) => match peek_user::<[i64; 2]>(registers.arg(argument)) {
            Some([seconds, micros]) => {
                seconds.wrapping_mul(1_000_000_000).wrapping_add(micros.wrapping_mul(1_000))
            }
            None => -1,
        },
        Timeout::Until(argument) => match peek_user::<[i64; 2]>(registers.arg(argument)) {
            Some([seconds, nanos]) => {
                let until = seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos);
                // One that is over before the thread has left is none.
                until.wrapping_sub(unsafe { bpf_ktime_get_ns() } as i64).max(0)
            }
            None => -1,
        },
    }
}

/// Sends the interval of a thread that runs again, on the CPU that a thread of process `had_cpu` leaves.
#[inline(always)]
fn come_back(task: Task, thread: &mut ThreadState, now: u64, had_cpu: u32) {
    if thread.left == 0 {
        return;
    }
    let mut record = interval(task, thread, now, 0);
    record.taker = had_cpu;
    let ready = if record.woken != 0 { record.woken } else { record.left };
    let delay = now.saturating_sub(ready);
    if let Some(bucket) = RUN_QUEUE.get_ptr_mut(hist::index(delay) as u32) {
        unsafe { *bucket += 1 };
    }
    if record.syscall == syscalls::FUTEX && record.flags & off_cpu::VOLUNTARY != 0 {
        futex_wait(
            FutexKey { address: record.args[0], pid: u64::from(record.header.pid) },
            ready.saturating_sub(record.left),
        );
    }
    if record.flags & off_cpu::VOLUNTARY != 0 {
        stack::waited(thread, ready.saturating_sub(record.left), now);
    }
    thread.back = now;
    thread.left = 0;
    thread.flags = 0;
    thread.sampled = 0;
    send(kind::OFF_CPU, record);
}

/// Adds a wait to those of its futex.
#[inline(always)]
fn futex_wait(key: FutexKey, nanos: u64) {
    if let Some(stat) = FUTEXES.get_ptr_mut(&key) {
        unsafe {
            (*stat).count += 1;
            (*stat).total += nanos;
            if nanos > (*stat).max {
                (*stat).max = nanos;
            }
        }
    } else {
        let _full = FUTEXES.insert(&key, &WaitStat { count: 1, total: nanos, max: nanos }, 0);
    }
}

/// The record of a thread's interval off the CPU that ends, or is looked at, at `now`.
#[inline(always)]
pub fn interval(task: Task, thread: &mut ThreadState, now: u64, more_flags: u8) -> OffCpu {
    // A waker on another CPU may begin before the thread has quite left: it was woken at once then. A thread that was
    // preempted needs no waker, and what is noted is of an earlier wait.
    let voluntary = thread.flags & off_cpu::VOLUNTARY != 0;
    let woken = if thread.woken >= thread.left {
        thread.woken
    } else if voluntary && more_flags & off_cpu::OPEN == 0 {
        thread.left
    } else {
        0
    };
    let queued = if thread.queued >= thread.left { thread.queued } else { woken };
    // The timer's interrupt comes in the context of whichever thread runs, and that has woken nobody.
    let by_timer = thread.timeout >= 0
        && thread.woken.wrapping_sub(thread.left).wrapping_add(TIMER_EARLY) >= thread.timeout as u64;
    let known = thread.woken >= thread.left && !by_timer;
    OffCpu {
        header: header::<OffCpu>(kind::OFF_CPU, now, task, thread),
        left: thread.left,
        woken,
        queued,
        ran: unsafe { load(task.0, &TASK_RAN) },
        waited: unsafe { load(task.0, &TASK_WAITED) },
        args: thread.args,
        timeout: thread.timeout,
        object: thread.object,
        waker_tid: if known { thread.waker_tid } else { 0 },
        waker_pid: if known { thread.waker_pid } else { 0 },
        waker_syscall: if known { thread.waker_syscall } else { -1 },
        syscall: thread.syscall,
        state: thread.state,
        left_cpu: thread.left_cpu as u16,
        flags: thread.flags | more_flags,
        file: thread.file,
        taker: taker::UNKNOWN,
        reserved: 0,
    }
}
