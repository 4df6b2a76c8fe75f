//! The explanation of a run: `whywait.explain/1`, the contract of `docs/json.md`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    counters::{Counters, counters},
    cpu::{Cpu, cpu},
    locks::{Locks, locks},
    stacks::{Stacks, stacks},
};
use crate::{
    clock::State,
    explain::{Finding, findings, gather},
    fingerprint::{Little, Loop, ModelId, Pool, ThreadRole, Worker},
    observe::Observation,
    window::{Book, Point, Window},
};

/// Quantiles of latency, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// 90 % are no slower.
    pub p90: f64,
    /// 99 % are no slower.
    pub p99: f64,
    /// 99.9 % are no slower.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// Microseconds by state, in the order of the contract.
#[derive(Clone, Debug)]
pub struct Breakdown(pub Vec<(State, f64)>);

impl Serialize for Breakdown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(state, time)| (state.id(), time)))
    }
}

/// Who was watched.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// Processes that were named, by the host's numbers.
    pub pids: Vec<u32>,
    /// Name of the first.
    pub command: String,
    /// Ports that they listen on.
    pub ports: Vec<u16>,
}

/// How many requests, and how long they took.
#[derive(Clone, Debug, Serialize)]
pub struct Requests {
    /// Requests that ended in the window.
    pub count: u64,
    /// A second.
    pub per_second: f64,
    /// Their latency.
    pub latency_us: Latency,
    /// Read and never answered: the client or the server went away.
    pub unanswered: u64,
    /// Read, and not answered yet when the window ended.
    pub in_flight: u64,
    /// Requests whose arrival is not known: they begin with their first read.
    pub without_arrival: u64,
}

/// How many at once.
#[derive(Clone, Debug, Serialize)]
pub struct AtOnce {
    /// In the mean over the window.
    pub mean: f64,
    /// The most.
    pub max: usize,
}

/// The concurrency model.
#[derive(Clone, Debug, Serialize)]
pub struct Model {
    /// Its name.
    pub id: ModelId,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// Processes that ran in the window.
    pub processes: usize,
    /// Threads that ran in the window.
    pub threads: usize,
    /// What speaks for it.
    pub evidence: Vec<String>,
    /// Threads that had to do with requests.
    pub roles: Vec<ThreadRole>,
    /// The workers, where there is a queue for them.
    pub pool: Option<Pool>,
    /// Threads that are event loops.
    pub loops: Vec<Loop>,
    /// Processes that serve requests.
    pub workers: Vec<Worker>,
}

/// Time by state.
#[derive(Clone, Debug, Serialize)]
pub struct Breakdowns {
    /// Mean over all requests; sums to the mean latency.
    pub mean: Breakdown,
    /// Mean over the slowest 1 %.
    pub p99: Breakdown,
}

/// What a request costs, in the mean.
#[derive(Clone, Debug, Serialize)]
pub struct PerRequest {
    /// Switches of the target's threads.
    pub context_switches: f64,
    /// Of these, those by which a thread lost the CPU.
    pub involuntary_switches: f64,
    /// System calls, counted in a slice of the run; 0 where they could not be counted.
    pub system_calls: f64,
    /// Threads created.
    pub threads_created: f64,
    /// Processes created.
    pub processes_created: f64,
    /// Moves to another CPU.
    pub migrations: f64,
}

/// Requests of a route, or of a process.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Its name: method and path, or the process id.
    pub name: String,
    /// Requests.
    pub count: u64,
    /// Their latency.
    pub latency_us: Latency,
    /// Their mean time by state.
    pub mean: Breakdown,
}

/// What a thread did.
#[derive(Clone, Debug, Serialize)]
pub struct ThreadUse {
    /// Thread, as the host numbers it.
    pub tid: u32,
    /// Its process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Switches by which it gave the CPU up.
    pub voluntary: u64,
    /// Switches by which it lost the CPU.
    pub involuntary: u64,
    /// Moves to another CPU.
    pub migrations: u64,
    /// Microseconds on a CPU.
    pub on_cpu_us: f64,
    /// Microseconds on a run queue without a CPU.
    pub run_queue_us: f64,
}

/// What was lost.
#[derive(Clone, Debug, Serialize)]
pub struct Lost {
    /// Records that found no room or could not be read, and switches that no program saw.
    pub events: u64,
    /// Requests that may be wrong because of it.
    pub requests: u64,
    /// Lost records by kind.
    pub by_kind: BTreeMap<String, u64>,
    /// Records that are missing by the numbers of those that came.
    pub missing: u64,
    /// Records that came too late to be put in order.
    pub late: u64,
}

