//! `cpu_starved`: threads of the server could run, and other processes have the CPU.
//!
//! The processes at the other end of its connections are its load, not its enemies: a load generator on the same machine takes CPUs
//! in proportion to what it asks for.

use super::{Draft, Facts, Id, Queues, State, crowd, evidence, words::share};
use crate::units::fmt_percent;

/// Microseconds of a slow request below which it is the scheduler's ordinary turn-taking.
const LEAST_US: f64 = 3_000.0;
/// Microseconds of any request, in the mean, below which something took a CPU now and then.
const LEAST_OF_ALL_US: f64 = 2_000.0;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let others = facts.cpu_waits.others - facts.cpu_waits.clients;
    let slow_us = crowd::slow_us(facts, queues) * others;
    let all_us = facts.all[State::RunQueue] * others;
    if slow_us < LEAST_US || all_us < LEAST_OF_ALL_US {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{
        Taker,
        testing::{facts, found, sentence},
    };

    fn starved() -> Facts {
        let mut facts = facts(&[(State::RunQueue, 20_000.0), (State::OnCpu, 5_000.0)]);
        facts.cpu_waits.others = 0.9;
        facts.cpu_waits.takers = vec![Taker { name: "backup".to_owned(), pid: 77, share: 0.9 }];
        facts
    }

    #[test]
    fn who_takes_the_cpu_is_named() {
        assert_eq!(found(&starved())[0], ("cpu_starved", 0.72));
        assert!(sentence(&starved()).contains("backup (77, 90 %)"));
    }

    #[test]
    fn the_servers_own_clients_do_not_starve_it() {
        let mut facts = starved();
        facts.cpu_waits.clients = 0.9;
        assert!(found(&facts).iter().all(|(id, _)| *id != "cpu_starved"));
    }

    #[test]
    fn a_slice_now_and_then_is_the_schedulers_turn_taking() {
        let mut facts = starved();
        facts.all = crate::explain::testing::times(&[(State::RunQueue, 100.0), (State::OnCpu, 5_000.0)]);
        assert!(found(&facts).iter().all(|(id, _)| *id != "cpu_starved"));
    }
}
