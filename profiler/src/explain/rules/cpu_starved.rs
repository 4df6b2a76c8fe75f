//! `cpu_starved`: threads of the server could run, and other processes have the CPU.
//!
//! The processes at the other end of its connections are its load, not its enemies: a load generator on the same machine takes CPUs
//! in proportion to what it asks for.

use super::{Draft, Facts, Id, Queues, State, crowd, evidence, words::share};
use crate::units::fmt_percent;

/// Microseconds of a slow request below which it is the scheduler's ordinary turn-taking.
const LEAST_US: f64 = 3_000.0;
/// Share of the time of all requests below which something took a CPU now and then.
const LEAST_OF_ALL: f64 = 0.05;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let others = facts.cpu_waits.others - facts.cpu_waits.clients;
    let slow_us = crowd::slow_us(facts, queues) * others;
    let all_us = facts.all[State::RunQueue] * others;
    if slow_us < LEAST_US || all_us < LEAST_OF_ALL * facts.all.total() {
        return None;
    }
    let named: Vec<String> = facts
        .cpu_waits
        .takers
        .iter()
        .take(3)
        .map(|taker| format!("{} ({}, {})", taker.name, taker.pid, fmt_percent(taker.share)))
        .collect();
    let who = if named.is_empty() { "other processes".to_owned() } else { named.join(", ") };
    Some(Draft {
        id: Id::CpuStarved,
        slow_us,
        all_us,
        certainty: 0.9,
        summary: format!("{} is waiting for a CPU on which other processes run: {who}.", share(facts, slow_us)),
        evidence: evidence! {
            "run_queue_us" => facts.slow[State::RunQueue],
            "queued_behind_us" => queues.roots[State::RunQueue],
            "taken_by_others" => others,
            "takers" => facts.cpu_waits.takers.iter().take(5).map(|taker| serde_json::json!({
                "name": taker.name,
                "pid": taker.pid,
                "share_of_run_queue_time": taker.share,
            })).collect::<Vec<_>>(),
        },
        advice: "Move these processes to other CPUs or another machine, lower their weight (nice, cpu.weight), or give the server CPUs of its own."
            .to_owned(),
    })
}
