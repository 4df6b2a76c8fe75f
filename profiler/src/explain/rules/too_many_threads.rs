//! `too_many_threads`: the server's own threads wait for one another to leave the CPU.
//!
//! Told from `cpu_bound` by how many there are: with a few for each CPU the same work waits in the same order wherever it waits; with many, each
//! request is cut to pieces by all the others.

use super::{Draft, Facts, Id, Queues, State, crowd, evidence, words::share};

/// Microseconds of a slow request below which it does not matter.
const LEAST_US: f64 = 2_000.0;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let own = facts.cpu_waits.own;
    let slow_us = crowd::slow_us(facts, queues) * own;
    if slow_us < LEAST_US || !crowd::too_many(facts) {
        return None;
    }
    Some(Draft {
        id: Id::TooManyThreads,
        slow_us,
        all_us: facts.all[State::RunQueue] * own,
        certainty: 0.85,
        summary: format!(
            "{} is waiting for a CPU that another thread of this server has: {:.1} of its threads run or want to run, on {:.0} CPUs.",
            share(facts, slow_us),
            facts.parallelism + facts.runnable,
            facts.cpus
        ),
        evidence: evidence! {
            "run_queue_us" => slow_us,
            "runnable_threads" => facts.runnable,
            "running_threads" => facts.parallelism,
            "cpus" => facts.cpus,
            "involuntary_switches_per_request" => facts.involuntary,
        },
        advice: "Let about as many threads compute at once as there are CPUs: a smaller pool with a queue before it is as fast in the mean and has a \
                 shorter tail."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found};

    fn crowd(runnable: f64) -> Facts {
        let mut facts = facts(&[(State::RunQueue, 300_000.0), (State::OnCpu, 10_000.0)]);
        (facts.parallelism, facts.runnable, facts.cpu_waits.own) = (2.0, runnable, 1.0);
        facts
    }

    #[test]
    fn sixty_threads_on_two_cpus_are_too_many() {
        assert_eq!(found(&crowd(60.0))[0].0, "too_many_threads");
    }

    #[test]
    fn three_that_compute_on_two_cpus_are_a_matter_of_computing() {
        assert_eq!(found(&crowd(1.0)), [("cpu_bound", 1.0)]);
    }

    #[test]
    fn many_threads_with_cheap_requests_are_load() {
        let mut facts = crowd(60.0);
        facts.all = crate::explain::testing::times(&[(State::RunQueue, 6_000.0), (State::OnCpu, 60.0)]);
        facts.slow = facts.all;
        assert!(found(&facts).is_empty());
    }
}
