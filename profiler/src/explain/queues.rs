//! What requests that nobody has taken up are charged to.
//!
//! Time in a queue has a cause of its own only where more workers would help. A request that waits for a worker which itself
//! waits for a lock waits for the lock, whatever the number of workers; behind a request that keeps an event loop it waits for that one; and where
//! all requests are cheap and the queue is there because there are many of them, nothing is wrong.

use super::{
    facts::{Facts, Workers},
    times::Times,
};
use crate::{clock::State, fingerprint::ModelId};

/// Microseconds of work below which a request is cheap: a queue of such requests is load, and no fault of the server.
pub const CHEAP_US: f64 = 1_000.0;

/// Threads that want a CPU, for each request that waits in a queue, below which a server is idle: no load has made the queue, however cheap the
/// requests are, nor have those who take the CPUs.
const IDLE: f64 = 0.2;

/// Share of its CPUs (or of a loop's one) from which on the target has no more to give.
pub const SATURATED: f64 = 0.8;

/// Share of the time in which all workers are busy, below which there are enough of them; and of the requests before them, for which so many are busy.
const ENOUGH: f64 = 0.5;

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
    let saturated = fills_cpus(facts, facts.wants_cpus());
    match facts.model {
        ModelId::AsyncMultiThread => inside_the_runtime(facts, queue),
        ModelId::EventLoopWithPool => {
            let mut queues =
                behind_loops(facts, facts.slow[State::RecvQueue] + facts.slow[State::AcceptQueue]);
            // What the threads of such a pool do is not seen request by request, but what they use is.
            let rest = queue - queues.blocked;
            if facts.worker_us().max(facts.cpu_per_request_us) < CHEAP_US && !idle(facts) {
                return queues;
            }
            if saturated {
                queues.roots[State::OnCpu] = rest;
            } else if facts.workers.is_some_and(is_enough) {
                in_the_pool(facts, rest, &mut queues);
            } else {
                queues.workers = rest;
            }
            queues
        }
        _ if facts.loops > 0 && facts.workers.is_none() => behind_loops(facts, queue),
        _ => before_workers(facts, queue, saturated),
    }
}

/// The target fills its CPUs, or would if the others of its busy threads had one: those that other processes keep from a CPU, and those that the
/// kernel keeps, have none to give, either. Such threads are counted for whole CPUs only, as a few are always on their way to one.
fn fills_cpus(facts: &Facts, busy_threads: f64) -> bool {
    facts.parallelism >= SATURATED * facts.cpus || busy_threads >= facts.cpus
}

/// Requests queue for long, and hardly a thread wants a CPU meanwhile.
fn idle(facts: &Facts) -> bool {
    let queued_us = facts.all.queued();
    let waiting = queued_us / 1e6 * facts.requests as f64 / facts.seconds.max(f64::MIN_POSITIVE);
    queued_us >= CHEAP_US && facts.wants_cpus() < IDLE * waiting
}

/// Where any thread takes up any task, a request that nobody works on waits for a thread while these have all hands full, in the kernel or on
/// the way to a CPU as well; else for another task: for what only so many of them may have at once, which the kernel does not see.
fn inside_the_runtime(facts: &Facts, queue: f64) -> Queues {
    let mut queues = Queues::default();
    let busy = [
        (State::OnCpu, facts.parallelism),
        (State::RunQueue, facts.runnable),
        (State::KernelLock, facts.kernel_locked),
    ];
    let threads: f64 = busy.iter().map(|(_, threads)| threads).sum();
    let work = facts.cpu_per_request_us >= CHEAP_US;
    if !fills_cpus(facts, threads) {
        if work || idle(facts) {
            queues.roots[State::Lock] = queue;
        }
    } else if work {
        for (state, part) in busy {
            queues.roots[state] = queue * part / threads;
        }
    }
    queues
}

/// A thread of the pool is idle most of the time, and the others are busy for as long as requests seem to wait for them. Where they are not, it is for
/// other threads that these wait.
fn is_enough(pool: Workers) -> bool {
    pool.all_busy < ENOUGH && pool.count as f64 * pool.utilisation >= ENOUGH * pool.queue
}

