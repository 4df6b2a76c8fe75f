//! `cpu_bound`: slow requests compute, or wait for CPUs on which the server itself computes.
//!
//! The wait for a CPU that the server's own threads have counts here unless there are so many of them that they are the cause
//! (`too_many_threads`), and so does the queue before workers that have filled the CPUs with work that is not cheap.

use super::{
    CHEAP_US, Draft, Facts, Id, Queues, State, crowd, evidence, process_churn,
    words::{mostly_in, part, share},
};
use crate::units::fmt_us;

/// Microseconds on a CPU of a slow request below which computing is what servers are for.
const LEAST_US: f64 = 3_000.0;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let own = facts.slow[State::OnCpu];
    let crowd = if crowd::too_many(facts) || process_churn::helps(facts) { 0.0 } else { facts.cpu_waits.own };
    let waits = crowd::slow_us(facts, queues) * crowd;
    let behind_us = queues.roots[State::OnCpu];
    let heavy = facts.all[State::OnCpu] >= CHEAP_US && own + waits + behind_us >= LEAST_US;
    if own < LEAST_US && !heavy {
        return None;
    }
    let slow_us = own + waits + behind_us;
    let behind = if waits + behind_us > own {
        format!(": {} of it behind other requests that compute", part(facts, waits + behind_us))
    } else {
        String::new()
    };
    Some(Draft {
        id: Id::CpuBound,
        slow_us,
        all_us: facts.all[State::OnCpu] + facts.all[State::RunQueue] * crowd,
        certainty: 0.9,
        summary: format!(
            "{} is computing{}{behind}; {:.1} of {:.0} CPUs are busy with this server.",
            share(facts, slow_us),
            mostly_in(facts, |times| times[State::OnCpu]),
            facts.parallelism,
            facts.cpus
        ),
        evidence: evidence! {
            "on_cpu_us" => own,
            "run_queue_us" => waits,
            "queued_behind_us" => behind_us,
            "mean_on_cpu_us" => facts.all[State::OnCpu],
            "cpus_busy" => facts.parallelism,
            "cpus" => facts.cpus,
            "route" => facts.route_of(|times| times[State::OnCpu]).map(|(route, _)| route.to_string()),
        },
        advice: format!(
            "A request computes for {} in the mean: profile it and make that less, cache its result, or add CPUs. More threads do not help.",
            fmt_us(facts.all[State::OnCpu])
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found};

    #[test]
    fn a_request_that_computes_for_long_is_found_and_a_cheap_one_is_not() {
        assert_eq!(found(&facts(&[(State::OnCpu, 20_000.0), (State::RecvQueue, 100.0)]))[0].0, "cpu_bound");
        assert!(found(&facts(&[(State::OnCpu, 90.0), (State::RecvQueue, 20.0)])).is_empty());
    }

    #[test]
    fn what_waits_for_cpus_that_the_server_has_filled_counts_too() {
        let mut facts =
            facts(&[(State::OnCpu, 10_000.0), (State::RunQueue, 10_000.0), (State::RecvQueue, 60_000.0)]);
        facts.parallelism = 1.95;
        facts.cpu_waits.own = 1.0;
        facts.runnable = 2.0;
        assert_eq!(found(&facts), [("cpu_bound", 1.0)]);
    }

    /// A benchmark of a fast server keeps hundreds of cheap requests waiting: that is load.
    #[test]
    fn a_queue_of_cheap_requests_is_no_finding() {
        let mut facts = facts(&[(State::OnCpu, 60.0), (State::RecvQueue, 4_000.0), (State::RunQueue, 200.0)]);
        facts.parallelism = 1.2;
        facts.loops = 1;
        facts.loop_busy = 1.0;
        assert!(found(&facts).is_empty());
    }
}
