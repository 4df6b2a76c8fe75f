//! System calls, one by one: counts and times, the moment of `accept`, and socket operations on kernels that have no socket
//! tracepoints.
//!
//! - Hooks: `raw_syscalls:sys_enter`, `raw_syscalls:sys_exit`, as BTF tracepoints.
//! - Cost: enabling either sends *every* system call of *every* process through the kernel's slow path; see
//!   `docs/overhead.md`. Off unless asked for, or unless the kernel leaves no other way.
//! - Minimum kernel: 5.11 (task storage in tracing programs).

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use whywait_ebpf::{
    abi::{counter, file_kind, kind, op, role},
    hist, syscalls,
};

use super::socket::{operation, received, sent};
use crate::{
    conns::{Sock, UNIX},
    emit::{self, count},
    files,
    globals::SOCKETS_BY_SYSCALL,
    maps::SYSCALLS,
    mem::peek_user,
    task::{Registers, Task, ThreadState},
};

/// `MSG_PEEK | MSG_ERRQUEUE`, in the flags of `recvfrom` and `recvmsg`.
const TAKES_NOTHING: u64 = 0x2 | 0x2000;
const EINPROGRESS: i64 = -115;

#[btf_tracepoint(function = "sys_enter")]
fn sys_enter(_: BtfTracePointContext) -> i32 {
    if let Some(thread) = Task::current().state() {
        thread.entered = unsafe { bpf_ktime_get_ns() };
    }
    0
}

#[btf_tracepoint(function = "sys_exit")]
fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let task = Task::current();
    let Some(thread) = task.state() else { return 0 };
    let registers = task.registers();
    let number = registers.syscall();
    let ret = ctx.arg::<i64>(1);
    if number >= 0
        && thread.entered != 0
        && let Some(stat) = SYSCALLS.get_ptr_mut(number as u32)
    {
        unsafe {
            let nanos = bpf_ktime_get_ns().saturating_sub(thread.entered);
            (*stat).count += 1;
            (*stat).total += nanos;
            (*stat).errors += u64::from(is_error(ret));
            if let Some(calls) = (*stat).by_time.get_mut(hist::power(nanos)) {
                *calls += 1;
            }
        }
    }
    if number == syscalls::ACCEPT || number == syscalls::ACCEPT4 {
        accepted(task, thread, ret);
    } else if SOCKETS_BY_SYSCALL.load() != 0 {
        socket_call(task, thread, number, ret, registers);
    }
    thread.entered = 0;
    0
}

/// Whether a call failed. Numbers from 512 on (`ERESTARTSYS` and its like, `include/linux/errno.h`) never reach the program: a signal came.
#[inline(always)]
fn is_error(ret: i64) -> bool {
    (-511..0).contains(&ret)
}

/// A thread took a connection from an accept queue.
#[inline(always)]
pub fn accepted(task: Task, thread: &mut ThreadState, ret: i64) {
    let Some(sock) = socket(task, ret) else { return };
    let Some(conn) = sock.used() else { return };
    conn.role = role::SERVER;
    sock.announce(conn, task, thread);
    conn.last_op = op::ACCEPT;
    let now = unsafe { bpf_ktime_get_ns() };
    let record = operation(task, thread, conn, op::ACCEPT, 0, 0, 0, now);
    emit::send(kind::SOCK_OP, record);
}

/// Socket operations by their calls.
#[inline(always)]
fn socket_call(task: Task, thread: &mut ThreadState, number: i32, ret: i64, registers: Registers) {
    match number {
        syscalls::READ | syscalls::READV | syscalls::PREADV2 => receive(task, thread, ret, registers, 0),
        syscalls::RECVFROM => receive(task, thread, ret, registers, registers.arg(3)),
        syscalls::RECVMSG => receive(task, thread, ret, registers, registers.arg2()),
        syscalls::RECVMMSG => receive(task, thread, in_messages(ret, registers), registers, registers.arg(3)),
        syscalls::WRITE
        | syscalls::WRITEV
        | syscalls::PWRITEV2
        | syscalls::SENDTO
        | syscalls::SENDMSG
        | syscalls::SENDMMSG
        | syscalls::SENDFILE => {
            if let Some(sock) = socket(task, registers.arg0() as i64) {
                sent::<false>(task, thread, sock, ret);
            }
        }
        syscalls::SPLICE => {
            if let Some(sock) = socket(task, registers.arg0() as i64) {
                received::<false>(task, thread, sock, ret);
            } else if let Some(sock) = socket(task, registers.arg2() as i64) {
                sent::<false>(task, thread, sock, ret);
            }
        }
        syscalls::CONNECT => connected(task, thread, ret, registers),
        _ => {}
    }
}

/// Bytes in the first message of `recvmmsg`, which itself returns how many messages there were: a stream ends with one of none.
/// `msg_len` of `struct mmsghdr` lies behind a `struct msghdr` of 56 bytes (`linux/socket.h`).
#[inline(always)]
fn in_messages(ret: i64, registers: Registers) -> i64 {
    if ret <= 0 {
        return ret;
    }
    peek_user::<u32>(registers.arg1() + 56).map_or(ret, i64::from)
}

#[inline(always)]
fn receive(task: Task, thread: &mut ThreadState, ret: i64, registers: Registers, flags: u64) {
    if flags & TAKES_NOTHING != 0 {
        return;
    }
    if let Some(sock) = socket(task, registers.arg0() as i64) {
        received::<false>(task, thread, sock, ret);
    } else if ret < 0 {
        count(counter::EMPTY_READS, 1);
    }
}

/// TCP tells of its connections by their state; a Unix socket does not.
#[inline(always)]
fn connected(task: Task, thread: &mut ThreadState, ret: i64, registers: Registers) {
    if ret != 0 && ret != EINPROGRESS {
        return;
    }
    let Some(sock) = socket(task, registers.arg0() as i64) else { return };
    if sock.family() != UNIX {
        return;
    }
    let Some(conn) = sock.used() else { return };
    conn.role = role::CLIENT;
    sock.announce(conn, task, thread);
    let now = unsafe { bpf_ktime_get_ns() };
    let record = operation(task, thread, conn, op::CONNECT, 0, ret, 0, now);
    emit::send(kind::SOCK_OP, record);
}

/// The socket of a descriptor.
#[inline(always)]
fn socket(task: Task, descriptor: i64) -> Option<Sock> {
    if !(0..=i64::from(i32::MAX)).contains(&descriptor) {
        return None;
    }
    let file = files::of_descriptor(task, descriptor as u32);
    (file.kind == file_kind::SOCKET && file.object != 0).then_some(Sock(file.object as *const u8))
}
