//! Threads and connections that there are, as events: with these a new window begins like a run that has just been attached.

use rustc_hash::FxHashMap;
use whywait_ebpf::abi::{Thread, born};

use crate::{
    decode::{ConnId, Event, What},
    units::{Ns, Tid},
};

/// `TCP_ESTABLISHED`
const ESTABLISHED: u32 = 1;
/// Connections that are known at once.
const CONNECTIONS: usize = 65_536;

/// What there is.
#[derive(Debug, Default)]
pub struct Known {
    threads: FxHashMap<Tid, Event>,
    connections: FxHashMap<ConnId, Event>,
}

impl Known {
    /// Takes an event.
    pub fn event(&mut self, event: &Event) {
        match &event.what {
            What::Thread(thread) => {
                let found = Thread { how: born::FOUND, running: 0, ..*thread };
                let event = Event { what: What::Thread(found), ..event.clone() };
                self.threads.insert(event.tid, event);
            }
            What::ThreadEnd => {
                self.threads.remove(&event.tid);
            }
            What::Conn(conn) if self.connections.len() < CONNECTIONS => {
                self.connections.insert(ConnId(conn.id), event.clone());
            }
            What::SockState(change) if change.new != ESTABLISHED => {
                self.connections.remove(&ConnId(change.conn));
            }
            _ => {}
        }
    }

    /// What there is, as found at this moment.
    pub fn events(&self, at: Ns) -> impl Iterator<Item = Event> + '_ {
        let all = self.threads.values().chain(self.connections.values());
        all.map(move |event| Event { at, ..event.clone() })
    }
}
