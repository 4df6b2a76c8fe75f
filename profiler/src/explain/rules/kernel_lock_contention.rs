//! `kernel_lock_contention`: the state `kernel_lock`, which the kernel's own tracepoints tell, with the queue before workers that wait.

use super::{
    Draft, Facts, Id, Queues, State, evidence,
    words::{mostly_in, share},
};

/// Microseconds of a slow request below which it does not matter.
const LEAST_US: f64 = 300.0;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let own = facts.slow[State::KernelLock];
    let slow_us = own + queues.roots[State::KernelLock];
    if own < LEAST_US {
        return None;
    }
    let name =
        facts.kernel_locks.first().map(|(name, _)| format!(", most of all {name}")).unwrap_or_default();
    Some(Draft {
        id: Id::KernelLockContention,
        slow_us,
        all_us: facts.all[State::KernelLock],
        certainty: 0.9,
        summary: format!(
            "{} is waiting for locks of the kernel{name}{}.",
            share(facts, slow_us),
            mostly_in(facts, |times| times[State::KernelLock])
        ),
        evidence: evidence! {
            "kernel_lock_us" => own,
            "queued_behind_us" => slow_us - own,
            "locks" => facts.kernel_locks.iter().take(5).map(|(name, share)| serde_json::json!({
                "name": name,
                "share_of_kernel_lock_time": share,
            })).collect::<Vec<_>>(),
        },
        advice: "Threads of one process share these: map and unmap memory less often (an allocator that keeps it), write one file from one \
                 thread, or spread the work over processes."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::testing::{facts, found, sentence};

    #[test]
    fn a_kernel_lock_is_named() {
        let mut facts = facts(&[(State::KernelLock, 3_000.0), (State::OnCpu, 1_000.0)]);
        facts.kernel_locks = vec![("mmap_lock".to_owned(), 0.9)];
        assert_eq!(found(&facts), [("kernel_lock_contention", 0.75)]);
        assert!(sentence(&facts).contains("most of all mmap_lock"));
    }

    #[test]
    fn a_few_microseconds_of_them_are_ordinary() {
        assert!(found(&facts(&[(State::KernelLock, 100.0), (State::OnCpu, 100.0)])).is_empty());
    }
}