/// What whywait itself cost.
#[derive(Clone, Debug, Serialize)]
pub struct Overhead {
    /// Mean time of one run of a program in the kernel, in nanoseconds, measured in a slice of the run; 0 where the kernel does not tell.
    pub bpf_ns_per_event: f64,
    /// Records that the kernel sent.
    pub events: u64,
    /// CPU time of whywait and its programs, in percent of one CPU.
    pub cpu_percent: f64,
    /// Of that, the programs in the kernel.
    pub bpf_cpu_percent: f64,
}

/// A capability that this run did without.
#[derive(Clone, Debug, Serialize)]
pub struct Without {
    /// The hook.
    pub hook: String,
    /// What is lost.
    pub lost: String,
    /// Why.
    pub why: String,
}

/// Everything that a run says.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Always `whywait.explain/1`.
    pub schema: &'static str,
    /// Who was watched.
    pub target: Target,
    /// For how long, in seconds.
    pub window_s: f64,
    /// How many requests.
    pub requests: Requests,
    /// Requests in flight.
    pub concurrency: AtOnce,
    /// Threads on a CPU.
    pub parallelism: AtOnce,
    /// The concurrency model.
    pub model: Model,
    /// Concurrency and parallelism over the window.
    pub series: Vec<Point>,
    /// Little's law as a check of both.
    pub little: Option<Little>,
    /// Time by state.
    pub breakdown_us: Breakdowns,
    /// Cost of a request.
    pub per_request: PerRequest,
    /// Why they wait.
    pub findings: Vec<Finding>,
    /// What was lost.
    pub lost: Lost,
    /// What whywait cost.
    pub overhead: Overhead,
    /// Requests by route, most time first.
    pub routes: Vec<Group>,
    /// Requests by process, most time first; empty with a single process.
    pub processes: Vec<Group>,
    /// Threads that ran or could have, most CPU time first; the first 256.
    pub threads: Vec<ThreadUse>,
    /// Why threads waited for a CPU.
    pub cpu: Cpu,
    /// What the kernel counted: run queues, locks, system calls.
    pub counters: Counters,
    /// Where in the code requests spend their time.
    pub stacks: Stacks,
    /// Locks that threads waited for.
    pub locks: Locks,
    /// What this run did without.
    pub without: Vec<Without>,
    /// How socket operations were seen: `socket_tracepoints` or `system_calls`.
    pub sockets_by: &'static str,
    /// The target ended before the time was over.
    pub target_ended: bool,
    /// What is missing in the recording that this was told from, a sentence for each.
    pub missing: Vec<String>,
}

fn latency(book: &Book) -> Latency {
    Latency {
        mean: round(book.mean_us()),
        p50: round(book.quantile_us(0.5)),
        p90: round(book.quantile_us(0.9)),
        p99: round(book.quantile_us(0.99)),
        p999: round(book.quantile_us(0.999)),
        max: round(book.max_us()),
    }
}

/// Nanoseconds are the resolution of the kernel's clock.
pub(super) fn round(us: f64) -> f64 {
    (us * 1e3).round() / 1e3
}

fn breakdown(times: Vec<f64>) -> Breakdown {
    Breakdown(State::ALL.into_iter().zip(times.into_iter().map(round)).collect())
}

fn group(name: String, book: &Book) -> Group {
    Group { name, count: book.count(), latency_us: latency(book), mean: breakdown(book.mean_times_us()) }
}

/// Groups by the time that their requests took in all.
fn ranked(groups: impl Iterator<Item = (String, Book)>) -> Vec<Group> {
    let mut groups: Vec<Group> = groups.map(|(name, book)| group(name, &book)).collect();
    groups.sort_by(|a, b| {
        let time = |group: &Group| group.latency_us.mean * group.count as f64;
        time(b).total_cmp(&time(a)).then_with(|| a.name.cmp(&b.name))
    });
    groups
}

/// Threads that are told one by one.
const MOST_THREADS: usize = 256;

fn thread_uses(window: &Window) -> Vec<ThreadUse> {
    let mut uses: Vec<ThreadUse> = window
        .threads()
        .iter()
        .map(|(tid, usage)| ThreadUse {
            tid: tid.0,
            pid: usage.pid.0,
            name: usage.name.clone(),
            voluntary: usage.voluntary,
            involuntary: usage.involuntary,
            migrations: usage.migrations,
            on_cpu_us: usage.on_cpu as f64 / 1e3,
            run_queue_us: usage.run_queue as f64 / 1e3,
        })
        .collect();
    uses.sort_by(|a, b| b.on_cpu_us.total_cmp(&a.on_cpu_us).then_with(|| a.tid.cmp(&b.tid)));
    uses.truncate(MOST_THREADS);
    uses
}

