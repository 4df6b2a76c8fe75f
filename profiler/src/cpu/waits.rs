//! Waits for a CPU, by who had it.

use rustc_hash::{FxHashMap, FxHashSet};
use whywait_ebpf::abi::{Conn, OffCpu, off_cpu, role, taker};

use super::union::Union;
use crate::{
    decode::{Event, What},
    units::{Ns, Pid, rounded},
    window::Overlap,
};

/// Processes that are kept apart. What others take beyond them is known to be taken by others.
const MOST: usize = 4096;

/// What `/proc` counts CPU time in, in nanoseconds.
const TICK: f64 = 1e7;

/// Waits of the target's threads for a CPU.
#[derive(Debug)]
pub struct CpuWaits {
    begin: Ns,
    by_taker: FxHashMap<Pid, u64>,
    rest: u64,
    idle: u64,
    unknown: u64,
    fresh: Vec<Pid>,
    /// By the number of the CPU.
    by_cpu: Vec<Union>,
    waiting: Overlap,
    local_ports: FxHashSet<u16>,
    remote_ports: FxHashSet<u16>,
}

impl CpuWaits {
    /// Waits from `begin` on.
    pub fn new(begin: Ns) -> Self {
        Self {
            begin,
            by_taker: FxHashMap::default(),
            rest: 0,
            idle: 0,
            unknown: 0,
            fresh: Vec::new(),
            by_cpu: Vec::new(),
            waiting: Overlap::default(),
            local_ports: FxHashSet::default(),
            remote_ports: FxHashSet::default(),
        }
    }

    /// Takes an event.
    pub fn event(&mut self, event: &Event) {
        match &event.what {
            What::OffCpu(interval) => self.off_cpu(event, interval),
            What::Conn(conn) => self.connection(conn),
            What::Socket { .. } | What::SockState(_) | What::Thread(_) | What::ThreadEnd | What::Stack(_) => {
            }
        }
    }

    fn off_cpu(&mut self, event: &Event, interval: &OffCpu) {
        if interval.flags & off_cpu::OPEN != 0 {
            return;
        }
        let ready = event.ready(interval).max(self.begin);
        let wait = event.at.since(ready);
        if wait == 0 {
            return;
        }
        self.waiting.add(ready, event.at);
        let cpu = usize::from(event.cpu);
        if self.by_cpu.len() <= cpu {
            self.by_cpu.resize_with(cpu + 1, Union::default);
        }
        self.by_cpu[cpu].add(ready, event.at);
        // A thread that lost one CPU and got another did not wait for the one who leaves that.
        let preempted = interval.flags & (off_cpu::VOLUNTARY | off_cpu::BORN | off_cpu::CLIPPED) == 0;
        let elsewhere = preempted && interval.left_cpu != event.cpu;
        match interval.taker {
            _ if elsewhere => self.unknown += wait,
            taker::UNKNOWN => self.unknown += wait,
            taker::IDLE => self.idle += wait,
            pid => self.taken(Pid(pid), wait),
        }
    }

    fn taken(&mut self, pid: Pid, wait: u64) {
        if let Some(sum) = self.by_taker.get_mut(&pid) {
            *sum += wait;
        } else if self.by_taker.len() < MOST {
            self.by_taker.insert(pid, wait);
            self.fresh.push(pid);
        } else {
            self.rest += wait;
        }
    }

    fn connection(&mut self, conn: &Conn) {
        if conn.role != role::UNKNOWN && conn.local_port != 0 && conn.remote_port != 0 {
            self.local_ports.insert(conn.local_port);
            self.remote_ports.insert(conn.remote_port);
        }
    }

    /// Processes that have taken a CPU for the first time since the last call, but for those beyond the most that are kept apart.
    pub fn fresh(&mut self) -> Vec<Pid> {
        std::mem::take(&mut self.fresh)
    }

    /// Processes that have taken at least this share of all waits, most first.
    pub fn above(&self, share: f64) -> Vec<Pid> {
        let least = share * self.total() as f64;
        let mut above: Vec<(Pid, u64)> = self.by_taker().filter(|(_, wait)| *wait as f64 >= least).collect();
        above.sort_unstable_by_key(|(pid, wait)| (std::cmp::Reverse(*wait), *pid));
        above.into_iter().map(|(pid, _)| pid).collect()
    }

    /// Nanoseconds of all waits.
    pub fn total(&self) -> u64 {
        self.by_taker.values().sum::<u64>() + self.rest + self.idle + self.unknown
    }

    /// Nanoseconds in which at least one thread waited, summed over the CPUs that they came to.
    pub fn at_least_one(&self) -> u64 {
        self.by_cpu.iter().map(Union::length).sum()
    }

    /// The most that a process can have kept threads waiting that used so many CPUs up to `end`, in nanoseconds: its time on them, and a
    /// clock tick more, times the threads that waited at once while any did.
    pub(super) fn most_taken(&self, cpus: f64, end: Ns) -> u64 {
        let crowd = self.total() as f64 / self.waiting_at_all().max(1) as f64;
        rounded((cpus * end.since(self.begin) as f64 + TICK) * crowd.max(1.0))
    }

    /// Nanoseconds in which at least one thread waited, for the CPU where these were most.
    fn waiting_at_all(&self) -> u64 {
        self.by_cpu.iter().map(Union::length).max().unwrap_or(0)
    }

    /// Threads that waited at once, in the mean and at most.
    pub fn waiting(&self, end: Ns) -> (f64, usize) {
        self.waiting.mean_and_max(self.begin, end)
    }

    /// Whether the other end of a connection with these ports, local and remote as its owner sees them, is the target's.
    pub fn is_at_other_end(&self, (local, remote): (u16, u16)) -> bool {
        self.remote_ports.contains(&local) && self.local_ports.contains(&remote)
    }

    pub(super) fn by_taker(&self) -> impl Iterator<Item = (Pid, u64)> + '_ {
        self.by_taker.iter().map(|(pid, wait)| (*pid, *wait))
    }

    /// Nanoseconds taken by processes that are not kept apart.
    pub(super) fn rest(&self) -> u64 {
        self.rest
    }

    /// Nanoseconds of waits for a CPU that was idle: nobody took it, it had to wake up, or nothing of the target was let onto it.
    pub(super) fn idle(&self) -> u64 {
        self.idle
    }
}
