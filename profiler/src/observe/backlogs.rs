//! Looks at the accept queues of a live target.

use std::collections::HashSet;

use crate::{
    live::{Backlog, Backlogs},
    platform::{sock_diag::SockDiag, sockets},
    units::{Ns, Pid},
};

/// The accept queues of a target.
#[derive(Default)]
pub struct AcceptQueues {
    /// The target's sockets that listen.
    inodes: HashSet<u64>,
    diag: Option<SockDiag>,
    backlogs: Backlogs,
}

impl AcceptQueues {
    /// The target's sockets are looked up anew, which reads the tables of all connections: not often. Returns the ports that it listens on.
    pub fn seek(&mut self, pids: &[Pid]) -> Vec<u16> {
        let open = sockets::open_tcp_sockets(pids);
        let listening = || open.values().flatten().filter(|socket| socket.listens);
        self.inodes = listening().map(|socket| socket.inode).collect();
        // All processes of a target are in one namespace, but for rare ones.
        let first =
            pids.iter().find(|pid| open.get(*pid).is_some_and(|its| its.iter().any(|one| one.listens)));
        self.diag = first.and_then(|pid| match SockDiag::of(*pid) {
            Ok(diag) => Some(diag),
            Err(error) => {
                log::warn!("accept queues cannot be seen: {error}");
                None
            }
        });
        let mut ports: Vec<u16> = listening().map(|socket| socket.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// A look; cheap.
    pub fn look(&mut self, now: Ns) -> Vec<Backlog> {
        let queues = self.diag.as_ref().map(SockDiag::listening);
        match queues {
            Some(Ok(mut queues)) => {
                queues.retain(|queue| self.inodes.contains(&queue.inode));
                self.backlogs.look(now, &queues);
            }
            Some(Err(error)) => {
                log::warn!("accept queues cannot be seen any more: {error}");
                self.diag = None;
            }
            None => self.backlogs = Backlogs::default(),
        }
        self.backlogs.told()
    }
}
