//! Whose fault it is that threads had no CPU.

use super::{CHEAP_US, Facts, Queues, State};

/// Threads without a CPU, for each CPU, from which on the server has more of them than it can use.
pub(super) const CROWD: f64 = 2.0;

/// Switches that take the CPU away, for each request, from which on its threads are in each other's way although its requests are cheap. One
/// request after the other needs none.
const TORN: f64 = 0.5;

/// Microseconds of a slow request without a CPU, its queue before such workers included.
pub(super) fn slow_us(facts: &Facts, queues: &Queues) -> f64 {
    facts.slow[State::RunQueue] + queues.roots[State::RunQueue]
}

/// The server's own threads crowd its CPUs.
pub(super) fn too_many(facts: &Facts) -> bool {
    let work = facts.all[State::OnCpu] >= CHEAP_US || facts.involuntary >= TORN;
    work && facts.runnable * facts.cpu_waits.own >= CROWD * facts.cpus
}
