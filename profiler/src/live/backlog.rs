//! Connections that wait to be accepted, by where they were opened to.

use std::{collections::VecDeque, net::SocketAddr};

use super::LENGTH;
use crate::{platform::sock_diag::ListenQueue, units::Ns};

/// Half seconds of which the longest queue is kept: the last ten seconds.
const RECENT: usize = 20;
/// Addresses that are told apart.
const ADDRESSES: usize = 64;

/// An address that the target listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The address.
    pub address: SocketAddr,
    /// Sockets that listen there: several with `SO_REUSEPORT`. The figures are those of the fullest.
    pub sockets: usize,
    /// Connections that wait to be accepted.
    pub queued: u32,
    /// As many may wait.
    pub limit: u32,
    /// The most that waited at once in the last ten seconds, as far as somebody looked.
    pub most: u32,
    /// Connections that found no room since attaching, in all sockets.
    pub dropped: u64,
}

impl Backlog {
    /// Whether the queue has been full in the last ten seconds: the kernel lets one more in than the limit says.
    pub fn has_been_full(&self) -> bool {
        self.most > self.limit
    }
}

/// What is kept of an address.
#[derive(Clone, Debug)]
struct Kept {
    told: Backlog,
    /// The most that waited, by half second.
    most: VecDeque<(u64, u32)>,
}

/// Some looks at the same sockets.
#[derive(Clone, Debug, Default)]
pub struct Backlogs {
    kept: Vec<Kept>,
    /// Connections that each socket had dropped when it was first seen, and at the last look.
    dropped: Vec<(u64, u32, u32)>,
}

impl Backlogs {
    /// A look at all sockets of the target that listen; the ones that are missing do not listen any more.
    pub fn look(&mut self, now: Ns, queues: &[ListenQueue]) {
        self.kept.retain(|kept| queues.iter().any(|queue| queue.address == kept.told.address));
        self.dropped.retain(|(inode, ..)| queues.iter().any(|queue| queue.inode == *inode));
        for queue in queues {
            match self.dropped.iter_mut().find(|(inode, ..)| *inode == queue.inode) {
                Some((.., last)) => *last = queue.dropped,
                None => self.dropped.push((queue.inode, queue.dropped, queue.dropped)),
            }
            let known = self.kept.iter().any(|kept| kept.told.address == queue.address);
            if !known && self.kept.len() < ADDRESSES {
                let told =
                    Backlog { address: queue.address, sockets: 0, queued: 0, limit: 0, most: 0, dropped: 0 };
                self.kept.push(Kept { told, most: VecDeque::new() });
            }
        }
        self.kept.sort_by_key(|kept| (kept.told.address.port(), kept.told.address));
        let bucket = now.0 / LENGTH;
        for kept in &mut self.kept {
            let its = || queues.iter().filter(|queue| queue.address == kept.told.address);
            let Some(fullest) = its().max_by_key(|queue| (queue.queued, std::cmp::Reverse(queue.limit)))
            else {
                continue;
            };
            let since = |queue: &ListenQueue| {
                let looks = self.dropped.iter().find(|(inode, ..)| *inode == queue.inode);
                looks.map_or(0, |(_, first, last)| u64::from(last.wrapping_sub(*first)))
            };
            let (sockets, dropped) = (its().count(), its().map(since).sum());
            match kept.most.back_mut() {
                Some((number, most)) if *number == bucket => *most = (*most).max(fullest.queued),
                _ => kept.most.push_back((bucket, fullest.queued)),
            }
            while kept.most.front().is_some_and(|(number, _)| number + (RECENT as u64) <= bucket) {
                kept.most.pop_front();
            }
            let most = kept.most.iter().map(|(_, most)| *most).max().unwrap_or(0);
            kept.told =
                Backlog { sockets, queued: fullest.queued, limit: fullest.limit, most, dropped, ..kept.told };
        }
    }

    /// What is known, by port.
    pub fn told(&self) -> Vec<Backlog> {
        self.kept.iter().map(|kept| kept.told.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(inode: u64, port: u16, queued: u32, dropped: u32) -> ListenQueue {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        ListenQueue { inode, address, queued, limit: 4, dropped }
    }

    #[test]
    fn the_fullest_of_several_sockets_is_told_and_drops_add_up() {
        let mut backlogs = Backlogs::default();
        backlogs.look(Ns(0), &[queue(1, 80, 0, 7), queue(2, 80, 2, 0), queue(3, 90, 0, 0)]);
        backlogs.look(Ns(1), &[queue(1, 80, 5, 9), queue(2, 80, 2, 1), queue(3, 90, 0, 0)]);
        let told = backlogs.told();
        assert_eq!(told.len(), 2);
        let first = &told[0];
        assert_eq!((first.sockets, first.queued, first.most, first.dropped), (2, 5, 5, 3));
        assert!(first.has_been_full() && !told[1].has_been_full());
    }

    #[test]
    fn a_full_queue_is_remembered_for_ten_seconds_and_a_closed_one_not_at_all() {
        let mut backlogs = Backlogs::default();
        backlogs.look(Ns(0), &[queue(1, 80, 5, 0)]);
        backlogs.look(Ns(LENGTH * 19), &[queue(1, 80, 1, 0)]);
        assert_eq!((backlogs.told()[0].queued, backlogs.told()[0].most), (1, 5));
        backlogs.look(Ns(LENGTH * 20), &[queue(1, 80, 1, 0)]);
        assert_eq!(backlogs.told()[0].most, 1);
        backlogs.look(Ns(LENGTH * 21), &[]);
        assert!(backlogs.told().is_empty());
    }
}
