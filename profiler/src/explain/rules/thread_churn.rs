//! `thread_churn`: threads are created for a request, and the request pays for it.
//!
//! The price of a thread is the time from its creation to its first run, which the kernel tells, and what creating and ending it
//! takes on a CPU. The work that it does is none of it: the request would wait for that as well if it did it itself.

use super::{Draft, Facts, Id, Queues, State, evidence, words::share};
use crate::{explain::facts::LockFor, units::fmt_us};

/// Threads for each request from which on they are created for requests.
const LEAST: f64 = 0.5;
/// Microseconds of a slow request below which it does not matter.
const LEAST_US: f64 = 200.0;

pub(super) fn rule(facts: &Facts, _: &Queues) -> Option<Draft> {
    let threads = &facts.threads;
    if threads.per_request < LEAST {
        return None;
    }
    let price = threads.per_request * threads.to_first_run_us;
    let joins = facts.slow[State::Lock] * facts.lock_share(LockFor::Join) + facts.slow[State::Child];
    let all_joins = facts.all[State::Lock] * facts.lock_share(LockFor::Join) + facts.all[State::Child];
    let slow_us = joins.max(price);
    if slow_us < LEAST_US {
        return None;
    }
    Some(Draft {
        id: Id::ThreadChurn,
        slow_us,
        all_us: all_joins.max(price),
        certainty: 0.8,
        summary: format!(
            "{} goes into threads that are created for them: {:.1} for each request, each {} until it runs and {} until it has ended.",
            share(facts, slow_us),
            threads.per_request,
            fmt_us(threads.to_first_run_us),
            fmt_us(threads.lived_us)
        ),
        evidence: evidence! {
            "threads_per_request" => threads.per_request,
            "to_first_run_us" => threads.to_first_run_us,
            "lived_us" => threads.lived_us,
            "joins_us" => joins,
        },
        advice: "Keep the threads: a pool that is as large as there are CPUs, or do the work in the thread that has the request."
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
    fn threads_that_are_joined_one_after_the_other_are_churn_and_a_pool_is_not() {
        let mut facts = facts(&[(State::Lock, 700.0), (State::OnCpu, 300.0)]);
        facts.locks = vec![LockFacts { of: LockFor::Join, share: 1.0, ..LockFacts::default() }];
        facts.threads.per_request = 16.0;
        facts.threads.to_first_run_us = 20.0;
        assert_eq!(found(&facts), [("thread_churn", 0.7)]);
        facts.threads.per_request = 0.01;
        assert!(found(&facts).is_empty());
    }
}
