//! `sleeping`: requests wait for nothing but time: a sleep, a timer, a back-off before another try.
//!
//! Where one sleep begins when another one has ended, the time before it is `lock_contention` (`turns`).

use super::{
    Draft, Facts, Id, Queues, State, evidence,
    words::{mostly_in, share},
};

/// Microseconds of a slow request below which it does not matter.
const LEAST_US: f64 = 2_000.0;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let own = facts.slow[State::Sleep] * (1.0 - facts.in_turn);
    let slow_us = own + queues.roots[State::Sleep];
    if slow_us < LEAST_US {
        return None;
    }
    Some(Draft {
        id: Id::Sleeping,
        slow_us,
        all_us: facts.all[State::Sleep] * (1.0 - facts.in_turn),
        certainty: 0.9,
        summary: format!(
            "{} is spent sleeping, until a timer ends{}.",
            share(facts, slow_us),
            mostly_in(facts, |times| times[State::Sleep])
        ),
        evidence: evidence! {
            "sleep_us" => own,
            "queued_behind_us" => slow_us - own,
            "mean_sleep_us" => facts.all[State::Sleep],
            "route" => facts.route_of(|times| times[State::Sleep]).map(|(route, _)| route.to_string()),
        },
        advice: "Find the sleep (a back-off, a poll for something that could tell by itself, a rate limit) and wait for the event instead."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found};

    #[test]
    fn a_sleep_is_found_and_a_short_one_is_not() {
        assert_eq!(found(&facts(&[(State::Sleep, 40_000.0), (State::OnCpu, 100.0)]))[0].0, "sleeping");
        assert!(found(&facts(&[(State::Sleep, 500.0), (State::OnCpu, 100.0)])).is_empty());
    }
}
