//! Looks at what shares the CPUs with the target, and at what limits it: names and CPU time of processes, their connections, control groups.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::pipeline::Pipeline;
use crate::{
    cpu::{Group, Outside},
    platform::{
        cpu_limits::{CpuGroups, CpuStat, cpu_quota, cpu_stat},
        proc::{self, CpuUse},
        sockets::open_tcp_sockets,
    },
    units::Pid,
};

/// Processes whose names are noted at the beginning, should one of them end as soon as it has taken a CPU.
const MOST_NAMES: usize = 4096;
/// New processes that are looked at in one tick.
const MOST_FRESH: usize = 128;
/// Processes of the target whose limits are looked up.
const MOST_MEMBERS: usize = 256;
/// Share of the waits from which on it matters whether a process is a client of the target.
const MATTERS: f64 = 0.02;
/// Processes whose connections are looked at…
const MOST_CLIENTS: usize = 16;
/// …this often: one that connects anew for each request may have no connection at the moment…
const LOOKS: u32 = 5;
/// …and no sooner than this after the last look at any, since a look reads the whole table of connections.
const BETWEEN: Duration = Duration::from_millis(150);
/// Connections that are remembered of one process.
const MOST_CONNECTIONS: usize = 1024;

/// A process that had a CPU.
#[derive(Debug)]
struct Seen {
    first: CpuUse,
    since: Instant,
    looks: u32,
}

/// What was seen so far.
#[derive(Debug)]
pub struct Neighbourhood {
    names: HashMap<Pid, String>,
    seen: BTreeMap<Pid, Seen>,
    last_look: Option<Instant>,
    members: BTreeSet<Pid>,
    cpus: BTreeSet<usize>,
    cgroups: CpuGroups,
    before: BTreeMap<PathBuf, CpuStat>,
    outside: Outside,
}

impl Neighbourhood {
    /// Begins the window: notes the names of all processes, and how much the target has been throttled so far.
    pub fn new(target: &[Pid]) -> Self {
        let names = proc::all_processes().into_iter().take(MOST_NAMES);
        let mut onlooker = Self {
            names: names.filter_map(|pid| Some((pid, proc::command_name(pid).ok()?))).collect(),
            seen: BTreeMap::new(),
            last_look: None,
            members: BTreeSet::new(),
            cpus: BTreeSet::new(),
            cgroups: CpuGroups::find(),
            before: BTreeMap::new(),
            outside: Outside::default(),
        };
        for pid in target {
            onlooker.member(*pid);
        }
        onlooker
    }

    /// Looks at processes that have joined the target since the last tick, and at those that have taken a CPU for the first time.
    pub fn tick(&mut self, fresh: &[Pid], pipeline: &Pipeline) {
        self.takers(fresh);
        if self.members.len() < MOST_MEMBERS {
            let new: BTreeSet<Pid> =
                pipeline.behaviour().pids().filter(|pid| !self.members.contains(pid)).collect();
            for pid in new {
                self.member(pid);
            }
        }
        if self.last_look.is_none_or(|last| last.elapsed() >= BETWEEN) {
            self.connections(pipeline);
        }
    }

    fn takers(&mut self, fresh: &[Pid]) {
        for pid in fresh.iter().take(MOST_FRESH) {
            self.taker(*pid);
        }
    }

    /// A process had a CPU for the first time.
    fn taker(&mut self, pid: Pid) {
        let neighbour = self.outside.neighbours.entry(pid).or_default();
        match proc::cpu_use(pid) {
            Ok(first) => {
                neighbour.name.clone_from(&first.comm);
                neighbour.kernel = first.kernel;
                self.seen.insert(pid, Seen { first, since: Instant::now(), looks: 0 });
            }
            Err(_) => neighbour.name = self.names.get(&pid).cloned().unwrap_or_default(),
        }
    }

    /// A process belongs to the target. One that has ended, or lets nobody look, limits nothing.
    fn member(&mut self, pid: Pid) {
        if !self.members.insert(pid) {
            return;
        }
        self.cpus.extend(proc::allowed_cpus(pid).unwrap_or_default());
        for group in self.cgroups.of(pid) {
            if let Some(stat) = cpu_stat(&group) {
                self.before.entry(group).or_insert(stat);
            }
        }
    }

    /// Looks at the connections of processes that have not been looked at often enough, all at once.
    fn connections(&mut self, pipeline: &Pipeline) {
        let own = Pid(std::process::id());
        let due: Vec<Pid> = pipeline
            .cpu()
            .above(MATTERS)
            .into_iter()
            .filter(|pid| *pid != own && !self.members.contains(pid))
            .take(MOST_CLIENTS)
            .filter(|pid| self.seen.get(pid).is_some_and(|seen| !seen.first.kernel && seen.looks < LOOKS))
            .collect();
        if due.is_empty() {
            return;
        }
        self.last_look = Some(Instant::now());
        let mut open = open_tcp_sockets(&due);
        for pid in due {
            if let Some(seen) = self.seen.get_mut(&pid) {
                seen.looks += 1;
            }
            let connections = &mut self.outside.neighbours.entry(pid).or_default().connections;
            for socket in open.remove(&pid).unwrap_or_default() {
                if !socket.listens && connections.len() < MOST_CONNECTIONS {
                    connections.insert((socket.port, socket.peer_port));
                }
            }
        }
    }

    /// Looks for the last time.
    pub fn last_look(&mut self, fresh: &[Pid], pipeline: &Pipeline) {
        self.takers(fresh);
        self.connections(pipeline);
    }

    /// What was seen from the beginning until now.
    pub fn outside(&self) -> Outside {
        let mut outside = self.outside.clone();
        let ticks_a_second = procfs::ticks_per_second() as f64;
        for (pid, seen) in &self.seen {
            let now =
                proc::cpu_use(*pid).ok().filter(|now| now.start_time_ticks == seen.first.start_time_ticks);
            let (Some(now), Some(neighbour)) = (now, outside.neighbours.get_mut(pid)) else { continue };
            let used = now.ticks.saturating_sub(seen.first.ticks) as f64 / ticks_a_second;
            neighbour.cpus = Some(used / seen.since.elapsed().as_secs_f64().max(1.0 / ticks_a_second));
            // It may have executed another program since.
            neighbour.name = now.comm;
        }
        outside.groups = self.before.iter().filter_map(|(path, before)| group(path, *before)).collect();
        outside.cpus = match self.cpus.len() {
            0 => proc::cpu_count(),
            allowed => allowed.min(proc::cpu_count()),
        };
        outside
    }
}

/// What happened to a control group since; `None` where it is gone.
fn group(path: &Path, before: CpuStat) -> Option<Group> {
    let now = cpu_stat(path)?;
    Some(Group {
        throttled_ns: now.throttled_ns.saturating_sub(before.throttled_ns),
        throttled_periods: now.throttled_periods.saturating_sub(before.throttled_periods),
        quota: cpu_quota(path),
        path: path.to_owned(),
    })
}