fn per_request(observation: &Observation, window: &Window) -> PerRequest {
    let total = window.threads().total();
    let each = |count: u64| if window.count() == 0 { 0.0 } else { count as f64 / window.count() as f64 };
    let slice = observation.facts.slice;
    let traced: u64 = observation.facts.syscalls.iter().map(|count| count.count).sum();
    let system_calls = if observation.facts.mode.syscalls {
        each(traced)
    } else if observation.pipeline.in_slice() > 0 {
        slice.syscalls.unwrap_or(0) as f64 / observation.pipeline.in_slice() as f64
    } else {
        0.0
    };
    PerRequest {
        context_switches: round(each(total.voluntary + total.involuntary)),
        involuntary_switches: round(each(total.involuntary)),
        system_calls: round(system_calls),
        threads_created: round(each(window.threads().created())),
        processes_created: round(each(window.threads().processes_created())),
        migrations: round(each(total.migrations)),
    }
}

fn overhead(observation: &Observation, seconds: f64) -> Overhead {
    let slice = observation.facts.slice;
    let (per_run, bpf_share) = match slice.runs {
        Some((runs, nanos)) if runs > 0 && !slice.length.is_zero() => {
            (nanos as f64 / runs as f64, nanos as f64 / slice.length.as_nanos() as f64)
        }
        _ => (0.0, 0.0),
    };
    let own = if seconds > 0.0 { observation.facts.own_cpu_ns as f64 / 1e9 / seconds } else { 0.0 };
    Overhead {
        bpf_ns_per_event: round(per_run),
        events: observation.facts.counters.sent,
        cpu_percent: round((own + bpf_share) * 100.0),
        bpf_cpu_percent: round(bpf_share * 100.0),
    }
}

/// The explanation of a run.
pub fn explain(observation: &Observation) -> Explanation {
    let pipeline = &observation.pipeline;
    let window = pipeline.window();
    let seconds = window.seconds();
    let all = window.all();
    let at_once = |(mean, max): (f64, usize)| AtOnce { mean: round(mean), max };
    let threads: Vec<_> = window.threads().iter().collect();
    let processes: std::collections::BTreeSet<u32> = threads.iter().map(|(_, usage)| usage.pid.0).collect();
    let tally = pipeline.tally();
    let fingerprint = &observation.fingerprint;
    let facts = gather(observation);
    Explanation {
        schema: "whywait.explain/1",
        target: Target {
            pids: observation.facts.pids.iter().map(|pid| pid.0).collect(),
            command: observation.facts.command.clone(),
            ports: observation.facts.ports.clone(),
        },
        window_s: round(seconds),
        requests: Requests {
            count: all.count(),
            per_second: round(if seconds > 0.0 { all.count() as f64 / seconds } else { 0.0 }),
            latency_us: latency(&all),
            unanswered: tally.unanswered,
            in_flight: tally.in_flight,
            without_arrival: window.without_arrival(),
        },
        concurrency: at_once(window.concurrency()),
        parallelism: at_once((
            window.parallelism().0,
            window.parallelism().1.min(observation.facts.machine_cpus),
        )),
        model: Model {
            id: fingerprint.id,
            confidence: round(fingerprint.confidence),
            processes: processes.len(),
            threads: threads.len(),
            evidence: fingerprint.evidence.clone(),
            roles: fingerprint.roles.clone(),
            pool: fingerprint.pool.clone(),
            loops: fingerprint.loops.clone(),
            workers: fingerprint.processes.clone(),
        },
        series: window.over_time(),
        little: fingerprint.little.clone(),
        breakdown_us: Breakdowns {
            mean: breakdown(all.mean_times_us()),
            p99: breakdown(all.slowest_times_us(0.01)),
        },
        per_request: per_request(observation, window),
        findings: findings(&facts),
        lost: Lost {
            events: observation.facts.loss.total()
                + pipeline.unreadable()
                + observation.facts.counters.no_state
                + observation.facts.counters.unseen_switches,
            requests: window.touched_by_loss(),
            by_kind: observation.facts.loss.by_kind().map(|(kind, count)| (kind.to_owned(), count)).collect(),
            missing: tally.missing,
            late: pipeline.late(),
        },
        overhead: overhead(observation, seconds),
        routes: ranked(window.routes().map(|(name, book)| (name.to_owned(), book))),
        processes: if window.processes().len() > 1 {
            ranked(window.processes().map(|(pid, book)| (pid.to_string(), book)))
        } else {
            Vec::new()
        },
        threads: thread_uses(window),
        cpu: cpu(observation, &facts),
        counters: counters(observation),
        stacks: stacks(observation),
        locks: locks(observation),
        without: observation
            .facts
            .capabilities
            .iter()
            .filter_map(|capability| {
                capability.failure.as_ref().map(|why| Without {
                    hook: capability.hook.clone(),
                    lost: capability.gives.clone(),
                    why: why.clone(),
                })
            })
            .collect(),
        sockets_by: if observation.facts.mode.sockets_by_syscall {
            "system_calls"
        } else {
            "socket_tracepoints"
        },
        target_ended: observation.facts.target_ended,
        missing: Vec::new(),
    }
}
