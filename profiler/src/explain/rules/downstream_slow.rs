//! `downstream_slow`: requests wait for a service that the server called.
//!
//! Where a process is created for each request, what is read from a pipe is that process's answer, and counts for `process_churn`.

use super::{
    Draft, Facts, Id, Queues, State, evidence, process_churn,
    words::{mostly_in, share},
};
use crate::units::{fmt_percent, fmt_us};

/// Microseconds of a slow request below which calling another service takes what calling takes.
const LEAST_US: f64 = 5_000.0;

pub(super) fn rule(facts: &Facts, _: &Queues) -> Option<Draft> {
    let pipes = process_churn::pipes(facts, &facts.slow);
    let slow_us = facts.slow[State::Downstream] - pipes;
    if slow_us < LEAST_US {
        return None;
    }
    let worst = facts.peers.first();
    let who = worst.map_or_else(
        || "another process".to_owned(),
        |peer| {
            let part = peer.slow_us / slow_us;
            let part = if part < 0.95 { format!(", {} of it", fmt_percent(part)) } else { String::new() };
            format!("{}{part} ({} at most)", peer.address, fmt_us(peer.worst_us))
        },
    );
    Some(Draft {
        id: Id::DownstreamSlow,
        slow_us,
        all_us: facts.all[State::Downstream] - process_churn::pipes(facts, &facts.all),
        certainty: if worst.is_some() { 0.95 } else { 0.8 },
        summary: format!(
            "{} is waiting for an answer of {who}{}.",
            share(facts, slow_us),
            mostly_in(facts, |times| times[State::Downstream])
        ),
        evidence: evidence! {
            "downstream_us" => slow_us,
            "services" => facts.peers.iter().take(5).map(|peer| serde_json::json!({
                "address": peer.address,
                "slow_us": peer.slow_us,
                "mean_us": peer.all_us,
                "requests": peer.requests,
                "worst_us": peer.worst_us,
            })).collect::<Vec<_>>(),
        },
        advice: format!(
            "The time is spent in {}, not here: look there (whywait on that server, or its slow log). Here: ask less often, cache, ask in \
             parallel, set a time-out.",
            worst.map_or("the other process", |peer| &peer.address)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found};

    #[test]
    fn an_answer_that_takes_long_is_found_and_a_quick_one_is_not() {
        assert_eq!(
            found(&facts(&[(State::Downstream, 25_000.0), (State::OnCpu, 100.0)]))[0].0,
            "downstream_slow"
        );
        assert!(found(&facts(&[(State::Downstream, 900.0), (State::OnCpu, 100.0)])).is_empty());
    }
}
