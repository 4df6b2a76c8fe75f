//! `cpu_throttled`: threads of the server could run, and its control group has used up its quota.

use super::{Draft, Facts, Id, Queues, State, crowd, evidence, words::share};
use crate::units::fmt_count;

/// Microseconds of a slow request below which it does not matter.
const LEAST_US: f64 = 1_000.0;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let part = facts.cpu_waits.throttled;
    let slow_us = crowd::slow_us(facts, queues) * part;
    if slow_us < LEAST_US {
        return None;
    }
    let quota = facts.cpu_waits.quota.map(|cpus| format!(" of {cpus:.2} CPUs")).unwrap_or_default();
    Some(Draft {
        id: Id::CpuThrottled,
        slow_us,
        all_us: facts.all[State::RunQueue] * part,
        certainty: 0.95,
        summary: format!(
            "{} is waiting because the server's control group has used up its quota{quota}; it was stopped in {} periods.",
            share(facts, slow_us),
            fmt_count(facts.cpu_waits.throttled_periods)
        ),
        evidence: evidence! {
            "run_queue_us" => facts.slow[State::RunQueue],
            "queued_behind_us" => queues.roots[State::RunQueue],
            "throttled_part" => part,
            "throttled_periods" => facts.cpu_waits.throttled_periods,
            "quota_cpus" => facts.cpu_waits.quota,
            "cpus_busy" => facts.parallelism,
        },
        advice: "Raise the quota (cpu.max, or the container's CPU limit), or remove it and give a weight instead; or use fewer threads, which \
                 use the quota up at once."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found, sentence};

    #[test]
    fn a_quota_is_named_with_its_size() {
        let mut facts = facts(&[(State::RunQueue, 25_000.0), (State::OnCpu, 4_000.0)]);
        facts.cpu_waits.throttled = 1.0;
        facts.cpu_waits.quota = Some(0.15);
        facts.cpu_waits.throttled_periods = 29;
        assert_eq!(found(&facts)[0].0, "cpu_throttled");
        assert!(sentence(&facts).contains("quota of 0.15 CPUs; it was stopped in 29 periods"));
        facts.cpu_waits.throttled = 0.0;
        assert!(found(&facts).iter().all(|(id, _)| *id != "cpu_throttled"));
    }
}
