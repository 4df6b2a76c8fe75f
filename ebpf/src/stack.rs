//! Stacks, and which of them are worth their price.
//!
//! A stack costs more than a switch, so most switches must not pay for one; and only the thread that leaves a CPU has one that can
//! be read, when nobody knows yet how long it will wait. So a wait that was long marks its *place* (system call, futex), and
//! the next thread that waits there gives its stack. A place is marked every [`PERIOD`] at most, and a CPU takes one in every
//! [`GAP`] at most. A switch pays for one look-up in an array.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_stack, bpf_ktime_get_ns, generated::bpf_probe_read_user},
};
use whywait_ebpf::{
    abi::{KERNEL_FRAMES, STACK_BYTES, STACK_CHUNK, Stack, kind, off_cpu, taken},
    syscalls,
};

use crate::{
    emit::{header, lost, submit},
    globals::STACKS,
    maps::{EVENTS, NEXT_STACK, PLACES},
    task::{Task, ThreadState},
};

/// Waits from this length on, nanoseconds, mark their place.
const LONG: u64 = 100_000;
/// Time between two stacks of a place, nanoseconds.
const PERIOD: u64 = 20_000_000;
/// Time between two stacks of threads that leave a CPU, nanoseconds.
const GAP: u64 = 4_000_000;
/// Places that are told apart.
pub const PLACES_LEN: u32 = 1024;

/// Where threads wait.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Place {
    /// Identity of the place whose next wait gives a stack; 0: none.
    pub marked: u64,
    /// Before this no place is marked here again.
    pub due: u64,
}

/// Identity of the place where a thread waits. A futex is a place of its own; for other calls an argument says little: descriptors
/// and children differ from wait to wait. Processes are not told apart: of those that live for one request none waits twice.
#[inline(always)]
fn place(thread: &ThreadState) -> u64 {
    let object = if thread.syscall == syscalls::FUTEX { thread.args[0] } else { 0 };
    // Multiplication by an odd number close to 2^64 divided by the golden ratio (Knuth, 6.4); never 0, which is "no place".
    (object ^ u64::from(thread.syscall as u32) << 48).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}

#[inline(always)]
fn slot(place: u64) -> Option<&'static mut Place> {
    PLACES.get_ptr_mut((place >> 54) as u32 & (PLACES_LEN - 1)).and_then(|slot| unsafe { slot.as_mut() })
}

/// Calls in which a thread waits for whatever comes: no request waits with it.
#[inline(always)]
fn is_idle(syscall: i32) -> bool {
    matches!(
        syscall,
        syscalls::EPOLL_WAIT
            | syscalls::EPOLL_PWAIT
            | syscalls::EPOLL_PWAIT2
            | syscalls::IO_URING_ENTER
            | syscalls::ACCEPT
            | syscalls::ACCEPT4
    )
}

/// A thread comes back from a wait: marks the place when it was long.
#[inline(always)]
pub fn waited(thread: &ThreadState, nanos: u64, now: u64) {
    if STACKS.load() == 0 || nanos < LONG || is_idle(thread.syscall) {
        return;
    }
    let place = place(thread);
    if let Some(slot) = slot(place)
        && now >= slot.due
    {
        slot.marked = place;
        slot.due = now + PERIOD;
    }
}

/// A thread leaves the CPU: takes its stack when the place is marked.
#[inline(always)]
pub fn of_leaving<C: EbpfContext>(ctx: &C, task: Task, thread: &mut ThreadState, now: u64) {
    if STACKS.load() == 0 || thread.flags & off_cpu::VOLUNTARY == 0 {
        return;
    }
    let place = place(thread);
    let Some(slot) = slot(place) else { return };
    if slot.marked != place {
        return;
    }
    let Some(next) = NEXT_STACK.get_ptr_mut(0).and_then(|next| unsafe { next.as_mut() }) else { return };
    if now < *next {
        return;
    }
    *next = now + GAP;
    slot.marked = 0;
    thread.sampled = 1;
    let futex = if thread.syscall == syscalls::FUTEX { thread.args[0] } else { 0 };
    take(ctx, task, thread, taken::OFF_CPU, now, now, futex, 0);
}

/// A thread wakes one whose stack was taken: takes its own when both are about a futex, so that the other end of a lock is known.
#[inline(always)]
pub fn of_waker<C: EbpfContext>(
    ctx: &C,
    task: Task,
    thread: &mut ThreadState,
    woken: Task,
    woken_thread: &ThreadState,
) {
    if STACKS.load() != 0
        && woken_thread.syscall == syscalls::FUTEX
        && woken_thread.waker_syscall == syscalls::FUTEX
    {
        let now = unsafe { bpf_ktime_get_ns() };
        take(ctx, task, thread, taken::WAKER, now, woken_thread.left, woken_thread.args[0], woken.tid());
    }
}

/// Sends the stack of the current task.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "each is a field of the record")]
pub fn take<C: EbpfContext>(
    ctx: &C,
    task: Task,
    thread: &mut ThreadState,
    how: u8,
    now: u64,
    at: u64,
    futex: u64,
    other: u32,
) {
    let Some(mut entry) = EVENTS.reserve_untyped::<Stack>(0) else {
        lost(kind::STACK);
        return;
    };
    let stack = entry.as_mut_ptr();
    let [ip, sp, bp] = task.registers().user().unwrap_or([0; 3]);
    unsafe {
        (*stack).header = header::<Stack>(kind::STACK, now, task, thread);
        (*stack).at = at;
        (*stack).ip = ip;
        (*stack).sp = sp;
        (*stack).bp = bp;
        (*stack).futex = futex;
        (*stack).other = other;
        (*stack).how = how;
        let kernel = (&raw mut (*stack).kernel).cast();
        let bytes = bpf_get_stack(ctx.as_ptr(), kernel, (KERNEL_FRAMES * 8) as u32, 0);
        (*stack).kernel_len = if bytes > 0 { (bytes / 8) as u8 } else { 0 };
        (*stack).bytes_len = if ip == 0 { 0 } else { copy(&raw mut (*stack).bytes, sp) };
    }
    submit(entry);
}

/// Copies the current thread's stack; returns the bytes that could be read.
#[inline(always)]
fn copy(to: *mut [u8; STACK_BYTES], sp: u64) -> u16 {
    let mut copied = 0;
    while copied < STACK_BYTES {
        let chunk = unsafe { to.cast::<[u8; STACK_CHUNK]>().add(copied / STACK_CHUNK) };
        let from = sp.wrapping_add(copied as u64) as *const core::ffi::c_void;
        if unsafe { bpf_probe_read_user(chunk.cast(), STACK_CHUNK as u32, from) } < 0 {
            break;
        }
        copied += STACK_CHUNK;
    }
    copied as u16
}
