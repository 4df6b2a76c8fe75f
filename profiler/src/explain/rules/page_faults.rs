//! `page_faults`: requests touch memory that is not there, and wait until it is: mapped files that are read from the disk, memory that was swapped
//! out.

use super::{
    Draft, Facts, Id, Queues, State, evidence,
    words::{mostly_in, share},
};

/// Microseconds of a slow request below which it does not matter.
const LEAST_US: f64 = 500.0;

pub(super) fn rule(facts: &Facts, _: &Queues) -> Option<Draft> {
    let slow_us = facts.slow[State::PageFault];
    if slow_us < LEAST_US {
        return None;
    }
    Some(Draft {
        id: Id::PageFaults,
        slow_us,
        all_us: facts.all[State::PageFault],
        certainty: 0.9,
        summary: format!(
            "{} is waiting for memory that is read from the disk (major page faults){}.",
            share(facts, slow_us),
            mostly_in(facts, |times| times[State::PageFault])
        ),
        evidence: evidence! {
            "page_fault_us" => slow_us,
            "mean_page_fault_us" => facts.all[State::PageFault],
            "route" => facts.route_of(|times| times[State::PageFault]).map(|(route, _)| route.to_string()),
        },
        advice: "Give the server more memory, read files ahead (madvise, a pass over the file at the start), or read them explicitly; see that it does \
                 not swap."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found};

    #[test]
    fn memory_that_is_waited_for_is_found_and_a_fault_now_and_then_is_not() {
        assert_eq!(found(&facts(&[(State::PageFault, 4_000.0), (State::OnCpu, 100.0)]))[0].0, "page_faults");
        assert!(found(&facts(&[(State::PageFault, 100.0), (State::OnCpu, 100.0)])).is_empty());
    }
}
