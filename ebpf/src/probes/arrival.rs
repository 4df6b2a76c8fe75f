//! Arrivals: the moment from which a request exists.
//!
//! - Hooks: `sock:sk_data_ready` (data, or the end of it, became readable in a socket of any family), or, where the kernel lacks it,
//!   `tcp:tcp_probe` (every TCP segment); `sock:inet_sock_set_state` for connections that are established, opened
//!   and closed. BTF tracepoints.
//! - Cost: one look-up in a hash for somebody else's socket. They fire in the context of whoever delivers the data.
//! - Minimum kernel: `sk_data_ready` 6.3, `tcp_probe` 4.16, `inet_sock_set_state` 4.16.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use whywait_ebpf::abi::{SockOp, SockState, kind, op, role, tcp_state::ESTABLISHED};

use crate::{
    conns::{ConnState, Sock, UNIX},
    emit::{header, nobodys, send},
    globals::{SKB_HEAD, SKB_LEN, SKB_TRANSPORT, SKC_FAMILY},
    maps::{CONNS, PORTS, UNIX_LISTENERS},
    mem::{load, peek},
    task::Task,
};

const SYN_SENT: u32 = 2;
const FIN_WAIT1: u32 = 4;
const CLOSE: u32 = 7;
const LAST_ACK: u32 = 9;
const STATE_LISTEN: u32 = 10;

#[btf_tracepoint(function = "sk_data_ready")]
fn sk_data_ready(ctx: BtfTracePointContext) -> i32 {
    let sock = Sock(ctx.arg::<*const u8>(0));
    if let Some(conn) = sock.known() {
        arrived(sock, conn);
    } else if unsafe { load::<u16>(sock.0, &SKC_FAMILY) } == UNIX
        && unsafe { UNIX_LISTENERS.get(sock.unix_address()) }.is_some()
    {
        // A listener shares its address with what it accepts, and is told of connections by the same hook. Those that were there when whywait
        // attached are known: this one is new.
        if sock.tcp_state() != crate::conns::LISTEN
            && let Some(conn) = sock.register(role::SERVER, unsafe { bpf_ktime_get_ns() })
        {
            arrived(sock, conn);
        }
    }
    0
}

#[btf_tracepoint(function = "tcp_probe")]
fn tcp_probe(ctx: BtfTracePointContext) -> i32 {
    let sock = Sock(ctx.arg::<*const u8>(0));
    let Some(conn) = sock.known() else { return 0 };
    let packet = ctx.arg::<*const u8>(1);
    let length: u32 = peek(packet, &SKB_LEN);
    let start: u64 = peek(packet, &SKB_HEAD);
    let transport: u16 = peek(packet, &SKB_TRANSPORT);
    // The upper half of a TCP header's thirteenth byte is its length in words.
    let words =
        unsafe { bpf_probe_read_kernel((start + u64::from(transport) + 12) as *const u8) }.unwrap_or(0) >> 4;
    if length > u32::from(words) * 4 {
        arrived(sock, conn);
    }
    0
}

/// Notes that data is in a socket.
#[inline(always)]
fn arrived(sock: Sock, conn: &mut ConnState) {
    let now = unsafe { bpf_ktime_get_ns() };
    conn.last_arrival = now;
    if conn.arrival == 0 {
        conn.arrival = now;
        if conn.seq == 0 && !sock.has_socket() {
            conn.before_accept = 1;
        }
    }
}

#[btf_tracepoint(function = "inet_sock_set_state")]
fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let sock = Sock(ctx.arg::<*const u8>(0));
    let old = ctx.arg::<u32>(1);
    let new = ctx.arg::<u32>(2);
    match new {
        ESTABLISHED => established(sock, old),
        SYN_SENT => connects(sock),
        STATE_LISTEN => listens(sock),
        FIN_WAIT1 | LAST_ACK | CLOSE => ends(sock, old, new),
        _ => {}
    }
    0
}

#[inline(always)]
fn established(sock: Sock, old: u32) {
    if old == SYN_SENT {
        if let Some(conn) = sock.known() {
            let now = unsafe { bpf_ktime_get_ns() };
            conn.established = now;
            tell(conn, old, ESTABLISHED, now);
        }
    } else if unsafe { PORTS.get(sock.port()) }.is_some() {
        // A new connection, whatever had this address before.
        let _registered = sock.register(role::SERVER, unsafe { bpf_ktime_get_ns() });
    }
}

#[inline(always)]
fn connects(sock: Sock) {
    let task = Task::current();
    let Some(thread) = task.state() else { return };
    let Some(conn) = sock.register(role::CLIENT, 0) else { return };
    sock.announce(conn, task, thread);
    let now = unsafe { bpf_ktime_get_ns() };
    let record = SockOp {
        header: header::<SockOp>(kind::SOCK_OP, now, task, thread),
        conn: conn.id,
        entered: thread.entered,
        arrival: 0,
        ret: 0,
        conn_seq: 0,
        op: op::CONNECT,
        flags: 0,
        head_len: 0,
    };
    conn.seq = 1;
    conn.last_op = op::CONNECT;
    send(kind::SOCK_OP, record);
}

#[inline(always)]
fn listens(sock: Sock) {
    if Task::current().state().is_some() {
        let _full = PORTS.insert(sock.port(), 1, 0);
    }
}

#[inline(always)]
fn ends(sock: Sock, old: u32, new: u32) {
    let Some(conn) = sock.known() else { return };
    if conn.ended == 0 {
        conn.ended = 1;
        if conn.announced != 0 {
            tell(conn, old, new, unsafe { bpf_ktime_get_ns() });
        }
    }
    if new == CLOSE {
        let _gone = CONNS.remove(sock.0 as u64);
    }
}

/// Sends a change of state, with the thread that made it where it is one of the target's.
#[inline(always)]
fn tell(conn: &ConnState, old: u32, new: u32, now: u64) {
    let task = Task::current();
    let header = match task.state() {
        Some(thread) => header::<SockState>(kind::SOCK_STATE, now, task, thread),
        None => nobodys::<SockState>(kind::SOCK_STATE, now),
    };
    send(kind::SOCK_STATE, SockState { header, conn: conn.id, old, new });
}
