//! Sockets of the target: what is kept for each, how one is recognised, and which end the target holds.

use aya_ebpf::{
    Global,
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns, generated::bpf_skc_to_tcp_sock},
};
use whywait_ebpf::abi::{Conn, counter, kind, role};

use crate::{
    emit::{count, header, send},
    globals::{
        INODE_INO, SKC_DADDR, SKC_DPORT, SKC_FAMILY, SKC_NUM, SKC_SADDR, SKC_STATE, SKC_V6_DADDR,
        SKC_V6_SADDR, SOCK_PROTOCOL, SOCK_SOCKET, SOCKET_INODE, TCP_COPIED_SEQ, UNIX_ADDR, UNIX_PEER,
    },
    maps::{CONN_IDS, CONNS, PORTS},
    mem::{load, peek},
    task::{Task, ThreadState},
};

/// `AF_UNIX`
pub const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;
/// `IPPROTO_TCP`
pub const TCP: u16 = 6;
/// `TCP_CLOSE`
const CLOSED: u8 = 7;
/// `TCP_LISTEN`
pub const LISTEN: u8 = 10;

/// What is kept for a socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ConnState {
    /// See [`Conn::id`].
    pub id: u64,
    /// When it was established.
    pub established: u64,
    /// Arrival of the first data that nobody has read; 0: there is none.
    pub arrival: u64,
    /// Arrival of the last data.
    pub last_arrival: u64,
    /// Number of the socket's inode, where the end of the socket is not seen: another one means another socket.
    pub inode: u64,
    /// `tcp_sock.copied_seq` after the last operation.
    pub copied: u32,
    /// Operations so far.
    pub seq: u32,
    /// Address family.
    pub family: u16,
    /// Protocol.
    pub protocol: u16,
    /// See [`role`].
    pub role: u8,
    /// Last operation.
    pub last_op: u8,
    /// 1: the first data came before the connection was accepted.
    pub before_accept: u8,
    /// 1: the [`Conn`] record has been sent.
    pub announced: u8,
    /// 1: the end has been told.
    pub ended: u8,
    /// Always 0.
    pub reserved: [u8; 7],
}

/// TCP's side of a socket. `TRUSTED` says whether the verifier knows the pointer for one of a socket's: what is read is then read without
/// a helper's call.
#[derive(Clone, Copy)]
pub struct Tcp<const TRUSTED: bool>(*const u8);

impl<const TRUSTED: bool> Tcp<TRUSTED> {
    /// Of a socket whose protocol is TCP.
    #[inline(always)]
    pub fn of(sock: Sock) -> Option<Self> {
        if !TRUSTED {
            return Some(Self(sock.0));
        }
        let tcp = unsafe { bpf_skc_to_tcp_sock(sock.0.cast_mut().cast()) };
        if tcp.is_null() { None } else { Some(Self(tcp.cast_const().cast())) }
    }

    /// A member.
    #[inline(always)]
    pub fn get<T: Copy + Default>(self, offset: &Global<u32>) -> T {
        if TRUSTED { unsafe { load(self.0, offset) } } else { peek(self.0, offset) }
    }
}

/// A socket by its address.
#[derive(Clone, Copy)]
pub struct Sock(pub *const u8);

impl Sock {
    /// Address family.
    #[inline(always)]
    pub fn family(self) -> u16 {
        peek(self.0, &SKC_FAMILY)
    }

    /// TCP state.
    #[inline(always)]
    pub fn tcp_state(self) -> u8 {
        peek(self.0, &SKC_STATE)
    }

    /// Local port.
    #[inline(always)]
    pub fn port(self) -> u32 {
        u32::from(peek::<u16>(self.0, &SKC_NUM))
    }

    /// Protocol. Its member was wider before 5.6; the low byte is the same.
    #[inline(always)]
    fn protocol(self) -> u16 {
        peek(self.0, &SOCK_PROTOCOL)
    }

    /// Whether a thread has accepted it, or made it.
    #[inline(always)]
    pub fn has_socket(self) -> bool {
        peek::<u64>(self.0, &SOCK_SOCKET) != 0
    }

    /// Number of its inode; 0 before it is accepted.
    #[inline(always)]
    fn inode(self) -> u64 {
        let socket: u64 = peek(self.0, &SOCK_SOCKET);
        if socket == 0 {
            return 0;
        }
        peek((socket + u64::from(SOCKET_INODE.load())) as *const u8, &INODE_INO)
    }

    /// `unix_sock.addr`: shared between a listener and what it accepts.
    #[inline(always)]
    pub fn unix_address(self) -> u64 {
        peek(self.0, &UNIX_ADDR)
    }

