//! What `/proc` says about a server and all of its processes.

use std::collections::HashMap;

use procfs::{CurrentSI, KernelStats, process::Process};
use serde::Serialize;

use crate::{
    platform::proc,
    units::{Pid, Tid},
};

/// CPU time and switches of all processes of a server, from its beginning until now.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// CPU time in user mode, in ticks; that of children that have ended is their parent's.
    user: u64,
    /// CPU time in the kernel, in ticks.
    kernel: u64,
    /// Switches of each living thread. An id that was given to another thread differs in its start.
    switches: HashMap<(Tid, u64), u64>,
}

/// The difference of two looks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ProcCounts {
    /// Microseconds on a CPU in user mode, to a tick of the clock (usually 10 ms) a process.
    pub cpu_user_us: f64,
    /// Microseconds on a CPU in the kernel, likewise.
    pub cpu_kernel_us: f64,
    /// Switches; `None` where threads have ended, which take their counts with them.
    pub context_switches: Option<u64>,
}

impl ProcCounts {
    /// Microseconds on a CPU.
    pub fn cpu_us(self) -> f64 {
        self.cpu_user_us + self.cpu_kernel_us
    }
}

/// CPU time of the whole machine so far, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Of all CPUs, busy or not.
    all: u64,
    /// Of that, busy, or taken by a hypervisor.
    busy: u64,
    /// Of that, by this process and by children that it has collected, as it has the load generator in the end.
    own: u64,
}

impl Machine {
    /// A look; `None` where `/proc` does not tell.
    pub fn now() -> Option<Self> {
        let cpu = KernelStats::current().ok()?.total;
        let idle = cpu.idle + cpu.iowait.unwrap_or(0);
        let others = [cpu.irq, cpu.softirq, cpu.steal].map(|ticks| ticks.unwrap_or(0));
        // A guest's time is in `user` already.
        let busy = cpu.user + cpu.nice + cpu.system + others.iter().sum::<u64>();
        let stat = Process::myself().and_then(|own| own.stat()).ok()?;
        let collected = u64::try_from(stat.cutime + stat.cstime).unwrap_or(0);
        Some(Self { all: busy + idle, busy, own: stat.utime + stat.stime + collected })
    }

    /// The share of all CPUs' time since `before` that neither we nor the server (this many microseconds) had.
    pub fn others_since(self, before: Self, server_us: f64) -> f64 {
        let ticks = |now: u64, then: u64| now.saturating_sub(then) as f64;
        let server = server_us / 1e6 * procfs::ticks_per_second() as f64;
        let others = ticks(self.busy, before.busy) - ticks(self.own, before.own) - server;
        let all = ticks(self.all, before.all);
        if all > 0.0 { (others / all).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Memory of all processes of a server at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Bytes of resident pages; those that processes share count once for each.
    pub rss: u64,
    /// The same with each page divided among those that share it; `None` where it may not be read.
    pub pss: Option<u64>,
}

/// A server and what descends from it.
fn tree(root: Pid) -> impl Iterator<Item = Process> {
    std::iter::once(root)
        .chain(proc::descendants(root))
        .filter_map(|pid| Process::new(i32::try_from(pid.0).ok()?).ok())
}

impl Usage {
    /// A look at a server.
    pub fn of(root: Pid) -> Self {
        let mut usage = Self::default();
        for process in tree(root) {
            let Ok(stat) = process.stat() else { continue };
            let ended = |ticks: i64| u64::try_from(ticks).unwrap_or(0);
            usage.user += stat.utime + ended(stat.cutime);
            usage.kernel += stat.stime + ended(stat.cstime);
            let threads = u32::try_from(stat.pid).ok().and_then(|pid| proc::threads(Pid(pid)).ok());
            usage.switches.extend(threads.into_iter().flatten().map(|thread| {
                (
                    (thread.tid, thread.start_time_ticks),
                    thread.voluntary_switches + thread.involuntary_switches,
                )
            }));
        }
        usage
    }

    /// What happened since `before`, where so many threads and processes were created meanwhile.
    pub fn since(&self, before: &Self, created: u64) -> ProcCounts {
        let tick_us = 1e6 / procfs::ticks_per_second() as f64;
        let us = |now: u64, then: u64| now.saturating_sub(then) as f64 * tick_us;
        let lived = before.switches.keys().all(|thread| self.switches.contains_key(thread));
        let new = self.switches.len().saturating_sub(before.switches.len()) as u64;
        let switches = || {
            let each =
                |(thread, now): (_, &u64)| now - before.switches.get(thread).copied().unwrap_or(0).min(*now);
            self.switches.iter().map(each).sum()
        };
        ProcCounts {
            cpu_user_us: us(self.user, before.user),
            cpu_kernel_us: us(self.kernel, before.kernel),
            context_switches: (lived && new == created).then(switches),
        }
    }
}

/// The server's resident memory.
pub fn rss(root: Pid) -> u64 {
    let page = procfs::page_size();
    tree(root).filter_map(|process| Some(process.statm().ok()?.resident * page)).sum()
}

/// The server's proportional memory; `None` where no process lets it be read. Dearer than [`rss`]: the kernel walks the
/// page tables, and holds the lock on the process's mappings meanwhile.
pub fn pss(root: Pid) -> Option<u64> {
    let sizes = tree(root).filter_map(|process| {
        let rollup = process.smaps_rollup().ok()?;
        rollup.memory_map_rollup.into_iter().next()?.extension.map.get("Pss").copied()
    });
    sizes.reduce(|all, size| all + size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(user: u64, switches: &[(u32, u64)]) -> Usage {
        let switches = switches.iter().map(|&(tid, count)| ((Tid(tid), 1), count)).collect();
        Usage { user, kernel: 0, switches }
    }

    /// A thread that has ended took its switches with it, so the sum would be too small: it is not told.
    #[test]
    fn switches_are_told_only_where_none_is_missing() {
        let before = usage(5, &[(1, 10), (2, 20)]);
        let switches = |now: &Usage, created| now.since(&before, created).context_switches;
        assert_eq!(switches(&usage(5, &[(1, 11), (2, 22)]), 0), Some(3));
        assert_eq!(switches(&usage(5, &[(1, 11), (2, 22), (3, 4)]), 1), Some(7));
        assert_eq!(switches(&usage(5, &[(1, 11)]), 0), None);
        assert_eq!(switches(&usage(5, &[(1, 11), (2, 22)]), 1), None);
    }

    #[test]
    fn others_have_what_is_left() {
        let machine = |all, busy, own| Machine { all, busy, own };
        let server_us = 2e6 / procfs::ticks_per_second() as f64 * 10.0;
        let others = machine(300, 150, 35).others_since(machine(100, 50, 5), server_us);
        assert!((others - 0.25).abs() < 1e-9, "{others}: 100 busy, 30 ours, 20 the server's, of 200");
        assert!(machine(1, 1, 0).others_since(machine(1, 1, 0), 0.0).abs() < 1e-9);
        assert!(Machine::now().is_some_and(|now| now.busy > 0 && now.all > now.busy));
    }

    #[test]
    fn own_memory_and_time_are_seen() {
        let own = Pid(std::process::id());
        assert!(rss(own) > 100_000 && pss(own).is_none_or(|pss| pss > 0));
        let usage = Usage::of(own);
        assert!(usage.since(&usage, 0).cpu_us().abs() < 1e-9 && !usage.switches.is_empty());
    }
}
