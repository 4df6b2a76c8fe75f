//! Waits for a CPU in the explanation.

use serde::Serialize;

use super::explanation::round;
use crate::{
    explain::{self, Facts},
    observe::Observation,
};

/// Processes that are listed.
const MOST: usize = 16;

/// Who had the CPUs, what limits the target, and what its new threads cost.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cpu {
    /// CPUs that the target may use, by its affinity.
    pub cpus: usize,
    /// CPUs that its control groups allow; `null` without a quota.
    pub quota_cpus: Option<f64>,
    /// Periods in which it was throttled.
    pub throttled_periods: u64,
    /// Microseconds for which it was throttled, summed over CPUs.
    pub throttled_us: f64,
    /// Threads that waited for a CPU at once.
    pub waiting: Waiting,
    /// Why they waited.
    pub waits: Waits,
    /// Who ran meanwhile, most first.
    pub takers: Vec<Taker>,
    /// Threads created within their process.
    pub threads_born: Births,
    /// Processes created.
    pub processes_born: Births,
}

/// Threads that waited for a CPU at once.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Waiting {
    /// In the mean.
    pub mean: f64,
    /// The most.
    pub max: usize,
    /// In the mean, for each CPU that the target may use.
    pub per_cpu: f64,
}

/// Why threads waited: shares of the time that they did. Those but `clients` sum to 1.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Waits {
    /// Microseconds of all waits.
    pub total_us: f64,
    /// Other threads of the target ran.
    pub own: f64,
    /// Other processes ran.
    pub others: f64,
    /// Of these, those at the other end of the target's connections.
    pub clients: f64,
    /// The quota was used up.
    pub throttled: f64,
    /// The CPU was idle, and woke up.
    pub idle: f64,
}

/// Processes of one name.
#[derive(Clone, Debug, Serialize)]
pub struct Taker {
    /// Their name.
    pub name: String,
    /// The one that took most.
    pub pid: u32,
    /// How many.
    pub processes: usize,
    /// `own`, `client`, `kernel` or `other`.
    pub kind: &'static str,
    /// Share of the waits.
    pub share: f64,
    /// CPUs that they used.
    pub cpus: f64,
}

/// Threads or processes that were created.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Births {
    /// A second.
    pub per_second: f64,
    /// Microseconds from the creation to the first run.
    pub to_first_run_us: f64,
    /// Microseconds that those lived which have ended; 0 where none has.
    pub lived_us: f64,
}

/// The CPU part of an explanation.
pub(super) fn cpu(observation: &Observation, facts: &Facts) -> Cpu {
    let cpu = &observation.cpu;
    let threads = observation.pipeline.window().threads();
    let born = |count: u64, births: &explain::Births| Births {
        per_second: round(if facts.seconds > 0.0 { count as f64 / facts.seconds } else { 0.0 }),
        to_first_run_us: round(births.to_first_run_us),
        lived_us: round(births.lived_us),
    };
    let (mean, max) = cpu.waiting;
    Cpu {
        cpus: cpu.cpus,
        quota_cpus: cpu.throttling.quota,
        throttled_periods: cpu.throttling.periods,
        throttled_us: round(cpu.throttling.ns as f64 / 1e3),
        waiting: Waiting { mean: round(mean), max, per_cpu: round(mean / cpu.cpus.max(1) as f64) },
        waits: Waits {
            total_us: round(cpu.waited_ns as f64 / 1e3),
            own: round(cpu.own),
            others: round(cpu.others),
            clients: round(cpu.clients),
            throttled: round(cpu.throttled),
            idle: round(cpu.idle),
        },
        takers: cpu
            .takers
            .iter()
            .take(MOST)
            .map(|taker| Taker {
                name: taker.name.clone(),
                pid: taker.pid.0,
                processes: taker.processes,
                kind: taker.kind.id(),
                share: round(taker.share),
                cpus: round(taker.cpus),
            })
            .collect(),
        threads_born: born(threads.created(), &facts.threads),
        processes_born: born(threads.processes_created(), &facts.processes),
    }
}
