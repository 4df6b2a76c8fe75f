//! What threads of the target do with sockets.
//!
//! - Hooks: `sock:sock_recv_length`, `sock:sock_send_length`, as BTF tracepoints. Every `read`, `recv*`, `write`, `send*`,
//!   `sendfile` and io_uring operation on a socket passes there, in the context of the thread that does it.
//! - Cost: one load for somebody else's thread.
//! - Minimum kernel: 6.3; before, [`super::syscall`] sends the same records.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, generated::bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use whywait_ebpf::{
    abi::{HEAD_LEN, SockHead, SockOp, counter, kind, op, role, sock_flag},
    syscalls,
};

use crate::{
    conns::{ConnState, Sock, TCP, Tcp},
    emit::{self, count, header},
    globals::{SOCK_SNDBUF, SOCK_WMEM_QUEUED, TCP_COPIED_SEQ, TCP_RCV_NXT},
    maps::EVENTS,
    mem::peek_user,
    task::{Registers, Task, ThreadState},
};

/// `MSG_PEEK | MSG_ERRQUEUE`: nothing is taken from the queue.
const TAKES_NOTHING: i32 = 0x2 | 0x2000;
const EINTR: i64 = -4;
const EAGAIN: i64 = -11;
/// `ERESTARTSYS` and its kin: the call begins again.
const RESTARTS: core::ops::RangeInclusive<i64> = -516..=-512;

#[btf_tracepoint(function = "sock_recv_length")]
fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    let task = Task::current();
    if let Some(thread) = task.state() {
        let flags = ctx.arg::<i32>(2);
        if flags & TAKES_NOTHING == 0 {
            let sock = Sock(ctx.arg::<*const u8>(0));
            received::<true>(task, thread, sock, i64::from(ctx.arg::<i32>(1)));
        }
    }
    0
}

#[btf_tracepoint(function = "sock_send_length")]
fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    let task = Task::current();
    if let Some(thread) = task.state() {
        sent::<true>(task, thread, Sock(ctx.arg::<*const u8>(0)), i64::from(ctx.arg::<i32>(1)));
    }
    0
}

/// A thread received from a socket, or failed to; see [`Tcp`] for `TRUSTED`.
#[inline(always)]
pub fn received<const TRUSTED: bool>(task: Task, thread: &mut ThreadState, sock: Sock, ret: i64) {
    if ret == EAGAIN || ret == EINTR || RESTARTS.contains(&ret) {
        count(counter::EMPTY_READS, 1);
        return;
    }
    let Some(conn) = sock.used() else { return };
    sock.announce(conn, task, thread);
    let now = unsafe { bpf_ktime_get_ns() };
    let arrival = conn.arrival;
    // Cleared before the queue is looked at: data that comes between the two is then seen by one of them.
    conn.arrival = 0;
    let mut flags = 0;
    if conn.protocol == TCP {
        let Some(tcp) = Tcp::<TRUSTED>::of(sock) else { return };
        let copied: u32 = tcp.get(&TCP_COPIED_SEQ);
        let next: u32 = tcp.get(&TCP_RCV_NXT);
        conn.copied = copied;
        if ret > 0 && next.wrapping_sub(copied) as i32 > 0 {
            flags |= sock_flag::MORE;
            if conn.arrival == 0 {
                conn.arrival = conn.last_arrival;
            }
        }
    }
    if conn.before_accept != 0 {
        conn.before_accept = 0;
        flags |= sock_flag::BEFORE_ACCEPT;
    }
    let first = conn.role == role::SERVER && conn.last_op != op::RECV && ret > 0;
    conn.last_op = op::RECV;
    let record = operation(task, thread, conn, op::RECV, flags, ret, arrival, now);
    if first {
        let buffer = buffer(task.registers());
        if buffer != 0 {
            send_head(record, buffer, ret);
            return;
        }
    }
    emit::send(kind::SOCK_OP, record);
}

