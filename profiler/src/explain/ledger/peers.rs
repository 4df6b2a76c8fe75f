//! The services that requests called, by address.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use rustc_hash::FxHashMap;
use whywait_ebpf::abi::{Conn, SockState, role};

use crate::{clock::Request, decode::ConnId};

/// `TCP_CLOSE`
const CLOSED: u32 = 7;
/// Closed connections whose service is remembered, for requests that are finished later.
const MOST_CLOSED: usize = 8_192;
/// Services that are told apart; the rest is summed under one name.
const MOST: usize = 1_024;
/// `AF_UNIX`, `AF_INET`, `AF_INET6`
const UNIX: u16 = 1;
const IPV4: u16 = 2;
const IPV6: u16 = 10;

/// Names a service within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(u32);

/// A service and what was waited for it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address: `127.0.0.1:5432`.
    pub address: String,
    /// Requests that waited for it.
    pub requests: u64,
    /// Nanoseconds that they did.
    pub waited: u64,
    /// The longest that one did.
    pub worst: u64,
}

/// The services.
#[derive(Debug, Default)]
pub struct Peers {
    conns: FxHashMap<ConnId, PeerId>,
    sockets: FxHashMap<u64, ConnId>,
    closed: VecDeque<ConnId>,
    ids: FxHashMap<String, PeerId>,
    known: Vec<Peer>,
}

impl Peers {
    /// Takes a socket that is seen for the first time.
    pub fn connection(&mut self, conn: &Conn) {
        if conn.role != role::CLIENT {
            return;
        }
        let id = ConnId(conn.id);
        if let Some(old) = self.sockets.insert(conn.sock, id).filter(|old| *old != id) {
            self.close(old);
        }
        let peer = self.peer(address(conn));
        self.conns.insert(id, peer);
    }

    fn peer(&mut self, address: String) -> PeerId {
        let address = if self.known.len() < MOST { address } else { "other services".to_owned() };
        if let Some(id) = self.ids.get(&address) {
            return *id;
        }
        let id = PeerId(u32::try_from(self.known.len()).unwrap_or(u32::MAX));
        self.ids.insert(address.clone(), id);
        self.known.push(Peer { address, requests: 0, waited: 0, worst: 0 });
        id
    }

    /// Takes a change of a connection's state.
    pub fn sock_state(&mut self, change: &SockState) {
        if change.new == CLOSED && self.conns.contains_key(&ConnId(change.conn)) {
            self.close(ConnId(change.conn));
        }
    }

    fn close(&mut self, id: ConnId) {
        self.closed.push_back(id);
        if self.closed.len() > MOST_CLOSED
            && let Some(oldest) = self.closed.pop_front()
        {
            self.conns.remove(&oldest);
        }
    }

    /// Takes a finished request.
    pub fn request(&mut self, request: &Request) {
        for (conn, nanos) in &request.called {
            if let Some(peer) = self.conns.get(conn).and_then(|id| self.known.get_mut(id.0 as usize)) {
                peer.requests += 1;
                peer.waited += nanos;
                peer.worst = peer.worst.max(*nanos);
            }
        }
    }

    /// Service at the other end of a connection, where that is known still.
    pub fn of(&self, conn: ConnId) -> Option<PeerId> {
        self.conns.get(&conn).copied()
    }

    /// A service.
    pub fn get(&self, id: PeerId) -> Option<&Peer> {
        self.known.get(id.0 as usize)
    }

    /// All services.
    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        (0..).map(PeerId).zip(&self.known)
    }
}

/// The address of the other end, as people write it.
fn address(conn: &Conn) -> String {
    let [a, b, c, d, ..] = conn.remote;
    match conn.family {
        IPV4 => format!("{}:{}", Ipv4Addr::new(a, b, c, d), conn.remote_port),
        IPV6 => {
            // A socket of both families writes an IPv4 address in the form `::ffff:127.0.0.1`.
            match Ipv6Addr::from(conn.remote).to_canonical() {
                IpAddr::V4(address) => format!("{address}:{}", conn.remote_port),
                IpAddr::V6(address) => format!("[{address}]:{}", conn.remote_port),
            }
        }
        UNIX => "a Unix socket".to_owned(),
        family => format!("a socket of family {family}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{explain::testing::request, units::Ns};

    fn conn(id: u64, port: u16) -> Conn {
        let mut remote = [0; 16];
        remote[..4].copy_from_slice(&[127, 0, 0, 1]);
        Conn { id, sock: id, remote, remote_port: port, family: IPV4, role: role::CLIENT, ..Conn::default() }
    }

    #[test]
    fn connections_to_one_address_are_one_service() {
        let mut peers = Peers::default();
        peers.connection(&conn(1, 5432));
        peers.connection(&conn(2, 5432));
        peers.connection(&conn(3, 6379));
        let mut asked = request(1, Ns(0), 10);
        asked.called = smallvec::smallvec![(ConnId(1), 4), (ConnId(2), 3), (ConnId(3), 1)];
        peers.request(&asked);
        let found: Vec<(&str, u64, u64)> =
            peers.iter().map(|(_, peer)| (&*peer.address, peer.waited, peer.worst)).collect();
        assert_eq!(found, [("127.0.0.1:5432", 7, 4), ("127.0.0.1:6379", 1, 1)]);
    }

    #[test]
    fn an_ipv4_address_is_written_as_one_on_a_socket_of_both_families() {
        let remote = Ipv4Addr::new(10, 0, 0, 7).to_ipv6_mapped().octets();
        let conn = Conn { remote, remote_port: 80, family: IPV6, ..Conn::default() };
        assert_eq!(address(&conn), "10.0.0.7:80");
    }

    #[test]
    fn a_closed_connection_is_remembered_for_a_while_only() {
        let mut peers = Peers::default();
        for id in 0..2 * MOST_CLOSED as u64 {
            peers.connection(&conn(id, 80));
            peers.sock_state(&SockState { conn: id, new: CLOSED, ..SockState::default() });
        }
        assert!(peers.of(ConnId(0)).is_none() && peers.of(ConnId(2 * MOST_CLOSED as u64 - 1)).is_some());
        assert!(peers.conns.len() <= MOST_CLOSED + 1);
    }
}
