//! From what each process does to what they are together.

use rustc_hash::FxHashMap;

use super::{
    behaviour::Behaviour,
    facts::{ProcessFacts, ThreadFacts},
    inner::{Inner, Kind, Looked, counted},
    model::ModelId,
    outside::Outside,
};
use crate::units::{Pid, fmt_percent};

/// Requests below which nothing is said.
const FEWEST: u64 = 3;
/// Requests that make the confidence half of what it can be.
const HALF_SURE: f64 = 1.0;
/// A verdict below this is none.
const LEAST: f64 = 0.5;
/// Most of them.
const MOST: f64 = 0.5;
/// A mean of things that are one each, but for the edges of the window.
const ABOUT_ONE: f64 = 1.3;
/// Spare stacks for each thread that holds connections from which on they are those of coroutines.
const SPARE_STACKS: usize = 1;

/// What the processes are together.
pub(super) struct Verdict<'a> {
    pub id: ModelId,
    pub confidence: f64,
    pub evidence: Vec<String>,
    /// Processes that serve, most requests first.
    pub processes: Vec<&'a ProcessFacts>,
    /// What each of them does.
    pub inners: Vec<Inner>,
}

struct Serving<'a> {
    behaviour: &'a Behaviour,
    outside: &'a Outside,
    processes: Vec<&'a ProcessFacts>,
    threads: FxHashMap<Pid, Vec<&'a ThreadFacts>>,
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// What was seen, put together.
pub(super) fn verdict<'a>(behaviour: &'a Behaviour, outside: &'a Outside) -> Verdict<'a> {
    let port = front_port(behaviour);
    let mut processes: Vec<&ProcessFacts> = behaviour
        .processes()
        .filter(|process| {
            process.turns + process.answered > 0 && (process.port() == port || process.turns == 0)
        })
        .collect();
    processes.sort_by_key(|process| (std::cmp::Reverse(process.turns), process.pid));
    let mut threads: FxHashMap<Pid, Vec<&ThreadFacts>> = FxHashMap::default();
    for thread in behaviour.threads() {
        threads.entry(thread.pid).or_default().push(thread);
    }
    let serving = Serving { behaviour, outside, processes, threads };
    let turns: u64 = serving.processes.iter().map(|process| process.turns).sum();
    if turns < FEWEST {
        let evidence = match turns {
            0 => Vec::new(),
            _ => vec![format!("{} too little", counted(turns, "request alone tells", "requests alone tell"))],
        };
        return Verdict {
            id: ModelId::Unknown,
            confidence: 0.0,
            evidence,
            processes: serving.processes,
            inners: Vec::new(),
        };
    }
    serving.verdict(turns)
}

/// The port on which requests take most time: what answers there may ask the others.
fn front_port(behaviour: &Behaviour) -> u16 {
    let mut times: FxHashMap<u16, (u64, u64)> = FxHashMap::default();
    for process in behaviour.processes().filter(|process| process.turns > 0) {
        let time = times.entry(process.port()).or_default();
        time.0 += process.request_ns;
        time.1 += process.turns;
    }
    times.into_iter().max_by_key(|(port, time)| (*time, *port)).map_or(0, |(port, _)| port)
}

