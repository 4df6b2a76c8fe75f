//! Several buckets added up.

use rustc_hash::FxHashMap;
use std::sync::Arc;

use super::bucket::{Bucket, CallCell, CpuCell, Group, LENGTH, LockCell, PeerCell, RouteCell, Sums, Waits};
use crate::decode::Route;

/// A span of time.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// Its length in seconds.
    pub seconds: f64,
    /// What happened in it: routes, calls, locks and peers with the most time first.
    pub sums: Sums,
}

impl Span {
    /// Adds buckets up. The last one may go on still: `until_last` is how much of it there is, in nanoseconds.
    pub fn of(buckets: &[Arc<Bucket>], until_last: u64) -> Self {
        let mut sums = Sums::default();
        let mut routes: FxHashMap<Option<Route>, Group> = FxHashMap::default();
        let mut calls: FxHashMap<i32, CallCell> = FxHashMap::default();
        let mut locks: FxHashMap<_, LockCell> = FxHashMap::default();
        let mut peers: FxHashMap<u16, PeerCell> = FxHashMap::default();
        for bucket in buckets.iter().map(|bucket| &bucket.sums) {
            sums.requests.merge(&bucket.requests);
            sums.slow.merge(&bucket.slow);
            sums.latencies.merge(&bucket.latencies);
            sums.switches.merge(&bucket.switches);
            sums.run_queue.merge(&bucket.run_queue);
            sums.births.merge(&bucket.births);
            sums.records += bucket.records;
            sums.lost += bucket.lost;
            sums.in_flight = sums.in_flight.max(bucket.in_flight);
            if sums.cpus.len() < bucket.cpus.len() {
                sums.cpus.resize(bucket.cpus.len(), CpuCell::default());
            }
            for (sum, cpu) in sums.cpus.iter_mut().zip(&bucket.cpus) {
                sum.merge(cpu);
            }
            for cell in &bucket.routes {
                routes.entry(cell.route.clone()).or_default().merge(&cell.group);
            }
            for cell in &bucket.calls {
                let sum = calls.entry(cell.syscall).or_default();
                sum.syscall = cell.syscall;
                sum.merge(cell);
            }
            for cell in &bucket.locks {
                let sum = locks.entry(cell.place).or_insert(LockCell {
                    waits: Waits::default(),
                    at_once: 0,
                    ..*cell
                });
                sum.waits.merge(&cell.waits);
                sum.at_once = sum.at_once.max(cell.at_once);
                sum.holder = cell.holder;
            }
            for cell in &bucket.peers {
                let sum = peers.entry(cell.peer).or_default();
                sum.peer = cell.peer;
                sum.exchanges.merge(&cell.exchanges);
                sum.queued += cell.queued;
                sum.opened += cell.opened;
                sum.received += cell.received;
                sum.sent += cell.sent;
            }
        }
        let whole = (buckets.len() as u64).saturating_sub(1) * LENGTH;
        let seconds = if buckets.is_empty() { 0.0 } else { (whole + until_last.min(LENGTH)) as f64 / 1e9 };
        sums.routes = routes.into_iter().map(|(route, group)| RouteCell { route, group }).collect();
        sums.routes.sort_by(|a, b| (b.group.total, &a.route).cmp(&(a.group.total, &b.route)));
        sums.calls = calls.into_values().collect();
        sums.calls.sort_by_key(|cell| {
            let traced = cell.traced.as_ref().map_or(0, |traced| traced.total_ns);
            std::cmp::Reverse((cell.busy.waits.total, cell.idle.waits.total, traced, cell.syscall))
        });
        sums.locks = locks.into_values().collect();
        sums.locks.sort_by_key(|cell| std::cmp::Reverse((cell.waits.total, cell.place)));
        sums.peers = peers.into_values().collect();
        sums.peers.sort_by_key(|cell| std::cmp::Reverse((cell.exchanges.total, cell.peer)));
        Self { seconds, sums }
    }

    /// CPUs that the target's threads ran on, in the mean.
    pub fn on_cpus(&self) -> f64 {
        self.sums.ran() as f64 / 1e9 / self.seconds.max(1e-9)
    }

    /// A count for each second.
    pub fn per_second(&self, count: u64) -> f64 {
        if self.seconds > 0.0 { count as f64 / self.seconds } else { 0.0 }
    }
}
