//! What requests that nobody has taken up are charged to.
//!
//! Time in a queue has a cause of its own only where more workers would help. A request that waits for a worker which itself
//! waits for a lock waits for the lock, whatever the number of workers; behind a request that keeps an event loop it waits for that one; and where
//! all requests are cheap and the queue is there because there are many of them, nothing is wrong.

use super::{facts::Facts, times::Times};
use crate::{clock::State, fingerprint::ModelId};

/// Microseconds of work below which a request is cheap: a queue of such requests is load, and no fault of the server.
pub const CHEAP_US: f64 = 1_000.0;

/// Share of its CPUs (or of a loop's one) from which on the target has no more to give.
pub const SATURATED: f64 = 0.8;

/// Microseconds of a slow request's queues by what they are charged to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Queues {
    /// Behind something that keeps the event loop.
    pub blocked: f64,
    /// For want of workers.
    pub workers: f64,
    /// To what the workers wait for, by state.
    pub roots: Times,
}

/// Charges the queues of the slow requests.
pub fn charge(facts: &Facts) -> Queues {
    let queue = facts.slow.queued();
    let saturated = facts.parallelism >= SATURATED * facts.cpus;
    match facts.model {
        ModelId::AsyncMultiThread => inside_the_runtime(facts, queue, saturated),
        ModelId::EventLoopWithPool => {
            let mut queues =
                behind_loops(facts, facts.slow[State::RecvQueue] + facts.slow[State::AcceptQueue]);
            // What the threads of such a pool do is not seen request by request, but what they use is.
            let rest = queue - queues.blocked;
            if facts.worker_us().max(facts.cpu_per_request_us) < CHEAP_US {
                return queues;
            }
            if saturated {
                queues.roots[State::OnCpu] = rest;
            } else {
                queues.workers = rest;
            }
            queues
        }
        _ if facts.loops > 0 && facts.workers.is_none() => behind_loops(facts, queue),
        _ => before_workers(facts, queue, saturated),
    }
}

/// Where any thread takes up any task, a request that nobody works on waits for a CPU or for another task: for what only so many of them may
/// have at once, which the kernel does not see.
fn inside_the_runtime(facts: &Facts, queue: f64, saturated: bool) -> Queues {
    let mut queues = Queues::default();
    if facts.cpu_per_request_us >= CHEAP_US {
        let root = if saturated { State::OnCpu } else { State::Lock };
        queues.roots[root] = queue;
    }
    queues
}

/// Charges a queue to what keeps the loops; the rest, if the loop's CPU is full of work that is not cheap, is the CPU's.
fn behind_loops(facts: &Facts, queue: f64) -> Queues {
    let blocked = facts.blockers.iter().map(|blocker| blocker.slow_us).sum::<f64>().min(queue);
    let mut queues = Queues { blocked, ..Queues::default() };
    if facts.workers.is_none() && facts.all[State::OnCpu] >= CHEAP_US && facts.loop_busy >= SATURATED {
        queues.roots[State::OnCpu] = queue - blocked;
    }
    queues
}

/// Charges a queue to what workers do while they are busy.
fn before_workers(facts: &Facts, queue: f64, saturated: bool) -> Queues {
    let mut queues = Queues::default();
    let service = facts.service();
    if service.total() < CHEAP_US {
        return queues;
    }
    for (state, time) in service.iter() {
        let part = queue * time / service.total();
        match state {
            State::Lock | State::KernelLock | State::RunQueue => queues.roots[state] = part,
            State::OnCpu if saturated => queues.roots[state] = part,
            _ => queues.workers += part,
        }
    }
    queues
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{
        Blocker, Workers,
        testing::{near, times},
    };

    fn pool(service: &[(State, f64)]) -> Facts {
        let times = times(&[&[(State::RecvQueue, 10_000.0)], service].concat());
        Facts { requests: 1_000, all: times, slow: times, cpus: 2.0, parallelism: 1.0, ..Facts::default() }
    }

    #[test]
    fn a_queue_before_workers_that_wait_for_a_lock_is_the_locks() {
        let queues = charge(&pool(&[(State::Lock, 3_000.0), (State::Sleep, 1_000.0)]));
        assert!(near(queues.roots[State::Lock], 7_500.0) && near(queues.workers, 2_500.0));
    }

    /// Two workers that sleep for 40 ms: the reader's own waits for a CPU are no part of that.
    #[test]
    fn waits_for_a_cpu_before_the_read_keep_no_worker() {
        let mut facts = pool(&[(State::Sleep, 40_000.0), (State::RunQueue, 30_000.0)]);
        assert!(charge(&facts).roots[State::RunQueue] > 4_000.0);
        facts.workers = Some(Workers { count: 2, utilisation: 1.0, ..Workers::default() });
        (facts.seconds, facts.requests) = (2.0, 100);
        assert!(near(charge(&facts).workers, 10_000.0));
    }

    #[test]
    fn a_queue_of_cheap_requests_is_load() {
        assert_eq!(charge(&pool(&[(State::OnCpu, 100.0)])), Queues::default());
    }

    #[test]
    fn more_workers_help_as_long_as_there_are_cpus_for_them() {
        let mut facts = pool(&[(State::OnCpu, 5_000.0)]);
        assert!(near(charge(&facts).workers, 10_000.0));
        facts.parallelism = 1.9;
        assert!(near(charge(&facts).roots[State::OnCpu], 10_000.0));
    }

    #[test]
    fn tasks_that_wait_while_cpus_are_idle_wait_for_one_another() {
        let mut facts = pool(&[(State::OnCpu, 700.0)]);
        (facts.model, facts.cpu_per_request_us) = (ModelId::AsyncMultiThread, 2_000.0);
        assert!(near(charge(&facts).roots[State::Lock], 10_000.0));
        facts.parallelism = 2.0;
        assert!(near(charge(&facts).roots[State::OnCpu], 10_000.0));
    }

    #[test]
    fn on_a_loop_it_is_what_keeps_the_loop() {
        let mut facts = pool(&[(State::OnCpu, 100.0)]);
        facts.loops = 1;
        facts.blockers = vec![Blocker { slow_us: 8_000.0, ..Blocker::default() }];
        assert!(near(charge(&facts).blocked, 8_000.0));
    }
}
