//! What no event tells, and is looked up in `/proc` while the window lasts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::Pid;

/// A TCP socket that listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// Its port.
    pub port: u16,
    /// Its local address, as the kernel writes it.
    pub address: String,
    /// Names the socket on this machine.
    pub inode: u64,
}

/// Facts about a process from outside the events. They are hints: no model is named by them alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessOutside {
    /// Its parent, where that is one that may serve as a master (not the first process of the machine).
    pub parent: Option<Pid>,
    /// Sockets that it has open and that listen.
    pub listeners: Vec<Listener>,
    /// Sockets that listen of its parent.
    pub parent_listeners: Vec<Listener>,
    /// Established TCP connections on ports that it, or its parent, listens on.
    pub connections: usize,
    /// Its threads.
    pub threads: usize,
    /// Mappings that look like stacks (anonymous memory behind a guard page) beyond one for each thread.
    pub spare_stacks: usize,
    /// A mapped library that switches stacks in user space.
    pub stack_switcher: Option<String>,
}

impl ProcessOutside {
    /// Whether it has a listening socket in common with its parent.
    pub fn shares_with_parent(&self) -> bool {
        self.listeners.iter().any(|own| self.parent_listeners.iter().any(|other| other.inode == own.inode))
    }
}

/// Facts about the target's processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outside {
    /// By process; those that lived for long enough to be looked at.
    pub processes: BTreeMap<Pid, ProcessOutside>,
}

impl Outside {
    /// Sockets that listen on the same address and port: the most on one.
    pub fn listening_together(&self, port: u16) -> usize {
        let mut sockets: Vec<&Listener> = self
            .processes
            .values()
            .flat_map(|process| process.listeners.iter().chain(&process.parent_listeners))
            .filter(|listener| listener.port == port)
            .collect();
        sockets.sort_unstable();
        sockets.dedup();
        let together = sockets.chunk_by(|one, other| one.address == other.address);
        together.map(<[&Listener]>::len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_two_addresses_are_no_shards() {
        let listener = |address: &str, inode| Listener { port: 80, address: address.to_owned(), inode };
        let of = |listeners| Outside {
            processes: [(Pid(1), ProcessOutside { listeners, ..ProcessOutside::default() })].into(),
        };
        assert_eq!(of(vec![listener("v4", 1), listener("v6", 2)]).listening_together(80), 1);
        assert_eq!(of(vec![listener("v4", 1), listener("v4", 2)]).listening_together(80), 2);
        assert_eq!(of(vec![listener("v4", 1)]).listening_together(81), 0);
    }
}
