//! Listening TCP sockets with the length of their accept queues, from the kernel's `NETLINK_SOCK_DIAG` (what `ss -ltn` shows).

use std::{
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    thread,
    time::Duration,
};

use rustix::{
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::units::Pid;

/// `SOCK_DIAG_BY_FAMILY` (`include/uapi/linux/sock_diag.h`).
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP: u16 = 0x301;
/// `NLMSG_ERROR`
const ERROR: u16 = 2;
/// `NLMSG_DONE`
const DONE: u16 = 3;
/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `struct inet_diag_msg`.
const MESSAGE: usize = 72;
/// `IPPROTO_TCP`
const TCP: u8 = 6;
/// `1 << TCP_LISTEN`
const LISTENING: u32 = 1 << 10;
/// `INET_DIAG_SKMEMINFO`; asked for by the bit of its predecessor.
const MEMORY: u16 = 7;
/// Place of `SK_MEMINFO_DROPS` in it, in bytes.
const DROPS: usize = 8 * 4;
/// `AF_INET` and `AF_INET6`
const FAMILIES: [u8; 2] = [2, 10];
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_millis(200);
/// Bytes of an answer's part; the kernel fills at most 32 KiB.
const PART: usize = 32 << 10;

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenQueue {
    /// Its inode.
    pub inode: u64,
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections that are established and not accepted.
    pub queued: u32,
    /// As many there may be (the smaller of `listen`'s argument and `net.core.somaxconn`); with one more the queue is full.
    pub limit: u32,
    /// Connections that were refused room, since it listens.
    pub dropped: u32,
}

/// A way to ask about the sockets of a network namespace.
#[derive(Debug)]
pub struct SockDiag {
    socket: OwnedFd,
}

impl SockDiag {
    /// For the namespace of a process.
    ///
    /// # Errors
    /// When the process has ended, or its namespace is another one and may not be entered (`CAP_SYS_ADMIN`).
    pub fn of(pid: Pid) -> io::Result<Self> {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        let own = std::fs::read_link("/proc/self/ns/net")?;
        if std::fs::read_link(&path)? == own {
            return Self::here();
        }
        let namespace = File::open(&path)?;
        // A socket stays in the namespace in which it was opened; the thread that enters it ends.
        let opened = thread::Builder::new().name("whywait-netns".to_owned()).spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Self::here()
        })?;
        opened.join().unwrap_or_else(|_| Err(io::Error::other("the thread that enters the namespace failed")))
    }

    fn here() -> io::Result<Self> {
        let protocol = Some(netlink::SOCK_DIAG);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket })
    }

    /// Every listening TCP socket of the namespace.
    ///
    /// # Errors
    /// When the kernel refuses to answer.
    pub fn listening(&self) -> io::Result<Vec<ListenQueue>> {
        let mut found = Vec::new();
        let mut part = vec![0; PART];
        for family in FAMILIES {
            send(&self.socket, &request(family), SendFlags::empty())?;
            loop {
                let (_, length) = recv(&self.socket, &mut part[..], RecvFlags::empty())?;
                if !take(&part[..length.min(PART)], &mut found)? {
                    break;
                }
            }
        }
        Ok(found)
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(family: u8) -> Vec<u8> {
    const LENGTH: u32 = 72;
    let mut request = Vec::with_capacity(LENGTH as usize);
    request.extend(LENGTH.to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(DUMP.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([family, TCP, 1 << (MEMORY - 1), 0]);
    request.extend(LISTENING.to_ne_bytes());
    request.resize(LENGTH as usize, 0);
    request
}

/// Takes a part of an answer; returns whether more is to come.
fn take(mut part: &[u8], found: &mut Vec<ListenQueue>) -> io::Result<bool> {
    while let Some(length) = u32_at(part, 0) {
        let length = length as usize;
        let Some(message) = part.get(..length).filter(|message| message.len() >= HEADER) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match u16_at(message, 4) {
            Some(DONE) => return Ok(false),
            Some(ERROR) => {
                let negative = u32_at(message, HEADER).unwrap_or(0).cast_signed();
                return Err(io::Error::from_raw_os_error(negative.saturating_neg()));
            }
            _ => found.extend(socket(&message[HEADER..])),
        }
        part = part.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

/// `struct inet_diag_msg` and its attributes.
fn socket(message: &[u8]) -> Option<ListenQueue> {
    let (fixed, mut attributes) = message.split_at_checked(MESSAGE)?;
    let ip = match fixed[0] {
        2 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&fixed[8..12]).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&fixed[8..24]).ok()?)),
    };
    let port = u16::from_be_bytes([fixed[4], fixed[5]]);
    let mut dropped = 0;
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        if kind == MEMORY {
            dropped = attributes.get(4..length).and_then(|memory| u32_at(memory, DROPS)).unwrap_or(0);
        }
        attributes = attributes.get(length.next_multiple_of(4).max(4)..).unwrap_or_default();
    }
    Some(ListenQueue {
        inode: u64::from(u32_at(fixed, 68)?),
        address: SocketAddr::new(ip, port),
        queued: u32_at(fixed, 56)?,
        limit: u32_at(fixed, 60)?,
        dropped,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Reads bytes as the kernel's answer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(bytes: &[u8]) {
    let mut found = Vec::new();
    let _more = take(bytes, &mut found);
    assert!(found.len() <= bytes.len() / MESSAGE, "{} sockets in {} bytes", found.len(), bytes.len());
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    fn queue_of(address: SocketAddr) -> ListenQueue {
        let diag = SockDiag::of(Pid(std::process::id())).unwrap();
        diag.listening().unwrap().into_iter().find(|queue| queue.address == address).unwrap()
    }

    /// The kernel's answer about a listener of our own: connections that nobody accepts are in its queue, and those that find no room are
    /// counted.
    #[test]
    fn what_waits_for_accept_is_seen() {
        use rustix::net::{bind, listen};
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &any).unwrap();
        listen(&socket, 2).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        assert_eq!((queue_of(address).queued, queue_of(address).limit), (0, 2));
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        let _waiting = [connect(), connect(), connect()];
        assert_eq!((queue_of(address).queued, queue_of(address).dropped), (3, 0));
        let refused = TcpStream::connect_timeout(&address, Duration::from_millis(100));
        assert!(refused.is_err());
        assert!(queue_of(address).dropped >= 1);
        let _accepted = listener.accept().unwrap();
        assert_eq!(queue_of(address).queued, 2);
    }

    proptest! {
        /// Whatever the bytes are, taking them apart ends.
        #[test]
        fn any_bytes_are_taken_apart(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut found = Vec::new();
            let _any = take(&bytes, &mut found);
            let _any = socket(&bytes);
        }
    }
}