/// A thread sent to a socket, or failed to; see [`Tcp`] for `TRUSTED`.
#[inline(always)]
pub fn sent<const TRUSTED: bool>(task: Task, thread: &mut ThreadState, sock: Sock, ret: i64) {
    if ret == EINTR || RESTARTS.contains(&ret) {
        return;
    }
    let Some(conn) = sock.used() else { return };
    sock.announce(conn, task, thread);
    let now = unsafe { bpf_ktime_get_ns() };
    let mut flags = 0;
    if conn.protocol == TCP {
        let Some(tcp) = Tcp::<TRUSTED>::of(sock) else { return };
        unseen_read(task, thread, tcp.get(&TCP_COPIED_SEQ), conn, now);
        let queued: u32 = tcp.get(&SOCK_WMEM_QUEUED);
        let room: u32 = tcp.get(&SOCK_SNDBUF);
        if queued >= room {
            flags |= sock_flag::FULL;
        }
    }
    conn.last_op = op::SEND;
    let record = operation(task, thread, conn, op::SEND, flags, ret, 0, now);
    emit::send(kind::SOCK_OP, record);
}

/// Data that left the queue without an operation that was seen was spliced: tells it before the answer is sent.
#[inline(always)]
fn unseen_read(task: Task, thread: &mut ThreadState, copied: u32, conn: &mut ConnState, now: u64) {
    let before = core::mem::replace(&mut conn.copied, copied);
    // Nothing is known of a connection before its first operation: its numbers begin anywhere.
    if before == 0 {
        return;
    }
    let taken = copied.wrapping_sub(before);
    // The end of the stream counts as one byte.
    if taken > 1 && taken < 1 << 30 {
        let arrival = conn.arrival;
        conn.arrival = 0;
        conn.last_op = op::RECV;
        let record =
            operation(task, thread, conn, op::RECV, sock_flag::UNSEEN, i64::from(taken), arrival, now);
        emit::send(kind::SOCK_OP, record);
    }
}

/// The record of an operation.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "inlined; a struct of them would be the record itself")]
pub fn operation(
    task: Task,
    thread: &mut ThreadState,
    conn: &mut ConnState,
    op: u8,
    flags: u8,
    ret: i64,
    arrival: u64,
    now: u64,
) -> SockOp {
    let conn_seq = conn.seq;
    conn.seq = conn_seq.wrapping_add(1);
    SockOp {
        header: header::<SockOp>(kind::SOCK_OP, now, task, thread),
        conn: conn.id,
        entered: thread.entered,
        arrival,
        ret,
        conn_seq,
        op,
        flags,
        head_len: 0,
    }
}

/// Address of the first buffer of the read that the thread is in; 0 where that cannot be told.
#[inline(always)]
fn buffer(registers: Registers) -> u64 {
    match registers.syscall() {
        syscalls::READ | syscalls::RECVFROM => registers.arg1(),
        syscalls::READV | syscalls::PREADV | syscalls::PREADV2 => {
            peek_user::<u64>(registers.arg1()).unwrap_or(0)
        }
        // `msghdr.msg_iov` is the third member; `recvmmsg`'s `mmsghdr` begins with a `msghdr`.
        syscalls::RECVMSG | syscalls::RECVMMSG => {
            let vector = peek_user::<u64>(registers.arg1() + 16).unwrap_or(0);
            peek_user::<u64>(vector).unwrap_or(0)
        }
        _ => 0,
    }
}

/// Sends an operation with the first bytes that it received.
#[inline(always)]
fn send_head(mut operation: SockOp, buffer: u64, ret: i64) {
    let Some(mut entry) = EVENTS.reserve_untyped::<SockHead>(0) else {
        emit::lost(kind::SOCK_HEAD);
        return;
    };
    const MOST: u32 = HEAD_LEN as u32 - 1;
    let size = if ret > i64::from(MOST) { MOST } else { ret as u32 };
    // The verifier forgets the bound on the way to the helper; hidden from the compiler, the mask stays and renews it.
    let size = core::hint::black_box(size) & MOST;
    operation.header.kind = kind::SOCK_HEAD;
    operation.header.len = size_of::<SockHead>() as u32;
    operation.head_len = size as u16;
    let record = entry.as_mut_ptr();
    unsafe {
        (*record).op = operation;
        let head = (&raw mut (*record).head).cast::<core::ffi::c_void>();
        if bpf_probe_read_user(head, size, buffer as *const core::ffi::c_void) != 0 {
            (*record).op.head_len = 0;
        }
    }
    emit::submit(entry);
}
