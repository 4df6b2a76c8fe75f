//! The verdict with its figures.

use rustc_hash::FxHashSet;

use super::{
    behaviour::Behaviour,
    facts::ThreadFacts,
    inner::{Inner, Kind, observed},
    model::ModelId,
    outside::Outside,
    topology::{Verdict, verdict},
    verdict::{Fingerprint, Loop, Pool, Role, ThreadRole, Worker},
    wait::Wait,
};
use crate::units::Tid;

/// Threads, or processes, that are told one by one.
const MOST: usize = 256;

impl Behaviour {
    /// What it amounts to.
    pub fn fingerprint(&self, outside: &Outside) -> Fingerprint {
        let verdict = verdict(self, outside);
        Fingerprint {
            id: verdict.id,
            confidence: verdict.confidence,
            roles: self.roles(&verdict.inners),
            pool: self.pool(&verdict),
            loops: self.loops(&verdict.inners),
            processes: self.workers(&verdict),
            little: self.figures.little(self.begin, self.end),
            evidence: verdict.evidence,
        }
    }

    fn roles(&self, inners: &[Inner]) -> Vec<ThreadRole> {
        let role = |thread: &ThreadFacts| {
            for inner in inners {
                if inner.loops.contains(&thread.tid) {
                    return Role::Loop;
                }
                if inner.acceptor == Some(thread.tid) {
                    return Role::Acceptor;
                }
                if inner.workers.contains(&thread.tid) {
                    let pool = matches!(inner.kind, Kind::Pool | Kind::LoopPool);
                    return if pool { Role::PoolWorker } else { Role::Worker };
                }
            }
            if thread.accepted > 0 { Role::Acceptor } else { Role::Idle }
        };
        let mut roles: Vec<ThreadRole> = self
            .threads()
            .map(|thread| ThreadRole {
                tid: thread.tid,
                pid: thread.pid,
                role: role(thread),
                requests: thread.reads + thread.split,
                busy: self.busy(thread),
            })
            .filter(|thread| thread.role != Role::Idle)
            .collect();
        roles.sort_by_key(|thread| (thread.role, std::cmp::Reverse(thread.requests), thread.tid));
        roles.truncate(MOST);
        roles
    }

    /// Share of a thread's time in which it did not wait for work.
    fn busy(&self, thread: &ThreadFacts) -> f64 {
        let seen = observed(thread, self.end);
        let many =
            [Wait::Epoll, Wait::Poll, Wait::Select].into_iter().map(|wait| thread.waits_ns[wait as usize]);
        let own = [Wait::One, Wait::Accept, Wait::Receive, Wait::Futex];
        let idle = many.sum::<u64>() + own.into_iter().map(|wait| thread.idle[wait as usize]).sum::<u64>();
        if seen == 0 { 0.0 } else { (1.0 - idle as f64 / seen as f64).clamp(0.0, 1.0) }
    }

    /// The pool, where there is a queue before workers.
    fn pool(&self, verdict: &Verdict<'_>) -> Option<Pool> {
        let mut workers: FxHashSet<Tid> = FxHashSet::default();
        let in_application = match verdict.id {
            ModelId::Prefork => {
                let iterative =
                    verdict.inners.iter().all(|inner| matches!(inner.kind, Kind::Iterative | Kind::Unknown));
                if !iterative {
                    return None;
                }
                workers.extend(verdict.processes.iter().map(|process| process.pid.main_thread()));
                false
            }
            ModelId::ThreadPool | ModelId::PreforkThreads | ModelId::EventLoopWithPool => {
                workers.extend(verdict.inners.iter().flat_map(|inner| inner.workers.iter().copied()));
                true
            }
            ModelId::Iterative => {
                workers.extend(verdict.inners.iter().flat_map(|inner| inner.workers.iter().copied()));
                false
            }
            _ => return None,
        };
        if workers.is_empty() {
            return None;
        }
        let busy = self.figures.busy(&workers, self.begin, self.end);
        let (mean_queue, max_queue) = self.figures.queue(self.begin, self.end, in_application);
        Some(Pool {
            workers: workers.len(),
            utilisation: busy.utilisation,
            all_busy: busy.all,
            mean_queue,
            max_queue,
        })
    }

    fn loops(&self, inners: &[Inner]) -> Vec<Loop> {
        let loops: FxHashSet<Tid> = inners.iter().flat_map(|inner| inner.loops.iter().copied()).collect();
        let seconds = self.end.since(self.begin) as f64 / 1e9;
        let mut told: Vec<Loop> = self
            .threads()
            .filter(|thread| loops.contains(&thread.tid))
            .map(|thread| Loop {
                tid: thread.tid,
                pid: thread.pid,
                busy: self.busy(thread),
                turns_per_second: if seconds > 0.0 { thread.many_waits() as f64 / seconds } else { 0.0 },
                requests: thread.reads,
                lag_us: self.figures.lag(thread.tid).unwrap_or_default(),
            })
            .collect();
        told.sort_by_key(|one| (std::cmp::Reverse(one.requests), one.tid));
        told.truncate(MOST);
        told
    }

    fn workers(&self, verdict: &Verdict<'_>) -> Vec<Worker> {
        let window = self.end.since(self.begin);
        verdict
            .processes
            .iter()
            .take(MOST)
            .map(|process| {
                let mine = || self.threads().filter(|thread| thread.pid == process.pid);
                Worker {
                    pid: process.pid,
                    threads: mine().count(),
                    accepted: process.accepted,
                    useless_wakeups: mine()
                        .filter(|thread| thread.may_accept())
                        .map(|thread| thread.useless)
                        .sum(),
                    requests: process.turns,
                    busy: if window == 0 { 0.0 } else { process.busy_ns as f64 / window as f64 },
                }
            })
            .collect()
    }
}
