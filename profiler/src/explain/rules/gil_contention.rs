//! `gil_contention`: the part of the state `lock` that is for `CPython`'s interpreter lock, with the queue before workers that wait for it.

use super::{
    Draft, Facts, Id, Queues, State, evidence,
    words::{mostly_in, share},
};
use crate::{
    explain::facts::LockFor,
    units::{fmt_count, fmt_us},
};

/// Microseconds of a slow request below which handing the lock on is what threads in Python do.
const LEAST_US: f64 = 1_000.0;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let part = facts.lock_share(LockFor::Gil);
    let own = facts.slow[State::Lock] * part;
    let slow_us = own + queues.roots[State::Lock] * part;
    if own < LEAST_US {
        return None;
    }
    let gil = facts.locks.iter().find(|lock| lock.of == LockFor::Gil)?;
    Some(Draft {
        id: Id::GilContention,
        slow_us,
        all_us: facts.all[State::Lock] * part,
        certainty: 0.9,
        summary: format!(
            "{} is waiting for Python's interpreter lock, the GIL ({} waits by {} threads, {} in the mean){}.",
            share(facts, slow_us),
            fmt_count(gil.waits),
            gil.waiters,
            fmt_us(gil.mean_us),
            mostly_in(facts, |times| times[State::Lock])
        ),
        evidence: evidence! {
            "lock_us" => own,
            "queued_behind_us" => slow_us - own,
            "lock" => gil.name,
            "waits" => gil.waits,
            "waiters" => gil.waiters,
            "mean_us" => gil.mean_us,
            "worst_us" => gil.worst_us,
        },
        advice: "Use processes instead of threads for work that computes in Python (more workers, fewer threads in each), or move it into code that \
                 releases the lock."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{
        LockFacts,
        testing::{facts, found},
    };

    #[test]
    fn the_interpreter_lock_has_a_name_of_its_own() {
        let mut facts = facts(&[(State::Lock, 60_000.0), (State::OnCpu, 10_000.0)]);
        facts.locks = vec![LockFacts { of: LockFor::Gil, share: 1.0, ..LockFacts::default() }];
        assert_eq!(found(&facts)[0].0, "gil_contention");
        facts.locks[0].of = LockFor::Exclusion;
        assert_eq!(found(&facts)[0].0, "lock_contention");
    }
}
