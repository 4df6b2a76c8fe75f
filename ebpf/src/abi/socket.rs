//! Records about sockets: what they are, what threads do with them, how TCP's state changes.

use super::Header;

/// Room for the first bytes of a request; one byte less is used, which makes the bound a mask.
pub const HEAD_LEN: usize = 128;

/// What a thread did with a socket.
pub mod op {
    /// Received data: `read`, `recv*`, `readv`, `splice`, and those of `io_uring`.
    pub const RECV: u8 = 1;
    /// Sent data: `write`, `send*`, `writev`, `sendfile`, `splice`, and those of `io_uring`.
    pub const SEND: u8 = 2;
    /// Took a connection from the accept queue.
    pub const ACCEPT: u8 = 3;
    /// Began to connect.
    pub const CONNECT: u8 = 4;
    /// Closed the socket, or shut its sending side down.
    pub const CLOSE: u8 = 5;
}

/// Flags of a socket operation.
pub mod sock_flag {
    /// Data is left in the receive queue.
    pub const MORE: u8 = 1;
    /// The send buffer is full: the peer reads slower than the server writes.
    pub const FULL: u8 = 2;
    /// Data was taken from the queue by an operation that was not seen itself (`splice`).
    pub const UNSEEN: u8 = 4;
    /// The first data was there before the connection was accepted.
    pub const BEFORE_ACCEPT: u8 = 8;
}

/// Which end of a connection the target holds.
pub mod role {
    /// Not known.
    pub const UNKNOWN: u8 = 0;
    /// The target accepted it: requests come in here.
    pub const SERVER: u8 = 1;
    /// The target connected it, or uses it without a connection: it calls another service here.
    pub const CLIENT: u8 = 2;
    /// Both ends are the target's (`socketpair`).
    pub const PAIR: u8 = 3;
}

/// An operation on a socket returned.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SockOp {
    /// `ts`: the operation returned.
    pub header: Header,
    /// The connection, see [`Conn::id`].
    pub conn: u64,
    /// When the system call was entered; 0: not known (no system-call tracepoints).
    pub entered: u64,
    /// When the first of the data that it received arrived; 0: not known.
    pub arrival: u64,
    /// Bytes, or a negative error number.
    pub ret: i64,
    /// Counts the operations on this connection, lost ones included.
    pub conn_seq: u32,
    /// See [`op`].
    pub op: u8,
    /// See [`sock_flag`].
    pub flags: u8,
    /// Bytes of [`SockHead::head`] that are valid.
    pub head_len: u16,
}

const _: () = assert!(size_of::<SockOp>() == 32 + 40);

/// A read that may begin a request, with the first bytes that it got.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SockHead {
    /// The operation.
    pub op: SockOp,
    /// The first `op.head_len` bytes; what follows them means nothing.
    pub head: [u8; HEAD_LEN],
}

const _: () = assert!(size_of::<SockHead>() == 32 + 40 + HEAD_LEN);

/// A socket is seen for the first time: sent just before the first record that names it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conn {
    /// The thread that used it first.
    pub header: Header,
    /// Names this socket for as long as it lives; never used again.
    pub id: u64,
    /// The kernel's address of the socket, as in [`OffCpu::object`](super::OffCpu).
    pub sock: u64,
    /// When the connection was established, of a Unix socket when its first data came; 0: before whywait attached, or not connected.
    pub established: u64,
    /// Local address, network byte order, IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Remote address.
    pub remote: [u8; 16],
    /// Local port.
    pub local_port: u16,
    /// Remote port.
    pub remote_port: u16,
    /// Address family: 1 Unix, 2 IPv4, 10 IPv6.
    pub family: u16,
    /// Protocol: 6 TCP, 17 UDP, 0 for Unix sockets.
    pub protocol: u16,
    /// See [`role`].
    pub role: u8,
    /// Always 0.
    pub reserved: [u8; 7],
}

const _: () = assert!(size_of::<Conn>() == 32 + 24 + 32 + 8 + 8);

/// TCP's states, as far as they matter here (`include/net/tcp_states.h`).
pub mod tcp_state {
    /// `TCP_ESTABLISHED`
    pub const ESTABLISHED: u32 = 1;
}

/// A known TCP socket changed its state.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SockState {
    /// The thread that did it, when that is one of the target's; else 0 (the network did it).
    pub header: Header,
    /// The connection.
    pub conn: u64,
    /// State before, as in `include/net/tcp_states.h`.
    pub old: u32,
    /// State now.
    pub new: u32,
}

const _: () = assert!(size_of::<SockState>() == 32 + 16);
