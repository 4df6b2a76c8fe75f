//! `gil_contention`: the part of the state `lock` that is for the lock of an interpreter, `CPython`'s or Ruby's, with the queue before workers that wait for it.

use super::{
    Draft, Facts, Id, Queues, State, evidence,
    words::{mostly_in, share},
};
use crate::{
    explain::facts::LockFor,
    locks::RUBYS,
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
    let ruby = gil.name.starts_with(RUBYS);
    let lock = if ruby { RUBYS } else { "Python's interpreter lock, the GIL" };
    Some(Draft {
        id: Id::GilContention,
        slow_us,
        all_us: facts.all[State::Lock] * part,
        certainty: 0.9,
        summary: format!(
            "{} is waiting for {lock} ({} waits by {} threads, {} in the mean){}.",
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
        advice: format!(
            "Use processes instead of threads for work that computes in {} (more workers, fewer threads in each), or move it into code that releases \
             the lock.",
            if ruby { "Ruby" } else { "Python" }
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{
        LockFacts,
        testing::{facts, found, sentence},
    };

    #[test]
    fn the_interpreter_lock_has_a_name_of_its_own() {
        let mut facts = facts(&[(State::Lock, 60_000.0), (State::OnCpu, 10_000.0)]);
        facts.locks = vec![LockFacts { of: LockFor::Gil, share: 1.0, ..LockFacts::default() }];
        assert_eq!(found(&facts)[0].0, "gil_contention");
        assert!(sentence(&facts).contains("Python's"));
        facts.locks[0].name = format!("{RUBYS} (0x1234)");
        assert!(sentence(&facts).contains("Ruby's"));
        facts.locks[0].of = LockFor::Exclusion;
        assert_eq!(found(&facts)[0].0, "lock_contention");
    }
}
