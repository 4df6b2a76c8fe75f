//! One server under one load.

use demo_servers::load::{LatencySummary, LoadReport};
use serde::Serialize;

use super::{
    check::{self, Difference},
    perf::PerfCounts,
    sweep::Setting,
    usage::{Memory, ProcCounts},
};
use crate::{
    clock::State,
    observe::Observation,
    report::{AtOnce, Breakdowns, Explanation, Latency, Lost},
};

/// States in which a request waits that nobody works on.
const QUEUES: &[State] = &[State::AcceptQueue, State::RecvQueue, State::AppQueue];

/// Processes that serve fewer requests than this are too short for a division of their CPU time.
const SHORT_LIVED: u64 = 100;

/// What was measured beside the observation.
pub struct Measured<'a> {
    /// The run as whywait saw it.
    pub observation: &'a Observation,
    /// What came of it.
    pub explanation: Explanation,
    /// The run as the load generator saw it.
    pub load: LoadReport,
    /// Performance counters, or why there are none.
    pub perf: Result<PerfCounts, String>,
    /// What `/proc` says.
    pub procfs: ProcCounts,
    /// The most memory at any one time.
    pub peak: Memory,
    /// The share of all CPUs' time that others had; `None`: not known.
    pub others: Option<f64>,
}

/// What the probes counted in the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Requests found, and answered.
    pub requests: u64,
    /// Requests read and never answered.
    pub unanswered: u64,
    /// Requests not answered yet at the end.
    pub in_flight: u64,
    /// Microseconds on a CPU.
    pub cpu_us: f64,
    /// Switches by which a thread gave the CPU up.
    pub voluntary_switches: u64,
    /// Switches by which a thread lost the CPU.
    pub involuntary_switches: u64,
    /// Times that a thread came back on another CPU.
    pub migrations: u64,
    /// Waits in `futex`.
    pub futex_waits: u64,
    /// Threads created.
    pub threads_created: u64,
    /// Processes created.
    pub processes_created: u64,
}

impl Counts {
    /// Switches of either kind.
    pub fn context_switches(&self) -> u64 {
        self.voluntary_switches + self.involuntary_switches
    }

    fn of(observation: &Observation) -> Self {
        let (window, tally) = (observation.pipeline.window(), observation.pipeline.tally());
        let (threads, total) = (window.threads(), window.threads().total());
        Self {
            requests: window.count(),
            unanswered: tally.unanswered,
            in_flight: tally.in_flight,
            cpu_us: total.on_cpu as f64 / 1e3,
            voluntary_switches: total.voluntary,
            involuntary_switches: total.involuntary,
            migrations: total.migrations,
            futex_waits: observation.facts.futexes.iter().map(|futex| futex.count).sum(),
            threads_created: threads.created(),
            processes_created: threads.processes_created(),
        }
    }
}

/// What a request costs in the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// CPU time in microseconds, from `/proc`: also what a process does after its exit.
    pub cpu_us: f64,
    /// Of that, in user mode; `None` where processes live so shortly that the kernel does not know.
    pub cpu_user_us: Option<f64>,
    /// Of that, in the kernel, likewise.
    pub cpu_kernel_us: Option<f64>,
    /// Switches by which a thread gave the CPU up.
    pub voluntary_switches: f64,
    /// Switches by which a thread lost the CPU.
    pub involuntary_switches: f64,
    /// Times that a thread came back on another CPU.
    pub migrations: f64,
    /// System calls; `None` where they could not be counted.
    pub system_calls: Option<f64>,
    /// Waits in `futex`.
    pub futex_waits: f64,
    /// Threads created.
    pub threads_created: f64,
    /// Processes created.
    pub processes_created: f64,
    /// Time on a CPU while it is worked on, in microseconds.
    pub on_cpu_us: f64,
    /// Time without a CPU, in microseconds.
    pub run_queue_us: f64,
    /// Time blocked on a lock, in microseconds.
    pub lock_us: f64,
    /// Time in queues (`accept_queue`, `recv_queue` and `app_queue`), in microseconds.
    pub queue_us: f64,
    /// Time in all other states, in microseconds.
    pub rest_us: f64,
    /// Page faults, by the performance counters.
    pub page_faults: Option<f64>,
    /// CPU cycles, where the hardware counts them.
    pub cycles: Option<f64>,
    /// Instructions, where the hardware counts them.
    pub instructions: Option<f64>,
}

