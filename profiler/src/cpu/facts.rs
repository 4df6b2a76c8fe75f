//! What the waits for a CPU come to.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CpuWaits, Neighbour, Outside, Throttling,
    charge::{Charge, settle},
};
use crate::units::{Ns, Pid};

/// Name of processes that ended before they could be asked for theirs.
const ENDED: &str = "(ended)";

/// What a process that had a CPU is to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is the target.
    Own,
    /// It sits at the other end of the target's connections.
    Client,
    /// It is a thread of the kernel.
    Kernel,
    /// It has nothing to do with the target.
    Other,
}

impl Kind {
    /// Its name in the JSON contract.
    pub fn id(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Client => "client",
            Self::Kernel => "kernel",
            Self::Other => "other",
        }
    }
}

/// Processes of one name that had a CPU while threads of the target waited for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Taker {
    /// Their name.
    pub name: String,
    /// The one among them that took most.
    pub pid: Pid,
    /// How many.
    pub processes: usize,
    /// What they are to the target.
    pub kind: Kind,
    /// Nanoseconds that threads waited for them.
    pub waited_ns: u64,
    /// Share of the waits that are neither throttling nor of unknown cause.
    pub share: f64,
    /// CPUs that they used in the mean, as far as that is known.
    pub cpus: f64,
}

/// Why threads waited for a CPU. The shares are of the time that they did; with what nobody had (`idle`) they sum to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuFacts {
    /// Nanoseconds of all waits.
    pub waited_ns: u64,
    /// Other threads of the target ran.
    pub own: f64,
    /// Other processes ran, those of the load among them.
    pub others: f64,
    /// Of these, processes at the other end of the target's connections.
    pub clients: f64,
    /// The quota was used up.
    pub throttled: f64,
    /// The CPU was idle: it woke up.
    pub idle: f64,
    /// Who ran, most first.
    pub takers: Vec<Taker>,
    /// The limits of the target's control groups, and what came of them.
    pub throttling: Throttling,
    /// CPUs that the target may use, by its affinity.
    pub cpus: usize,
    /// Threads that waited at once: in the mean, and at most.
    pub waiting: (f64, usize),
}

impl CpuFacts {
    /// The facts of a run that ended at `end`, whose target were these processes.
    pub fn new(waits: &CpuWaits, outside: &Outside, own: &BTreeSet<Pid>, end: Ns) -> Self {
        let throttling = Throttling::of(&outside.groups);
        let (total, mut takers) = (waits.total(), takers(waits, outside, own, end));
        let sum = |kind: Kind| -> u64 {
            takers.iter().filter(|taker| taker.kind == kind).map(|taker| taker.waited_ns).sum()
        };
        let (own, clients) = (sum(Kind::Own), sum(Kind::Client));
        let others = clients + sum(Kind::Kernel) + sum(Kind::Other) + waits.rest();
        let known = (own + others + waits.idle()).max(1) as f64;
        let throttled = throttling.share(waits.at_least_one());
        // Waits that throttling made end on a CPU on which nobody was let, as long as nobody else wants it.
        let idle = (waits.idle() as f64 / known - throttled).max(0.0);
        let ran = (own + others).max(1) as f64;
        let left = if total == 0 { 0.0 } else { 1.0 - throttled - idle };
        for taker in &mut takers {
            taker.share = taker.waited_ns as f64 / ran * left;
        }
        Self {
            waited_ns: total,
            own: own as f64 / ran * left,
            others: others as f64 / ran * left,
            clients: clients as f64 / ran * left,
            throttled,
            idle,
            takers,
            throttling,
            cpus: outside.cpus,
            waiting: waits.waiting(end),
        }
    }
}

