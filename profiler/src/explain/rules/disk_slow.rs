//! `disk_slow`: requests wait for files to be read, written or made durable, or are in a pool whose threads do.

use super::{
    Draft, Facts, Id, Queues, State, evidence,
    words::{mostly_in, share},
};

/// Microseconds of a slow request below which it is what a disk takes.
const LEAST_US: f64 = 250.0;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let own = facts.slow[State::Disk];
    let slow_us = own + queues.roots[State::Disk];
    if slow_us < LEAST_US {
        return None;
    }
    Some(Draft {
        id: Id::DiskSlow,
        slow_us,
        all_us: facts.all[State::Disk],
        certainty: 0.95,
        summary: format!(
            "{} is waiting for the disk{}.",
            share(facts, slow_us),
            mostly_in(facts, |times| times[State::Disk])
        ),
        evidence: evidence! {
            "disk_us" => own,
            "queued_behind_us" => slow_us - own,
            "mean_disk_us" => facts.all[State::Disk],
            "route" => facts.route_of(|times| times[State::Disk]).map(|(route, _)| route.to_string()),
        },
        advice: "Make fewer writes durable (one fsync for many requests), keep what is read in memory, or use a faster disk."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found};

    #[test]
    fn a_slow_disk_is_found_and_a_quick_one_is_not() {
        assert_eq!(found(&facts(&[(State::Disk, 4_000.0), (State::OnCpu, 100.0)]))[0].0, "disk_slow");
        assert!(found(&facts(&[(State::Disk, 200.0), (State::OnCpu, 100.0)])).is_empty());
    }
}
