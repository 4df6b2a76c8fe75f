//! `lock_contention`: the state `lock`, without the waits that are no contention (for something to do, for the end of a thread) and without
//! those that have a name of their own (the interpreter lock of `CPython`).
//!
//! Workers that wait for a lock make requests queue for workers; more workers would make the lock no faster, so the queue is the lock's too.

use super::{
    Draft, Facts, Id, Queues, State, evidence,
    words::{mostly_in, share},
};
use crate::{
    explain::facts::{LockFacts, LockFor},
    fingerprint::ModelId,
    units::{fmt_count, fmt_us},
};

/// Microseconds of a slow request below which waiting for locks is what any server with threads does.
const LEAST_US: f64 = 500.0;
/// Share of such waits that are for a futex below which it is the runtime that waits there, with nothing to do, and no lock of the program.
const INSIDE: f64 = 0.5;
/// Microseconds of a slow request below which a runtime may simply have been slow to take a task up.
const LEAST_INSIDE_US: f64 = 2_000.0;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let part = facts.lock_share(LockFor::Exclusion) + facts.lock_share(LockFor::File);
    let own = facts.slow[State::Lock] * part;
    let in_turn = facts.slow[State::Sleep] * facts.in_turn;
    // What tasks of a runtime wait for is no futex, whatever its threads wait for on theirs.
    let tasks = facts.model == ModelId::AsyncMultiThread;
    let behind = queues.roots[State::Lock] * if tasks { 1.0 } else { part };
    let slow_us = own + behind + in_turn;
    let inside = tasks || in_turn > 0.0;
    if inside && own < INSIDE * slow_us.max(LEAST_US) {
        return inside_the_runtime(facts, slow_us, in_turn);
    }
    if own < LEAST_US {
        return None;
    }
    let locks = || facts.locks.iter().filter(|lock| matches!(lock.of, LockFor::Exclusion | LockFor::File));
    let worst = locks().next();
    let what = worst.map_or_else(|| "locks".to_owned(), |lock| of_all(facts, lock));
    let held = worst.filter(|lock| !lock.holder.is_empty());
    let held =
        held.map_or_else(String::new, |lock| format!("; while they wait, its holder is {}", lock.holder));
    Some(Draft {
        id: Id::LockContention,
        slow_us,
        all_us: facts.all[State::Lock] * part,
        certainty: if worst.is_some() { 0.95 } else { 0.7 },
        summary: format!(
            "{} is waiting for {what}{}{held}.",
            share(facts, slow_us),
            mostly_in(facts, |times| times[State::Lock])
        ),
        evidence: evidence! {
            "lock_us" => own,
            "queued_behind_us" => slow_us - own,
            "locks" => locks().take(5).map(|lock| serde_json::json!({
                "name": lock.name,
                "share_of_lock_time": lock.share,
                "waits": lock.waits,
                "mean_us": lock.mean_us,
                "worst_us": lock.worst_us,
                "waiters": lock.waiters,
                "holder": lock.holder,
            })).collect::<Vec<_>>(),
        },
        advice: "Do less while it is held (no I/O, no computing that could be done before or after), split it by key, or use one that readers \
                 share. More threads make it worse."
            .to_owned(),
    })
}

/// Tasks wait for one another in a way that the kernel does not see.
fn inside_the_runtime(facts: &Facts, slow_us: f64, in_turn: f64) -> Option<Draft> {
    let held = if in_turn > 0.0 {
        "; who has it sleeps, and the next one begins when its sleep has ended"
    } else {
        ""
    };
    (slow_us >= LEAST_INSIDE_US).then(|| Draft {
        id: Id::LockContention,
        slow_us,
        all_us: facts.all.queued() + facts.all[State::Lock] + facts.all[State::Sleep] * facts.in_turn,
        certainty: if in_turn > 0.0 { 0.8 } else { 0.6 },
        summary: format!(
            "{} is waiting inside the process while CPUs are idle ({:.1} of {:.0} are busy): for a lock, or another thing that only so many of its \
             tasks may have at once{held}.",
            share(facts, slow_us),
            facts.parallelism,
            facts.cpus,
        ),
        evidence: evidence! {
            "lock_us" => facts.slow[State::Lock],
            "waiting_inside_us" => slow_us,
            "asleep_in_turn_us" => in_turn,
            "cpus_busy" => facts.parallelism,
            "cpus" => facts.cpus,
            "cpu_us_per_request" => facts.cpu_per_request_us,
        },
        advice: "The runtime's own profile says which lock it is (in Go: the mutex and block profiles of pprof; in Rust: tokio-console). Do less \
                 while it is held, or split it by key."
            .to_owned(),
    })
}

/// `one lock (0x55d0…): 4,321 waits by 12 threads, 9.10 ms in the mean`
fn of_all(facts: &Facts, lock: &LockFacts) -> String {
    let which = if lock.share >= 0.8 * facts.lock_share(LockFor::Exclusion) {
        "one lock"
    } else {
        "locks, most for one"
    };
    format!(
        "{which} ({}, {} waits by {} threads, {} in the mean and {} at most)",
        lock.name,
        fmt_count(lock.waits),
        lock.waiters,
        fmt_us(lock.mean_us),
        fmt_us(lock.worst_us)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found, sentence};

    fn waits(of: LockFor) -> Facts {
        let mut facts = facts(&[(State::Lock, 9_000.0), (State::OnCpu, 1_000.0)]);
        facts.locks = vec![LockFacts {
            of,
            name: "orders.lock".to_owned(),
            share: 1.0,
            waits: 4_000,
            mean_us: 9_000.0,
            worst_us: 20_000.0,
            waiters: 12,
            holder: "on a CPU for 98 % of the time".to_owned(),
        }];
        facts
    }

    #[test]
    fn a_lock_is_named_with_what_its_holder_does() {
        let facts = waits(LockFor::Exclusion);
        assert_eq!(found(&facts)[0], ("lock_contention", 0.9));
        let sentence = sentence(&facts);
        assert!(sentence.contains("one lock (orders.lock, 4,000 waits by 12 threads"), "{sentence}");
        assert!(sentence.ends_with("its holder is on a CPU for 98 % of the time."), "{sentence}");
    }

    #[test]
    fn waits_for_work_or_for_a_threads_end_are_no_contention() {
        assert!(found(&waits(LockFor::Work)).is_empty());
        assert!(found(&waits(LockFor::Join)).is_empty());
    }

    #[test]
    fn requests_that_queue_for_workers_which_wait_for_the_lock_wait_for_the_lock() {
        let of = [(State::RecvQueue, 30_000.0), (State::Lock, 9_000.0), (State::OnCpu, 1_000.0)];
        let found = found(&facts(&of));
        assert_eq!(found[0], ("lock_contention", 0.9), "{found:?}");
    }

    #[test]
    fn short_waits_are_ordinary() {
        assert!(found(&facts(&[(State::Lock, 300.0), (State::OnCpu, 100.0)])).is_empty());
    }
}
