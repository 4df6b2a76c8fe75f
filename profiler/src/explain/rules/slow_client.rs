//! `slow_client`: the response is ready, and the client does not read it.

use super::{
    Draft, Facts, Id, Queues, State, evidence,
    words::{mostly_in, share},
};

/// Microseconds of a slow request below which it is what a network takes.
const LEAST_US: f64 = 5_000.0;

pub(super) fn rule(facts: &Facts, _: &Queues) -> Option<Draft> {
    let slow_us = facts.slow[State::Send];
    if slow_us < LEAST_US {
        return None;
    }
    Some(Draft {
        id: Id::SlowClient,
        slow_us,
        all_us: facts.all[State::Send],
        certainty: 0.9,
        summary: format!(
            "{} is waiting for the client to read its response{}.",
            share(facts, slow_us),
            mostly_in(facts, |times| times[State::Send])
        ),
        evidence: evidence! {
            "send_us" => slow_us,
            "mean_send_us" => facts.all[State::Send],
            "route" => facts.route_of(|times| times[State::Send]).map(|(route, _)| route.to_string()),
        },
        advice: "Put a proxy that takes the whole response before the server, send less (compress, cut into pages), or enlarge the socket's send \
                 buffer, so that no worker waits for it."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found};

    #[test]
    fn a_slow_client_is_found_and_a_quick_one_is_not() {
        assert_eq!(found(&facts(&[(State::Send, 40_000.0), (State::OnCpu, 100.0)]))[0].0, "slow_client");
        assert!(found(&facts(&[(State::Send, 500.0), (State::OnCpu, 100.0)])).is_empty());
    }
}
