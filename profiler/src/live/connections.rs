//! Connections that are open, and who is at their other end.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use rustc_hash::FxHashMap;
use whywait_ebpf::abi::{Conn, role};

use super::lanes::Share;
use crate::{
    clock::{State, Wait},
    decode::ConnId,
    units::Ns,
};

/// Peers that are told apart; the last one stands for the rest.
const PEERS: usize = 256;
/// Connections that are known at once.
const CONNECTIONS: usize = 65_536;
/// Closed connections whose peer is still known: their last request is finished only after their end.
const CLOSED: usize = 4_096;
/// `AF_INET`
const INET: u16 = 2;
/// `AF_INET6`
const INET6: u16 = 10;

/// Which end the target holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// It was called: requests come in.
    Accepted,
    /// It calls.
    Called,
}

/// Somebody at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address, and port where the target calls it.
    pub name: Arc<str>,
    /// Who calls whom.
    pub side: Side,
    /// Connections that are open.
    pub open: u64,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Connection {
    pub side: Side,
    pub peer: u16,
    pub sock: u64,
    /// Since when an answer is waited for.
    pub asked: Option<Ns>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    open: FxHashMap<ConnId, Connection>,
    sockets: FxHashMap<u64, ConnId>,
    peers: Vec<Peer>,
    by_name: FxHashMap<(Arc<str>, Side), u16>,
    closed: VecDeque<ConnId>,
    peer_of_closed: FxHashMap<ConnId, u16>,
}

impl Connections {
    /// A connection is seen for the first time; returns its peer's place.
    pub fn add(&mut self, conn: &Conn) -> u16 {
        let side = if conn.role == role::SERVER { Side::Accepted } else { Side::Called };
        let peer = self.peer(name(conn, side), side);
        let id = ConnId(conn.id);
        if let Some(old) = self.sockets.get(&conn.sock).copied().filter(|old| *old != id) {
            self.remove(old);
        }
        if self.open.len() < CONNECTIONS {
            self.sockets.insert(conn.sock, id);
            let connection = Connection { side, peer, sock: conn.sock, asked: None };
            if self.open.insert(id, connection).is_none() {
                self.peers[usize::from(peer)].open += 1;
            }
        }
        peer
    }

    fn peer(&mut self, name: Arc<str>, side: Side) -> u16 {
        if let Some(place) = self.by_name.get(&(Arc::clone(&name), side)) {
            return *place;
        }
        let last = self.peers.len() + 1 >= PEERS;
        let name: Arc<str> = if last { Arc::from("(others)") } else { name };
        if last && self.peers.len() == PEERS {
            return u16::try_from(PEERS - 1).unwrap_or(0);
        }
        let place = u16::try_from(self.peers.len()).unwrap_or(0);
        self.by_name.insert((Arc::clone(&name), side), place);
        self.peers.push(Peer { name, side, open: 0 });
        place
    }

    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.open.get_mut(&id)
    }

    /// The peer's place, also that of a connection which was closed a moment ago.
    pub fn peer_of(&self, id: ConnId) -> Option<u16> {
        let open = self.open.get(&id).map(|connection| connection.peer);
        open.or_else(|| self.peer_of_closed.get(&id).copied())
    }

    /// The peer's name.
    pub fn name_of(&self, id: ConnId) -> Option<Arc<str>> {
        self.peers.get(usize::from(self.peer_of(id)?)).map(|peer| Arc::clone(&peer.name))
    }

    /// The connection of a socket.
    pub fn of_socket(&self, sock: u64) -> Option<(ConnId, Side)> {
        let id = *self.sockets.get(&sock)?;
        self.open.get(&id).map(|connection| (id, connection.side))
    }

    /// What a thread did while it was off the CPU, and which peer it waited for.
    pub fn share(&self, wait: Wait, busy: bool) -> (Share, Option<Arc<str>>) {
        match wait {
            Wait::Preempted => (Some(State::RunQueue), None),
            Wait::Latch if busy => (Some(State::Lock), None),
            Wait::Idle | Wait::Latch => (None, None),
            Wait::State(State::Lock | State::Downstream | State::Other) if !busy => (None, None),
            Wait::State(state) => (Some(state), None),
            Wait::Receive(sock) | Wait::Send(sock) => {
                let found = self.of_socket(sock);
                let peer = found.and_then(|(id, _)| self.name_of(id));
                let share = match (found.map(|(_, side)| side), wait) {
                    (Some(Side::Accepted), Wait::Send(_)) => Some(State::Send),
                    (Some(Side::Accepted), _) => None,
                    _ if busy => Some(State::Downstream),
                    _ => None,
                };
                (share, peer)
            }
        }
    }

    pub fn remove(&mut self, id: ConnId) {
        let Some(connection) = self.open.remove(&id) else { return };
        if self.closed.len() == CLOSED
            && let Some(oldest) = self.closed.pop_front()
        {
            self.peer_of_closed.remove(&oldest);
        }
        self.closed.push_back(id);
        self.peer_of_closed.insert(id, connection.peer);
        if self.sockets.get(&connection.sock) == Some(&id) {
            self.sockets.remove(&connection.sock);
        }
        if let Some(peer) = self.peers.get_mut(usize::from(connection.peer)) {
            peer.open = peer.open.saturating_sub(1);
        }
    }

    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.open.capacity() * size_of::<(ConnId, Connection)>()
            + self.sockets.capacity() * size_of::<(u64, ConnId)>()
            + self.closed.capacity() * size_of::<ConnId>()
            + self.peer_of_closed.capacity() * size_of::<(ConnId, u16)>()
            + self.peers.capacity() * size_of::<Peer>()
            + self.by_name.capacity() * size_of::<((Arc<str>, Side), u16)>()
    }
}

/// Clients by their address, services by address and port.
fn name(conn: &Conn, side: Side) -> Arc<str> {
    let address = match conn.family {
        INET => {
            let [a, b, c, d, ..] = conn.remote;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        INET6 => IpAddr::V6(Ipv6Addr::from(conn.remote)).to_canonical(),
        _ => return Arc::from("a Unix socket"),
    };
    match side {
        Side::Accepted => Arc::from(address.to_string()),
        Side::Called => Arc::from(std::net::SocketAddr::new(address, conn.remote_port).to_string()),
    }
}
