//! Walks over what is there already: the target's threads when whywait attaches, its sockets, and the intervals that are
//! still open when it detaches.
//!
//! - Hooks: BPF iterators over `task` and `task_file`. They run when user space reads from them, and never else.
//! - Cost: one hash look-up for each thread or descriptor of the machine, once.
//! - Minimum kernel: 5.11 (task storage in tracing programs).

use aya_ebpf::helpers::bpf_ktime_get_ns;
use whywait_ebpf::abi::{born, file_kind, kind, mode, off_cpu, role};

use super::{process::tell, sched};
use crate::{
    conns::{LISTEN, Sock, UNIX},
    emit::send,
    files,
    globals::{TASK_NVCSW, TASK_ON_CPU, TASK_STATE, TCP_COPIED_SEQ, TCP_RCV_NXT},
    maps::{CONTROL, PORTS, TARGETS, UNIX_LISTENERS},
    mem::{load, peek},
    task::Task,
};

/// `struct bpf_iter__task`
#[repr(C)]
struct IterTask {
    meta: *const u8,
    task: *const u8,
}

/// `struct bpf_iter__task_file`
#[repr(C)]
struct IterTaskFile {
    meta: *const u8,
    task: *const u8,
    descriptor: u64,
    file: *const u8,
}

fn current_mode() -> u32 {
    CONTROL.get(0).map_or(mode::REGISTER, |control| control.mode)
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn walk_tasks(ctx: *const IterTask) -> i32 {
    let task = unsafe { core::ptr::read_volatile(&raw const (*ctx).task) };
    if task.is_null() {
        return 0;
    }
    let task = Task(task);
    if current_mode() == mode::FLUSH {
        flush(task);
    } else if unsafe { TARGETS.get(task.pid()) }.is_some() {
        found(task);
    }
    0
}

/// Makes a thread that is there already one of the target's.
#[inline(always)]
fn found(task: Task) {
    if task.state().is_some() {
        return;
    }
    let Some(thread) = task.adopt() else { return };
    let now = unsafe { bpf_ktime_get_ns() };
    thread.nvcsw = unsafe { load(task.0, &TASK_NVCSW) };
    let state: u32 = unsafe { load(task.0, &TASK_STATE) };
    let on_cpu: u32 = unsafe { load(task.0, &TASK_ON_CPU) };
    if on_cpu == 0 {
        thread.state = state;
        thread.flags = off_cpu::CLIPPED | if state == 0 { 0 } else { off_cpu::VOLUNTARY };
        sched::waits_in(task, thread, false);
        thread.left = now;
    }
    tell(task, thread, born::FOUND, now, 0, 0, u8::from(on_cpu != 0 || state == 0));
}

/// Sends the interval of a thread that is still off the CPU.
#[inline(always)]
fn flush(task: Task) {
    let Some(thread) = task.state() else { return };
    if thread.left == 0 {
        return;
    }
    let now = unsafe { bpf_ktime_get_ns() };
    let record = sched::interval(task, thread, now, off_cpu::OPEN);
    send(kind::OFF_CPU, record);
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn walk_files(ctx: *const IterTaskFile) -> i32 {
    let task = unsafe { core::ptr::read_volatile(&raw const (*ctx).task) };
    let file = unsafe { core::ptr::read_volatile(&raw const (*ctx).file) };
    if task.is_null() || file.is_null() || unsafe { TARGETS.get(Task(task).pid()) }.is_none() {
        return 0;
    }
    let file = files::of_file(file);
    if file.kind != file_kind::SOCKET || file.object == 0 {
        return 0;
    }
    let sock = Sock(file.object as *const u8);
    let listening = sock.tcp_state() == LISTEN;
    match (current_mode(), listening) {
        (mode::REGISTER, true) if sock.family() == UNIX => {
            let _full = UNIX_LISTENERS.insert(sock.unix_address(), 1, 0);
        }
        (mode::REGISTER, true) => {
            let _full = PORTS.insert(sock.port(), 1, 0);
        }
        (mode::CONNECTED, false) => connected(sock),
        _ => {}
    }
    0
}

/// Registers a connection that is open already. Data that waits in it came at an unknown time before.
#[inline(always)]
fn connected(sock: Sock) {
    if sock.known().is_some() {
        return;
    }
    let Some(conn) = sock.used() else { return };
    if conn.protocol == crate::conns::TCP && conn.role == role::SERVER {
        let copied: u32 = peek(sock.0, &TCP_COPIED_SEQ);
        let next: u32 = peek(sock.0, &TCP_RCV_NXT);
        if next != copied {
            conn.last_arrival = unsafe { bpf_ktime_get_ns() };
        }
    }
}