impl<'a> Serving<'a> {
    fn verdict(self, turns: u64) -> Verdict<'a> {
        let answered: u64 = self.processes.iter().map(|process| process.answered).sum();
        let inners: Vec<Inner> = self.processes.iter().map(|process| self.looked(process).inner()).collect();
        let (id, certainty, evidence) = self
            .born_processes(turns, answered)
            .or_else(|| self.process_each(&inners))
            .or_else(|| self.several(&inners, turns))
            .unwrap_or_else(|| self.alone(&inners));
        let lost = share(self.behaviour.figures.touched_by_loss, self.behaviour.figures.requests.max(1));
        let sample = turns as f64 / (turns as f64 + HALF_SURE);
        let confidence = (certainty * sample * (1.0 - 0.5 * lost)).clamp(0.0, 0.99);
        let id = if confidence < LEAST { ModelId::Unknown } else { id };
        Verdict { id, confidence, evidence, processes: self.processes, inners }
    }

    fn looked(&self, process: &'a ProcessFacts) -> Looked<'a> {
        Looked {
            process,
            threads: self.threads.get(&process.pid).cloned().unwrap_or_default(),
            outside: self.outside.processes.get(&process.pid),
        }
    }

    /// Processes that are born for a connection or a request.
    fn born_processes(&self, turns: u64, answered: u64) -> Option<(ModelId, f64, Vec<String>)> {
        let born: Vec<&&ProcessFacts> = self.processes.iter().filter(|process| process.born).collect();
        if born.is_empty() {
            return None;
        }
        let by_born: u64 = born.iter().map(|process| process.answered).sum();
        let made = share(by_born, answered);
        if made < MOST {
            return None;
        }
        let elsewhere: u64 = born.iter().map(|process| process.from_elsewhere).sum();
        let conns: u64 = born.iter().map(|process| process.conns).sum();
        let (kept, changed) = self.processes.iter().fold((0, 0), |(kept, changed), process| {
            (kept + process.kept, changed + process.changed_process)
        });
        let births = format!(
            "{} that answer were born for {} on {}",
            counted(born.len() as u64, "process", "processes"),
            counted(turns, "request", "requests"),
            counted(conns, "connection", "connections"),
        );
        let parent = born.first().and_then(|process| process.parent);
        let parent = parent.map(|pid| format!("process {pid} made them, and answers nothing itself"));
        let mut evidence = vec![births];
        if share(elsewhere, answered) >= MOST {
            evidence.push("each answers what another process had read".to_owned());
            return Some((ModelId::ProcessPerRequest, 0.95 * made, evidence));
        }
        if kept > 0 && share(changed, kept) >= MOST {
            evidence.push(format!(
                "{} of the requests on a kept connection found another process",
                fmt_percent(share(changed, kept))
            ));
            return Some((ModelId::ProcessPerRequest, 0.95 * made, evidence));
        }
        if share(conns, born.len() as u64) > ABOUT_ONE {
            return None;
        }
        evidence.extend(parent);
        Some((ModelId::ProcessPerConnection, if kept > 0 { 0.97 } else { 0.92 } * made.max(0.8), evidence))
    }

    /// Processes that were there already, and have one connection each.
    fn process_each(&self, inners: &[Inner]) -> Option<(ModelId, f64, Vec<String>)> {
        let each = self
            .processes
            .iter()
            .all(|process| process.conns == 1 && process.accepted == 0 && process.split == 0);
        // What serves a single client needs no threads but, perhaps, one for signals.
        let simple = self.processes.iter().zip(inners).all(|(process, inner)| {
            matches!(inner.kind, Kind::Iterative | Kind::Loop | Kind::Unknown)
                && self.threads.get(&process.pid).is_none_or(|threads| threads.len() <= 2)
        });
        if !each || !simple {
            return None;
        }
        let mut with_parent = 0;
        let mut without_listener = 0;
        let mut parents: Vec<Pid> = Vec::new();
        for process in &self.processes {
            let Some(outside) = self.outside.processes.get(&process.pid) else { continue };
            let parent = outside.parent.filter(|_| !outside.parent_listeners.is_empty());
            with_parent += usize::from(parent.is_some());
            without_listener += usize::from(parent.is_some() && !outside.shares_with_parent());
            parents.extend(parent);
        }
        parents.sort_unstable();
        parents.dedup();
        let [parent] = parents.as_slice() else { return None };
        let count = self.processes.len();
        if with_parent == 0 {
            return None;
        }
        let each = format!("{} read one connection each", counted(count as u64, "process", "processes"));
        if without_listener == with_parent {
            let how =
                format!("the listening socket is their parent's, {parent}, and not theirs (from /proc)");
            return Some((ModelId::ProcessPerConnection, 0.92, vec![each, how]));
        }
        // They could accept: what does the parent do, and is there another child that does?
        let parent_accepts =
            self.threads.get(parent).is_some_and(|threads| threads.iter().any(|thread| thread.may_accept()));
        let idle_sibling = self.threads.iter().any(|(pid, threads)| {
            pid != parent
                && !self.processes.iter().any(|process| process.pid == *pid)
                && threads.iter().any(|thread| thread.may_accept())
        });
        if parent_accepts && !idle_sibling {
            let how =
                format!("their parent, {parent}, waits for connections, and no other process of it does");
            return Some((ModelId::ProcessPerConnection, 0.75, vec![each, how]));
        }
        None
    }

    /// Several processes that were there before.
    fn several(&self, inners: &[Inner], turns: u64) -> Option<(ModelId, f64, Vec<String>)> {
        let reading: Vec<(&ProcessFacts, &Inner)> =
            self.processes.iter().copied().zip(inners).filter(|(process, _)| process.turns > 0).collect();
        let (first, inner) = reading.first().copied()?;
        let shares = self
            .outside
            .processes
            .get(&first.pid)
            .is_some_and(super::outside::ProcessOutside::shares_with_parent);
        let lone_worker = shares && matches!(inner.kind, Kind::Iterative | Kind::Pool);
        let together = self.outside.listening_together(first.port());
        let sharing = self.listening(first.port());
        if reading.len() < 2 && !lone_worker && sharing < 2 {
            return None;
        }
        let mut kinds: FxHashMap<Kind, u64> = FxHashMap::default();
        for (process, inner) in &reading {
            *kinds.entry(inner.kind).or_default() += process.turns;
        }
        let (kind, most) =
            kinds.into_iter().max_by_key(|(kind, turns)| (*turns, std::cmp::Reverse(*kind as u8)))?;
        let agree = share(most, turns).max(0.75);
        let certainty = reading
            .iter()
            .filter(|(_, inner)| inner.kind == kind)
            .map(|(process, inner)| inner.certainty * process.turns as f64)
            .sum::<f64>()
            / most.max(1) as f64;
        let accepted: u64 = reading.iter().map(|(process, _)| process.accepted).sum();
        let passed: u64 = reading.iter().map(|(process, _)| process.passed).sum();
        let shape = match kind {
            Kind::Iterative => "each is one thread that serves one connection at a time",
            Kind::Loop => "each is one event loop",
            Kind::LoopPool => "each is an event loop with a pool",
            Kind::Loops => "each is several event loops",
            Kind::Pool => "each is a pool of threads",
            Kind::PerConnection | Kind::PerRequest => "each has threads for its connections",
            Kind::Unknown => "what each does is not clear",
        };
        let serve = format!(
            "{} {} {}: {shape}",
            counted(reading.len() as u64, "process", "processes"),
            if reading.len() == 1 { "serves" } else { "serve" },
            counted(turns, "request", "requests")
        );
        let mut evidence = vec![serve];
        if together >= 2 && sharing >= 2 {
            evidence.push(format!(
                "{together} sockets listen on port {} on the same address, which takes SO_REUSEPORT (from /proc)",
                first.port()
            ));
            evidence.extend(inner.evidence.first().cloned());
            let certainty = if reading.len() > 1 { 0.95 } else { 0.8 };
            return Some((ModelId::ReuseportShards, certainty * agree, evidence));
        }
        if let Some(green) = self.green(kind, &reading) {
            evidence.push(green.0);
            return Some((ModelId::GreenThreads, green.1 * agree, evidence));
        }
        let how = if passed > accepted {
            "another process accepts their connections and passes them on".to_owned()
        } else if accepted > 0 {
            format!("they accepted {} themselves", counted(accepted, "connection", "connections"))
        } else {
            "none of them was born for a connection".to_owned()
        };
        evidence.push(how);
        if sharing > reading.len() {
            evidence.push(format!("{sharing} processes have the listening socket open (from /proc)"));
        } else if shares {
            evidence.push(
                "they have their listening socket from their parent, which serves nothing (from /proc)"
                    .to_owned(),
            );
        }
        evidence.extend(inner.evidence.iter().take(3).cloned());
        let id = match kind {
            Kind::Iterative | Kind::Loop => ModelId::Prefork,
            Kind::Unknown => ModelId::Unknown,
            _ => ModelId::PreforkThreads,
        };
        let alone = if reading.len() == 1 { 0.85 } else { 1.0 };
        Some((id, certainty.max(0.8) * agree * alone, evidence))
    }

    /// Processes that have a socket open which listens on a port, and are nobody's parent.
    fn listening(&self, port: u16) -> usize {
        let is_parent = |pid: &Pid| self.outside.processes.values().any(|other| other.parent == Some(*pid));
        let processes = self.outside.processes.iter();
        processes
            .filter(|(pid, process)| {
                !is_parent(pid) && process.listeners.iter().any(|listener| listener.port == port)
            })
            .count()
    }

    /// One process.
    fn alone(&self, inners: &[Inner]) -> (ModelId, f64, Vec<String>) {
        let Some((process, inner)) =
            self.processes.iter().copied().zip(inners).find(|(process, _)| process.turns > 0)
        else {
            return (ModelId::Unknown, 0.0, Vec::new());
        };
        let mut evidence = inner.evidence.clone();
        if let Some((green, certainty)) = self.green(inner.kind, &[(process, inner)]) {
            evidence.push(green);
            return (ModelId::GreenThreads, certainty, evidence);
        }
        let id = match inner.kind {
            Kind::Iterative => ModelId::Iterative,
            Kind::PerConnection => ModelId::ThreadPerConnection,
            Kind::PerRequest => ModelId::ThreadPerRequest,
            Kind::Pool => ModelId::ThreadPool,
            Kind::Loop => ModelId::EventLoop,
            Kind::LoopPool => ModelId::EventLoopWithPool,
            Kind::Loops => ModelId::AsyncMultiThread,
            Kind::Unknown => ModelId::Unknown,
        };
        (id, inner.certainty, evidence)
    }

    /// Event loops that keep a stack for each connection, as far as can be told from outside.
    fn green(&self, kind: Kind, reading: &[(&ProcessFacts, &Inner)]) -> Option<(String, f64)> {
        if !matches!(kind, Kind::Loop | Kind::LoopPool) {
            return None;
        }
        let looked: Vec<_> =
            reading.iter().filter_map(|(process, _)| self.outside.processes.get(&process.pid)).collect();
        if let Some(library) = looked.iter().find_map(|outside| outside.stack_switcher.as_ref()) {
            let how = format!("the process maps {library}, which switches stacks in user space (from /proc)");
            return Some((how, 0.9));
        }
        let most = looked.iter().max_by_key(|outside| outside.spare_stacks)?;
        if most.spare_stacks < SPARE_STACKS || most.spare_stacks * 2 < most.connections {
            return None;
        }
        let connections = match most.connections {
            0 => String::new(),
            some => format!(", for {}", counted(some as u64, "connection", "connections")),
        };
        let stacks = counted(most.spare_stacks as u64, "more stack", "more stacks");
        let how = format!("the process has {stacks} than threads{connections} (from /proc)");
        Some((how, 0.85))
    }
}