fn takers(waits: &CpuWaits, outside: &Outside, own: &BTreeSet<Pid>, end: Ns) -> Vec<Taker> {
    let nobody = Neighbour::default();
    let most = |pid: Pid| {
        let cpus = outside.neighbours.get(&pid).filter(|_| !own.contains(&pid))?.cpus?;
        Some(waits.most_taken(cpus, end))
    };
    let mut charges: Vec<Charge<Pid>> = waits.by_taker().map(|(pid, wait)| (pid, wait, most(pid))).collect();
    settle(&mut charges);
    let mut sorted: Vec<(Pid, u64)> = charges.into_iter().map(|(pid, wait, _)| (pid, wait)).collect();
    sorted.sort_unstable_by_key(|(pid, wait)| (std::cmp::Reverse(*wait), *pid));
    let mut by_name: BTreeMap<(Kind, &str), Taker> = BTreeMap::new();
    for (pid, waited_ns) in sorted {
        let neighbour = outside.neighbours.get(&pid).unwrap_or(&nobody);
        let kind = if own.contains(&pid) {
            Kind::Own
        } else if neighbour.connections.iter().any(|ports| waits.is_at_other_end(*ports)) {
            Kind::Client
        } else if neighbour.kernel {
            Kind::Kernel
        } else {
            Kind::Other
        };
        let name = if neighbour.name.is_empty() { ENDED } else { &neighbour.name };
        let taker = by_name.entry((kind, name)).or_insert_with(|| Taker {
            name: name.to_owned(),
            pid,
            processes: 0,
            kind,
            waited_ns: 0,
            share: 0.0,
            cpus: 0.0,
        });
        taker.processes += 1;
        taker.waited_ns += waited_ns;
        taker.cpus += neighbour.cpus.unwrap_or_default();
    }
    let mut takers: Vec<Taker> = by_name.into_values().collect();
    takers.sort_by(|a, b| b.waited_ns.cmp(&a.waited_ns).then_with(|| a.pid.cmp(&b.pid)));
    takers
}

#[cfg(test)]
mod tests {
    use whywait_ebpf::abi::{Conn, OffCpu, off_cpu, role, taker};

    use super::{super::Group, *};
    use crate::{
        decode::{Event, What},
        units::Tid,
    };

    const TARGET: u32 = 10;
    const HOG: u32 = 20;
    const LOAD: u32 = 30;

    fn event(at: u64, what: What) -> Event {
        Event { at: Ns(at), tid: Tid(TARGET), pid: Pid(TARGET), seq: 0, missing: 0, cpu: 1, spun: 0, what }
    }

    /// A thread that was preempted at `left` on CPU 1 and comes back there at `at`.
    fn waited(waits: &mut CpuWaits, left: u64, at: u64, taker: u32) {
        waits.event(&event(at, What::OffCpu(OffCpu { left, left_cpu: 1, taker, ..OffCpu::default() })));
    }

    fn outside() -> Outside {
        let named = |name: &str| Neighbour { name: name.to_owned(), ..Neighbour::default() };
        let mut load = named("load");
        load.connections.insert((40_000, 80));
        let mut kernel = named("kworker/1:0");
        kernel.kernel = true;
        let neighbours = [(HOG, named("hog")), (HOG + 1, named("hog")), (LOAD, load), (7, kernel)];
        Outside {
            neighbours: neighbours.into_iter().map(|(pid, neighbour)| (Pid(pid), neighbour)).collect(),
            ..Outside::default()
        }
    }