/// While a thread of the pool is idle nobody waits for one: a request that seems to is worked on by a thread that found it without having
/// slept, which nobody sees. What that does is what the others are seen to do.
fn in_the_pool(facts: &Facts, rest: f64, queues: &mut Queues) {
    let mut seen = facts.service();
    seen[State::RunQueue] = 0.0;
    let total = seen.total();
    if total <= 0.0 {
        return;
    }
    for (state, time) in seen.iter() {
        queues.roots[state] = rest * time / total;
    }
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
    if idle(facts) && service.total() - service[State::RunQueue] < CHEAP_US {
        queues.workers = queue;
        return queues;
    }
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
        Blocker,
        testing::{near, times},
    };

    fn pool(service: &[(State, f64)]) -> Facts {
        let times = times(&[&[(State::RecvQueue, 10_000.0)], service].concat());
        Facts {
            requests: 1_000,
            seconds: 2.0,
            all: times,
            slow: times,
            cpus: 2.0,
            parallelism: 1.0,
            ..Facts::default()
        }
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

    /// What threads want of CPUs that other processes have, and what they wait for in the kernel, keeps them from tasks as well.
    #[test]
    fn tasks_wait_for_threads_that_have_their_hands_full() {
        let mut facts = pool(&[(State::OnCpu, 700.0)]);
        (facts.model, facts.cpu_per_request_us) = (ModelId::AsyncMultiThread, 2_000.0);
        (facts.parallelism, facts.runnable, facts.kernel_locked) = (0.5, 0.5, 1.5);
        let roots = charge(&facts).roots;
        assert!(near(roots[State::KernelLock], 6_000.0) && near(roots[State::RunQueue], 2_000.0));
        assert!(near(roots[State::Lock], 0.0));
    }

    /// A lock that is held over the writing of a file: hardly any computing, and a long queue.
    #[test]
    fn cheap_tasks_that_wait_while_cpus_are_idle_wait_for_one_another_too() {
        let mut facts = pool(&[(State::OnCpu, 70.0)]);
        (facts.model, facts.parallelism) = (ModelId::AsyncMultiThread, 0.2);
        assert!(near(charge(&facts).roots[State::Lock], 10_000.0));
        facts.runnable = 1.0;
        assert_eq!(charge(&facts), Queues::default(), "others have the CPUs");
        (facts.parallelism, facts.runnable) = (1.9, 0.0);
        assert_eq!(charge(&facts), Queues::default(), "load");
    }

    /// The thread that accepts sleeps between two connections.
    #[test]
    fn a_queue_before_an_idle_server_is_no_load() {
        let mut facts = pool(&[(State::OnCpu, 100.0)]);
        facts.parallelism = 0.02;
        assert!(near(charge(&facts).workers, 10_000.0));
    }

    #[test]
    fn nobody_waits_for_a_pool_with_idle_threads() {
        let mut facts = pool(&[(State::Disk, 3_000.0), (State::OnCpu, 1_000.0)]);
        (facts.model, facts.cpu_per_request_us) = (ModelId::EventLoopWithPool, 1_000.0);
        facts.workers =
            Some(Workers { count: 4, utilisation: 0.4, all_busy: 0.1, queue: 2.0, ..Workers::default() });
        (facts.seconds, facts.requests) = (2.0, 1_000);
        assert!(near(charge(&facts).roots[State::Disk], 7_500.0));
        facts.workers = Some(Workers { count: 4, utilisation: 1.0, all_busy: 0.95, ..Workers::default() });
        assert!(near(charge(&facts).workers, 10_000.0));
    }

    /// A pool of one thread that never rests is not seen to be one, nor what it does.
    #[test]
    fn requests_that_wait_for_long_while_hardly_a_thread_wants_a_cpu_wait_for_the_pool() {
        let mut facts = pool(&[(State::OnCpu, 100.0)]);
        (facts.model, facts.parallelism) = (ModelId::EventLoopWithPool, 0.02);
        assert!(near(charge(&facts).workers, 10_000.0));
        facts.parallelism = 1.5;
        assert_eq!(charge(&facts), Queues::default(), "load");
    }

    #[test]
    fn on_a_loop_it_is_what_keeps_the_loop() {
        let mut facts = pool(&[(State::OnCpu, 100.0)]);
        facts.loops = 1;
        facts.blockers = vec![Blocker { slow_us: 8_000.0, ..Blocker::default() }];
        assert!(near(charge(&facts).blocked, 8_000.0));
    }
}
