//! Why the target's threads had no CPU, from outside: who else ran on its CPUs, and what its control group's quota did.

use std::{collections::BTreeSet, path::PathBuf};

use crate::{
    explain::{CpuWaits, Taker},
    platform::{
        cpu_use::{CpuUse, allowed_cpus, cpu_use},
        proc::cpu_count,
        sockets::open_tcp_sockets,
        throttling::{Throttling, groups_with_quota, throttling},
    },
    units::Pid,
    window::Window,
};

/// Nanoseconds of a tick of `/proc` (`USER_HZ`, the same on every architecture that is supported).
const TICK: f64 = 1e7;
/// Processes that are named.
const MOST: usize = 8;
/// Processes of a target whose control groups and CPUs are looked at.
const LOOKED_AT: usize = 8;

/// The surroundings when the window began.
#[derive(Debug, Default)]
pub struct Surroundings {
    at_begin: CpuUse,
    cpus: BTreeSet<usize>,
    groups: Vec<(PathBuf, Throttling)>,
    clients: BTreeSet<Pid>,
    looked: bool,
}

/// What they amount to.
#[derive(Clone, Debug, Default)]
pub struct CpuFacts {
    /// CPUs that the target may use, its quota considered.
    pub cpus: f64,
    /// Why it waited for them.
    pub waits: CpuWaits,
}

impl Surroundings {
    /// As they are now, for these processes.
    pub fn now(pids: &[Pid]) -> Self {
        let cpus: BTreeSet<usize> = pids.iter().take(LOOKED_AT).flat_map(|pid| allowed_cpus(*pid)).collect();
        let mut groups: Vec<PathBuf> =
            pids.iter().take(LOOKED_AT).flat_map(|pid| groups_with_quota(*pid)).collect();
        groups.sort_unstable();
        groups.dedup();
        let groups =
            groups.into_iter().filter_map(|group| throttling(&group).map(|now| (group, now))).collect();
        Self { at_begin: cpu_use(), cpus, groups, ..Self::default() }
    }

    /// Looks, once, for the processes at the other end of connections to these ports, among those that use much of a CPU.
    pub fn look_for_clients(&mut self, ports: &[u16], own: &BTreeSet<Pid>) {
        if self.looked {
            return;
        }
        self.looked = true;
        let now = cpu_use();
        for (pid, _) in self.used_since(&now, own).into_iter().take(MOST) {
            let sockets = open_tcp_sockets(pid).unwrap_or_default();
            if sockets.iter().any(|socket| !socket.listens && ports.contains(&socket.remote_port)) {
                self.clients.insert(pid);
            }
        }
    }

    /// Part of a process's time that was on the target's CPUs, as far as the CPUs tell that it may use.
    fn part_here(&self, pid: Pid) -> f64 {
        let allowed = allowed_cpus(pid);
        let here = allowed.iter().filter(|cpu| self.cpus.is_empty() || self.cpus.contains(cpu)).count();
        if allowed.is_empty() { 1.0 } else { here as f64 / allowed.len() as f64 }
    }

    /// Ticks that other processes have used, of those that may use the target's CPUs, most first.
    fn used_since(&self, now: &CpuUse, own: &BTreeSet<Pid>) -> Vec<(Pid, u64)> {
        let mut used: Vec<(Pid, u64)> = now
            .processes
            .iter()
            .filter(|(pid, _)| !own.contains(pid))
            .map(|(pid, used)| {
                let before = self.at_begin.processes.get(pid).filter(|before| before.ticks <= used.ticks);
                (*pid, used.ticks - before.map_or(0, |before| before.ticks))
            })
            .filter(|(_, ticks)| *ticks > 0)
            .collect();
        used.sort_by_key(|(pid, ticks)| (std::cmp::Reverse(*ticks), *pid));
        used
    }

    /// What came of it, for the window that was watched.
    pub fn facts(&self, window: &Window, own: &BTreeSet<Pid>) -> CpuFacts {
        let now = cpu_use();
        let used = self.used_since(&now, own);
        let busy: u64 = now
            .busy
            .iter()
            .filter(|(cpu, _)| self.cpus.is_empty() || self.cpus.contains(cpu))
            .map(|(cpu, busy)| busy.saturating_sub(self.at_begin.busy.get(cpu).copied().unwrap_or(0)))
            .sum();
        let threads: Vec<f64> = window.threads().iter().map(|(_, usage)| usage.on_cpu as f64).collect();
        let ran: f64 = threads.iter().sum();
        // What a thread competes with: the time of its own process's other threads, and that of everybody else.
        let itself: f64 =
            if ran > 0.0 { threads.iter().map(|one| one * one).sum::<f64>() / ran } else { 0.0 };
        let (mine, others) = (ran - itself, (busy as f64 * TICK - ran).max(0.0));
        let part = |nanos: f64| if mine + others > 0.0 { nanos / (mine + others) } else { 0.0 };
        let (throttled, quota, throttled_periods) = self.throttled(window);
        let rest = 1.0 - throttled;
        let taken = |pid: Pid, ticks: u64| (part(ticks as f64 * self.part_here(pid) * TICK) * rest).min(1.0);
        let mut takers: Vec<Taker> = used
            .iter()
            .take(2 * MOST)
            .filter_map(|(pid, ticks)| {
                let name = now.processes.get(pid)?.name.clone();
                Some(Taker { name, pid: pid.0, share: taken(*pid, *ticks) })
            })
            .collect();
        takers.sort_by(|a, b| b.share.total_cmp(&a.share));
        takers.truncate(MOST);
        let of_clients = used.iter().filter(|(pid, _)| self.clients.contains(pid));
        let of_clients: f64 = of_clients.map(|(pid, ticks)| taken(*pid, *ticks)).sum();
        let cpus = if self.cpus.is_empty() { cpu_count() } else { self.cpus.len() } as f64;
        CpuFacts {
            cpus: quota.map_or(cpus, |quota: f64| quota.min(cpus)),
            waits: CpuWaits {
                own: part(mine) * rest,
                others: part(others) * rest,
                clients: of_clients.min(part(others) * rest),
                throttled,
                takers,
                quota,
                throttled_periods,
            },
        }
    }

    /// Share of the waits for a CPU that a quota made, that quota, and how often it did.
    fn throttled(&self, window: &Window) -> (f64, Option<f64>, u64) {
        let since = |(group, before): &(PathBuf, Throttling)| {
            let now = throttling(group)?;
            Some((
                now.nanos.saturating_sub(before.nanos),
                now.quota,
                now.periods.saturating_sub(before.periods),
            ))
        };
        let Some((nanos, quota, periods)) =
            self.groups.iter().filter_map(since).max_by_key(|(nanos, ..)| *nanos)
        else {
            return (0.0, None, 0);
        };
        let waited = window.threads().total().run_queue as f64;
        // Several threads that wait at once are stopped at once: then the share of the time tells more than that of the waits.
        let of_waits = if waited > 0.0 { nanos as f64 / waited } else { 0.0 };
        let of_time = nanos as f64 / 1e9 / window.seconds().max(1e-3);
        (of_waits.max(of_time).min(1.0), Some(quota), periods)
    }
}
