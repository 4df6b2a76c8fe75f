//! `process_churn`: processes are created for a request, and the request waits for them: until they run, and until they have ended or
//! answered through a pipe.

use super::{
    Draft, Facts, Id, Queues, State, Times, evidence,
    words::{mostly_in, share},
};
use crate::{fingerprint::ModelId, units::fmt_us};

/// Processes for each request from which on they are created for requests.
const LEAST: f64 = 0.5;
/// Microseconds of a slow request below which it does not matter.
const LEAST_US: f64 = 500.0;

pub(super) fn rule(facts: &Facts, _: &Queues) -> Option<Draft> {
    let processes = &facts.processes;
    if processes.per_request < LEAST {
        return None;
    }
    let waits = |times: &Times| {
        let born =
            (processes.per_request * processes.to_first_run_us).min(times.queued() + times[State::RunQueue]);
        // The CPUs that the request waits for are those that its own processes have.
        let crowded = if helps(facts) { times[State::RunQueue] * facts.cpu_waits.own } else { 0.0 };
        times[State::Child] + pipes(facts, times) + born.max(crowded)
    };
    let slow_us = waits(&facts.slow);
    if slow_us < LEAST_US {
        return None;
    }
    Some(Draft {
        id: Id::ProcessChurn,
        slow_us,
        all_us: waits(&facts.all),
        certainty: 0.85,
        summary: format!(
            "{} goes into processes that are created for them: {:.1} for each request, each {} until it runs and {} until it has ended{}.",
            share(facts, slow_us),
            processes.per_request,
            fmt_us(processes.to_first_run_us),
            fmt_us(processes.lived_us),
            mostly_in(facts, |times| times[State::Child])
        ),
        evidence: evidence! {
            "processes_per_request" => processes.per_request,
            "to_first_run_us" => processes.to_first_run_us,
            "lived_us" => processes.lived_us,
            "child_us" => facts.slow[State::Child],
            "pipes_us" => pipes(facts, &facts.slow),
        },
        advice: "Keep the processes (workers that are started beforehand, FastCGI instead of CGI), or do the work in the server (a library instead of a \
                 command)."
            .to_owned(),
    })
}

/// Processes are created for requests, and do not serve them: they are what the requests' own time goes into.
pub(super) fn helps(facts: &Facts) -> bool {
    let serves = matches!(facts.model, ModelId::ProcessPerConnection | ModelId::ProcessPerRequest);
    facts.processes.per_request >= LEAST && !serves
}

/// Time in `downstream` that is spent on no known service where processes are created for requests: what they write into pipes.
pub(super) fn pipes(facts: &Facts, times: &Times) -> f64 {
    if facts.processes.per_request < LEAST {
        return 0.0;
    }
    let called: f64 = facts.peers.iter().map(|peer| peer.slow_us).sum();
    let part = if facts.slow[State::Downstream] > 0.0 { called / facts.slow[State::Downstream] } else { 0.0 };
    times[State::Downstream] * (1.0 - part.min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found};

    #[test]
    fn what_a_command_writes_into_a_pipe_is_waited_for_like_its_end() {
        let mut facts =
            facts(&[(State::Downstream, 6_000.0), (State::Child, 3_000.0), (State::OnCpu, 1_000.0)]);
        facts.processes.per_request = 1.0;
        assert_eq!(found(&facts)[0], ("process_churn", 0.9));
        facts.processes.per_request = 0.0;
        assert_eq!(found(&facts)[0].0, "downstream_slow");
    }
}
