//! Looks at serving processes from outside, while they serve: what the concurrency model cannot be told by from events alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{
    fingerprint::{Behaviour, Listener, Outside},
    platform::{
        mappings::mappings,
        proc,
        sockets::{TcpSocket, open_tcp_sockets},
    },
    units::Pid,
};

/// Processes that are looked at. With more, those that came first speak for the others.
const MOST: usize = 32;
/// Processes that do not serve and are looked at as well, once: they may have a listening socket of their own.
const MOST_IDLE: usize = 32;
/// Looks at each…
const LOOKS: u32 = 2;
/// …this long after one another: when it was looked at first it may have just begun.
const BETWEEN: Duration = Duration::from_millis(700);
/// The first process of the machine, which may hold sockets for services and is nobody's master.
const INIT: Pid = Pid(1);

/// Parts of names of libraries that have no other purpose than to switch stacks in user space.
const STACK_SWITCHERS: [&str; 5] = ["greenlet", "boost_context", "boost_coroutine", "boost_fiber", "swoole"];

/// What was seen so far.
#[derive(Debug, Default)]
pub struct ServingProcesses {
    looks: BTreeMap<Pid, (u32, Instant)>,
    idle: BTreeSet<Pid>,
    outside: Outside,
}

impl ServingProcesses {
    /// Looks at processes that serve and have not been looked at often enough, and at others of the target.
    pub fn tick(&mut self, behaviour: &Behaviour) {
        let now = Instant::now();
        let mut due = Vec::new();
        for pid in behaviour.serving() {
            let looked = self.looks.get(&pid).copied();
            let is_due = match looked {
                None => self.looks.len() < MOST,
                Some((looks, last)) => looks < LOOKS && now.duration_since(last) >= BETWEEN,
            };
            if is_due {
                self.looks.insert(pid, (looked.map_or(0, |(looks, _)| looks) + 1, now));
                due.push(pid);
            }
        }
        if !self.looks.is_empty() && self.idle.len() < MOST_IDLE {
            for pid in behaviour.pids() {
                if self.idle.len() < MOST_IDLE && !self.looks.contains_key(&pid) && self.idle.insert(pid) {
                    due.push(pid);
                }
            }
        }
        if !due.is_empty() {
            self.look(&due);
        }
    }

    /// What was seen.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// Looks at processes. One that has ended, or lets nobody look, stays unknown.
    fn look(&mut self, pids: &[Pid]) {
        let own = Pid(std::process::id());
        let with_parents: Vec<(Pid, Option<Pid>)> = pids
            .iter()
            .map(|pid| (*pid, proc::parent_of(*pid).ok().filter(|parent| *parent != INIT && *parent != own)))
            .collect();
        let mut all: Vec<Pid> =
            with_parents.iter().flat_map(|(pid, parent)| [Some(*pid), *parent]).flatten().collect();
        all.sort_unstable();
        all.dedup();
        let sockets = open_tcp_sockets(&all);
        for (pid, parent) in with_parents {
            if let Some(its) = sockets.get(&pid) {
                let parents = parent.and_then(|parent| sockets.get(&parent)).map_or(&[][..], Vec::as_slice);
                self.note(pid, parent, its, parents);
            }
        }
    }

    fn note(&mut self, pid: Pid, parent: Option<Pid>, sockets: &[TcpSocket], parent_sockets: &[TcpSocket]) {
        let (listeners, parent_listeners) = (listening(sockets), listening(parent_sockets));
        let ports = || listeners.iter().chain(&parent_listeners).map(|listener| listener.port);
        let connections = sockets
            .iter()
            .filter(|socket| !socket.listens && ports().any(|port| port == socket.port))
            .count();
        let mapped = mappings(pid).unwrap_or_default();
        let threads = proc::thread_count(pid).unwrap_or(1);
        let stack_switcher = mapped
            .code
            .iter()
            .find(|name| STACK_SWITCHERS.iter().any(|switcher| name.contains(switcher)))
            .cloned();
        let spare_stacks = mapped.stacks.saturating_sub(threads.saturating_sub(1));
        let known = self.outside.processes.entry(pid).or_default();
        // Stacks and connections belong together: of two looks the one that saw more is the better one.
        if connections >= known.connections {
            (known.connections, known.spare_stacks) = (connections, spare_stacks);
        }
        known.parent = parent;
        known.listeners = listeners;
        known.parent_listeners = parent_listeners;
        known.threads = threads;
        known.stack_switcher = stack_switcher;
    }
}

fn listening(sockets: &[TcpSocket]) -> Vec<Listener> {
    sockets
        .iter()
        .filter(|socket| socket.listens)
        .map(|socket| Listener { port: socket.port, address: socket.address.clone(), inode: socket.inode })
        .collect()
}
