//! `workers_exhausted`: requests wait until one of the workers is free, and more workers would help.
//!
//! They would not where workers wait for a lock, or for CPUs that are full: such a queue is charged to the lock, or to the CPUs (`queues`).

use super::{
    Draft, Facts, Id, Queues, State, evidence,
    words::{counted, share},
};
use crate::units::{fmt_percent, fmt_us};

/// Microseconds of a slow request below which it does not matter.
const LEAST_US: f64 = 2_000.0;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let slow_us = queues.workers;
    if slow_us < LEAST_US {
        return None;
    }
    let service = facts.service();
    let count = facts.workers.map(|workers| workers.count);
    let which = match facts.workers {
        Some(workers) if workers.processes => {
            format!("one of {}", counted(workers.count, "process", "processes"))
        }
        Some(workers) => format!("one of {}", counted(workers.count, "worker", "workers")),
        None => "a worker".to_owned(),
    };
    let busy = busy_with(facts);
    let with = busy
        .as_ref()
        .map(|(what, part)| format!("; while busy, the workers spend {} in {what}", fmt_percent(*part)))
        .unwrap_or_default();
    let all_us =
        if facts.slow.queued() > 0.0 { facts.all.queued() * slow_us / facts.slow.queued() } else { 0.0 };
    Some(Draft {
        id: Id::WorkersExhausted,
        slow_us,
        all_us,
        certainty: if facts.workers.is_some() { 0.9 } else { 0.7 },
        summary: format!("{} is waiting for {which}{with}.", share(facts, slow_us)),
        evidence: evidence! {
            "queued_us" => facts.slow.queued(),
            "workers" => count,
            "utilisation" => facts.workers.map(|workers| workers.utilisation),
            "waiting" => facts.workers.map(|workers| workers.queue),
            "requests_in_service" => facts.in_service,
            "service_us" => service.total(),
            "busy_with" => service.iter()
                .filter(|(_, time)| *time > 0.0)
                .map(|(state, time)| (state.id().to_owned(), serde_json::json!(time / service.total())))
                .collect::<serde_json::Map<_, _>>(),
            "chain" => busy.map(|(what, _)| what),
        },
        advice: advice(facts),
    })
}

/// What the workers do while they are busy, with its part of that time.
fn busy_with(facts: &Facts) -> Option<(String, f64)> {
    let (state, part) = facts.all.mostly()?;
    let what = match facts.peers.first() {
        Some(peer) if state == State::Downstream => format!("downstream {}", peer.address),
        _ => state.id().to_owned(),
    };
    Some((what, part))
}

fn advice(facts: &Facts) -> String {
    let service = fmt_us(facts.service().total());
    let more = format!("A request keeps a worker for {service} in the mean. Use more workers");
    match facts.all.mostly() {
        Some((State::OnCpu, _)) => {
            format!("{more}, up to the number of CPUs, or make requests compute less.")
        }
        Some((state, _)) => format!(
            "{more}, or an asynchronous server: while {} they need no CPU. Or make that shorter.",
            state.words()
        ),
        None => format!("{more}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{
        PeerFacts, Workers,
        testing::{facts, found, sentence},
    };

    #[test]
    fn the_chain_is_told_to_its_end() {
        let mut facts =
            facts(&[(State::RecvQueue, 92_000.0), (State::Downstream, 7_680.0), (State::OnCpu, 320.0)]);
        facts.workers = Some(Workers { count: 2, utilisation: 0.99, ..Workers::default() });
        facts.peers = vec![PeerFacts {
            address: "127.0.0.1:5432".to_owned(),
            slow_us: 7_680.0,
            ..PeerFacts::default()
        }];
        assert_eq!(found(&facts)[0], ("workers_exhausted", 0.92));
        let sentence = sentence(&facts);
        assert!(
            sentence.contains(
                "one of 2 workers; while busy, the workers spend 96 % in downstream 127.0.0.1:5432."
            ),
            "{sentence}"
        );
    }

    #[test]
    fn workers_that_are_never_waited_for_are_enough() {
        let mut facts = facts(&[(State::RecvQueue, 30.0), (State::Sleep, 40_000.0)]);
        facts.workers = Some(Workers { count: 2, utilisation: 0.99, ..Workers::default() });
        assert_eq!(found(&facts)[0].0, "sleeping");
    }
}