/// What the load generator saw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outside {
    /// Requests answered.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Of `requests`, those that were not answered with 200.
    pub not_ok: u64,
    /// Requests that were due and could not be sent before the end (open loop).
    pub unsent: u64,
    /// From the moment at which a request was due to the end of its answer, in microseconds.
    pub latency_us: LatencySummary,
}

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The server.
    pub name: String,
    /// The value that is swept.
    pub setting: Option<Setting>,
    /// Answers a second, by the load generator.
    pub requests_per_second: f64,
    /// Latency inside the server, in microseconds: from the arrival of the first byte to the last write of the answer.
    pub latency_us: Latency,
    /// Requests in flight.
    pub concurrency: AtOnce,
    /// Threads on a CPU.
    pub parallelism: AtOnce,
    /// Processes that ran.
    pub processes: usize,
    /// Threads that ran.
    pub threads: usize,
    /// The most memory at any one time.
    pub memory_bytes: Memory,
    /// The share of all CPUs' time that other processes (or a hypervisor) had meanwhile; `None`: not known.
    pub others_share: Option<f64>,
    /// What a request costs.
    pub per_request: Cost,
    /// Where its time goes.
    pub breakdown_us: Breakdowns,
    /// What the load generator saw.
    pub outside: Outside,
    /// What the probes counted.
    pub ebpf: Counts,
    /// What the performance counters counted.
    pub perf: Option<PerfCounts>,
    /// Why there are no performance counters.
    pub perf_absent: Option<String>,
    /// What `/proc` says.
    pub procfs: ProcCounts,
    /// Where the sources differ by more than 5 %, or by a single request.
    pub check: Vec<Difference>,
    /// What the probes lost.
    pub lost: Lost,
}

impl Row {
    /// The row of a run.
    pub fn new(name: String, setting: Option<Setting>, measured: Measured<'_>) -> Self {
        let Measured { observation, explanation, load, perf, procfs, peak, others } = measured;
        let ebpf = Counts::of(observation);
        let each = |count: f64| if ebpf.requests == 0 { 0.0 } else { count / ebpf.requests as f64 };
        let of = |count: u64| each(count as f64);
        let in_states = |states: &[State]| -> f64 {
            let times = explanation.breakdown_us.mean.0.iter();
            times.filter(|(state, _)| states.contains(state)).map(|(_, time)| time).sum()
        };
        let told = [&[State::OnCpu][..], &[State::RunQueue], &[State::Lock], QUEUES].map(in_states);
        let [on_cpu_us, run_queue_us, lock_us, queue_us] = told;
        let (perf, perf_absent) = match perf {
            Ok(counts) => (Some(counts), None),
            Err(why) => (None, Some(why)),
        };
        let counted = observation.facts.slice.syscalls.is_some() && observation.pipeline.in_slice() > 0;
        // The kernel divides a process's CPU time by what its ticks met; one that none met counts as user mode
        // (`cputime_adjust` in kernel/sched/cputime.c).
        let split = ebpf.processes_created * SHORT_LIVED <= ebpf.requests;
        let per_request = Cost {
            cpu_us: each(procfs.cpu_us()),
            cpu_user_us: split.then(|| each(procfs.cpu_user_us)),
            cpu_kernel_us: split.then(|| each(procfs.cpu_kernel_us)),
            voluntary_switches: of(ebpf.voluntary_switches),
            involuntary_switches: of(ebpf.involuntary_switches),
            migrations: of(ebpf.migrations),
            system_calls: counted.then_some(explanation.per_request.system_calls),
            futex_waits: of(ebpf.futex_waits),
            threads_created: of(ebpf.threads_created),
            processes_created: of(ebpf.processes_created),
            on_cpu_us,
            run_queue_us,
            lock_us,
            queue_us,
            rest_us: rest(explanation.requests.latency_us.mean - told.iter().sum::<f64>()),
            page_faults: perf.map(|perf| of(perf.page_faults)),
            cycles: perf.and_then(|perf| perf.cycles).map(of),
            instructions: perf.and_then(|perf| perf.instructions).map(of),
        };
        // The window is a little longer than the load, and nothing happens in the rest.
        let stretch = if load.duration_s > 0.0 { explanation.window_s / load.duration_s } else { 1.0 };
        let during = |at_once: AtOnce| AtOnce { mean: at_once.mean * stretch, max: at_once.max };
        let outside = Outside {
            requests: load.requests,
            failed: load.errors.total() - load.errors.status,
            not_ok: load.errors.status,
            unsent: load.unsent,
            latency_us: load.latency_us,
        };
        Self {
            name,
            setting,
            requests_per_second: load.per_second,
            latency_us: explanation.requests.latency_us,
            concurrency: during(explanation.concurrency),
            parallelism: during(explanation.parallelism),
            processes: explanation.model.processes,
            threads: explanation.model.threads,
            memory_bytes: peak,
            others_share: others,
            per_request,
            breakdown_us: explanation.breakdown_us,
            check: check::differences(&ebpf, perf.as_ref(), procfs, load.requests),
            outside,
            ebpf,
            perf,
            perf_absent,
            procfs,
            lost: explanation.lost,
        }
    }

    /// What the table calls it.
    pub fn label(&self) -> String {
        self.setting.map_or_else(|| self.name.clone(), |setting| format!("{} {setting}", self.name))
    }
}

/// What is left of a mean when its parts are taken off, each of which is rounded to a nanosecond.
fn rest(us: f64) -> f64 {
    if us < 0.005 { 0.0 } else { us }
}