    /// State of a socket that is known already. Of the end of a Unix socket the kernel does not tell: another inode at the same address is
    /// another socket.
    #[inline(always)]
    pub fn known(self) -> Option<&'static mut ConnState> {
        let state = CONNS.get_ptr_mut(self.0 as u64).map(|state| unsafe { &mut *state })?;
        let another = state.protocol != TCP && state.inode != 0 && state.inode != self.inode();
        if another { None } else { Some(state) }
    }

    /// State of a socket that a thread of the target uses; `None` for kinds of sockets that carry no requests.
    #[inline(always)]
    pub fn used(self) -> Option<&'static mut ConnState> {
        if let Some(state) = self.known() {
            if state.protocol != TCP && state.inode == 0 {
                // Data came before it was accepted.
                state.inode = self.inode();
            }
            return Some(state);
        }
        // A closed socket can still be read, to its end; its connection has been told of and is gone.
        if self.family() != UNIX && self.protocol() == TCP && self.tcp_state() == CLOSED {
            return None;
        }
        let role = self.role();
        self.register(role, 0)
    }

    /// Which end the target holds, for a socket whose birth was not seen.
    #[inline(always)]
    fn role(self) -> u8 {
        if self.family() == UNIX {
            let own = self.unix_address();
            let peer: u64 = peek(self.0, &UNIX_PEER);
            let other = if peer == 0 { 0 } else { Self(peer as *const u8).unix_address() };
            return match (own != 0, other != 0) {
                (true, false) => role::SERVER,
                (_, true) => role::CLIENT,
                (false, false) => role::PAIR,
            };
        }
        if self.protocol() == TCP && unsafe { PORTS.get(self.port()) }.is_some() {
            role::SERVER
        } else {
            role::CLIENT
        }
    }

    /// Begins to keep state for a socket.
    #[inline(always)]
    pub fn register(self, role: u8, established: u64) -> Option<&'static mut ConnState> {
        let family = self.family();
        if family != UNIX && family != INET && family != INET6 {
            return None;
        }
        let protocol = if family == UNIX { 0 } else { self.protocol() };
        if protocol == TCP && self.tcp_state() == LISTEN {
            return None;
        }
        let state = ConnState {
            id: next_id(),
            established,
            arrival: 0,
            last_arrival: 0,
            inode: if protocol == TCP { 0 } else { self.inode() },
            copied: if protocol == TCP { peek(self.0, &TCP_COPIED_SEQ) } else { 0 },
            seq: 0,
            family,
            protocol,
            role,
            last_op: 0,
            before_accept: 0,
            announced: 0,
            ended: 0,
            reserved: [0; 7],
        };
        if CONNS.insert(self.0 as u64, state, 0).is_err() {
            count(counter::NO_STATE, 1);
        }
        self.known()
    }

    /// Sends the connection's record, before the first record that names it.
    #[inline(always)]
    pub fn announce(self, state: &mut ConnState, task: Task, thread: &mut ThreadState) {
        if state.announced != 0 {
            return;
        }
        state.announced = 1;
        let mut local = [0; 16];
        let mut remote = [0; 16];
        if state.family == INET {
            local[..4].copy_from_slice(&peek::<[u8; 4]>(self.0, &SKC_SADDR));
            remote[..4].copy_from_slice(&peek::<[u8; 4]>(self.0, &SKC_DADDR));
        } else if state.family == INET6 {
            local = peek(self.0, &SKC_V6_SADDR);
            remote = peek(self.0, &SKC_V6_DADDR);
        }
        let inet = state.family != UNIX;
        let now = unsafe { bpf_ktime_get_ns() };
        let record = Conn {
            header: header::<Conn>(kind::CONN, now, task, thread),
            id: state.id,
            sock: self.0 as u64,
            established: state.established,
            local,
            remote,
            local_port: if inet { self.port() as u16 } else { 0 },
            remote_port: if inet { u16::from_be(peek(self.0, &SKC_DPORT)) } else { 0 },
            family: state.family,
            protocol: state.protocol,
            role: state.role,
            reserved: [0; 7],
        };
        send(kind::CONN, record);
    }
}

/// An id that no socket has had: this CPU's number over a count of its own.
#[inline(always)]
fn next_id() -> u64 {
    let cpu = u64::from(unsafe { bpf_get_smp_processor_id() });
    let Some(counter) = CONN_IDS.get_ptr_mut(0) else { return 0 };
    unsafe {
        *counter += 1;
        (cpu + 1) << 48 | *counter
    }
}