    fn facts(waits: &CpuWaits, outside: &Outside) -> CpuFacts {
        CpuFacts::new(waits, outside, &BTreeSet::from([Pid(TARGET)]), Ns(1_000))
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn waits_are_charged_to_who_left_the_cpu() {
        let mut waits = CpuWaits::new(Ns(0));
        let conn = Conn { local_port: 80, remote_port: 40_000, role: role::SERVER, ..Conn::default() };
        waits.event(&event(1, What::Conn(conn)));
        waited(&mut waits, 0, 100, HOG);
        waited(&mut waits, 200, 240, HOG + 1);
        waited(&mut waits, 300, 330, TARGET);
        waited(&mut waits, 400, 420, LOAD);
        waited(&mut waits, 500, 510, taker::IDLE);
        waited(&mut waits, 600, 700, taker::UNKNOWN);
        let facts = facts(&waits, &outside());
        assert!(near(facts.own, 0.15) && near(facts.others, 0.8) && near(facts.clients, 0.1));
        assert!(near(facts.idle, 0.05) && near(facts.own + facts.others + facts.throttled + facts.idle, 1.0));
        let hogs = &facts.takers[0];
        assert_eq!((&*hogs.name, hogs.pid, hogs.processes, hogs.kind), ("hog", Pid(HOG), 2, Kind::Other));
        assert!(near(hogs.share, 0.7));
        assert_eq!((facts.waiting.1, facts.waited_ns), (1, 300));
    }

    #[test]
    fn a_wait_that_ends_on_another_cpu_says_nothing_about_who_is_there() {
        let mut waits = CpuWaits::new(Ns(0));
        let moved = OffCpu { left: 10, left_cpu: 0, taker: HOG, ..OffCpu::default() };
        waits.event(&event(50, What::OffCpu(moved)));
        let woken = OffCpu { flags: off_cpu::VOLUNTARY, queued: 60, taker: HOG, ..moved };
        waits.event(&event(70, What::OffCpu(woken)));
        assert_eq!(waits.by_taker().collect::<Vec<_>>(), [(Pid(HOG), 10)]);
        assert_eq!(waits.total(), 50);
    }

    #[test]
    fn throttling_explains_idle_cpus_first() {
        let mut waits = CpuWaits::new(Ns(0));
        waited(&mut waits, 0, 80, taker::IDLE);
        waited(&mut waits, 100, 110, HOG);
        waited(&mut waits, 200, 210, TARGET);
        let mut outside = outside();
        outside.groups =
            vec![Group { path: "/c/a".into(), throttled_ns: 80, throttled_periods: 3, quota: Some(0.5) }];
        let facts = facts(&waits, &outside);
        assert!(near(facts.throttled, 0.8) && near(facts.idle, 0.0));
        assert!(near(facts.own, 0.1) && near(facts.others, 0.1));
        assert_eq!(facts.throttling, Throttling { ns: 80, periods: 3, quota: Some(0.5) });
    }

    #[test]
    fn nothing_waited_is_nothing() {
        let facts = facts(&CpuWaits::new(Ns(0)), &Outside::default());
        assert_eq!((facts.own, facts.others, facts.takers.len()), (0.0, 0.0, 0));
    }

    /// The hog had the CPU for nearly all of the time, and the kernel's thread left it last.
    #[test]
    fn a_process_is_not_charged_with_more_than_it_ran() {
        let mut waits = CpuWaits::new(Ns(0));
        let second = 1_000_000_000;
        waited(&mut waits, 0, second, 7);
        waited(&mut waits, second, second + 1_000, HOG);
        let mut outside = outside();
        for (pid, cpus) in [(HOG, 1.0), (7, 0.0)] {
            outside.neighbours.entry(Pid(pid)).or_default().cpus = Some(cpus);
        }
        let facts = CpuFacts::new(&waits, &outside, &BTreeSet::from([Pid(TARGET)]), Ns(second + 1_000));
        let share =
            |name: &str| facts.takers.iter().find(|taker| taker.name == name).map(|taker| taker.share);
        assert!(share("hog").is_some_and(|share| share > 0.98), "{:?}", facts.takers);
        assert!(share("kworker/1:0").is_some_and(|share| share < 0.02), "{:?}", facts.takers);
    }

    #[test]
    fn a_process_that_nobody_could_ask_has_no_name() {
        let mut waits = CpuWaits::new(Ns(0));
        waited(&mut waits, 0, 100, 999);
        assert_eq!(facts(&waits, &Outside::default()).takers[0].name, ENDED);
    }
}
