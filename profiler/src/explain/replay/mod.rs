//! What would help: the measured requests once more, without a cause.
//!
//! Each request keeps what it did, but for the cause; the queues are not taken from the measurement but simulated, as a cause makes most
//! of its harm by what queues behind it. Clients send their next request as long after the answer as they did, so that a load of
//! so many clients stays one.

mod simulate;

use rustc_hash::FxHashMap;
use serde::Serialize;

use self::simulate::{Client, Job, Server, simulate};
use super::{
    facts::{Facts, LockFor},
    finding::Id,
    ledger::Traced,
};
use crate::clock::State;

/// Requests below which a replay says nothing.
const LEAST: usize = 20;
/// In-flight requests are about always as many when their mean is this much of their most: clients that wait for the answer.
const STEADY: f64 = 0.85;
/// Nanoseconds after an answer within which a client on a new connection counts as the one that had it.
const AGAIN: u64 = 5_000_000;

/// Latency as it would be without a cause, in microseconds, beside what it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// Mean as it would be.
    pub mean_us: f64,
    /// Median as it would be.
    pub p50_us: f64,
    /// 99th percentile as it would be.
    pub p99_us: f64,
    /// Mean as it was.
    pub mean_now_us: f64,
    /// 99th percentile as it was.
    pub p99_now_us: f64,
}

/// The gain if a cause were not; `None` where there are too few requests to tell.
pub fn without(facts: &Facts, cause: Id) -> Option<Gain> {
    if facts.trace.len() < LEAST {
        return None;
    }
    let clients = clients(facts, |traced| job(facts, traced, cause));
    let mut latencies = simulate(server(facts, cause), &clients);
    latencies.sort_unstable();
    let mut before: Vec<u64> = facts.trace.iter().map(|traced| traced.end.since(traced.start)).collect();
    before.sort_unstable();
    Some(Gain {
        mean_us: mean(&latencies),
        p50_us: quantile(&latencies, 50),
        p99_us: quantile(&latencies, 99),
        mean_now_us: mean(&before),
        p99_now_us: quantile(&before, 99),
    })
}

/// Mean in microseconds.
fn mean(nanos: &[u64]) -> f64 {
    nanos.iter().sum::<u64>() as f64 / 1e3 / nanos.len().max(1) as f64
}

/// Percentile in microseconds.
fn quantile(sorted: &[u64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).map_or(0.0, |nanos| *nanos as f64 / 1e3)
}

/// What serves the requests once the cause is gone.
fn server(facts: &Facts, cause: Id) -> Server {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of CPUs")]
    let cpus = facts.cpus.round().max(1.0) as usize;
    let workers = match (cause, facts.workers) {
        (Id::WorkersExhausted, _) => None,
        (Id::TooManyThreads, _) => Some(cpus),
        (_, Some(workers)) => Some(workers.count),
        (_, None) => (facts.loops > 0).then_some(facts.loops),
    };
    Server { cpus, workers }
}

/// What a request does once the cause is gone. Queues, and the waits for CPUs that the server itself has taken, are left to the simulation.
fn job(facts: &Facts, traced: &Traced, cause: Id) -> Job {
    let times = &traced.times;
    let part = |state: State, share: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a time")]
        let part = (times[state] as f64 * share.clamp(0.0, 1.0)) as u64;
        part
    };
    let gone = |state: State| match (cause, state) {
        (Id::LockContention, State::Lock) => {
            facts.lock_share(LockFor::Exclusion) + facts.lock_share(LockFor::File)
        }
        // What queues there is simulated without it.
        (Id::LockContention, State::Sleep) => facts.in_turn,
        (Id::GilContention, State::Lock) => facts.lock_share(LockFor::Gil),
        (Id::ThreadChurn, State::Lock) => facts.lock_share(LockFor::Join),
        (Id::CpuBound, State::OnCpu) => 0.5,
        (Id::KernelLockContention, State::KernelLock)
        | (Id::DownstreamSlow | Id::ProcessChurn, State::Downstream)
        | (Id::DiskSlow, State::Disk)
        | (Id::PageFaults, State::PageFault)
        | (Id::Sleeping, State::Sleep)
        | (Id::SlowClient, State::Send)
        | (Id::ProcessChurn | Id::ThreadChurn, State::Child) => 1.0,
        _ => 0.0,
    };
    let stays = |state: State| times[state] - part(state, gone(state)).min(times[state]);
    let others = match cause {
        Id::CpuStarved => facts.cpu_waits.throttled,
        Id::CpuThrottled => facts.cpu_waits.others,
        _ => facts.cpu_waits.others + facts.cpu_waits.throttled,
    };
    let starved = part(State::RunQueue, others * in_service(facts));
    let on_loop = facts.loops > 0 && facts.workers.is_none();
    let blocks = [State::Lock, State::KernelLock, State::Disk, State::PageFault, State::Other];
    let waits = [State::Sleep, State::Downstream, State::Child, State::Send];
    let sum = |states: &[State]| states.iter().map(|state| stays(*state)).sum::<u64>();
    let off_loop = cause == Id::EventLoopBlocked && facts.keeps_loop.contains(&traced.id);
    if off_loop {
        return Job { free: stays(State::OnCpu) + sum(&blocks) + sum(&waits) + starved, ..Job::default() };
    }
    // While a loop waits for a CPU all requests that it has in hand do, at the same time.
    let (held, free) = if on_loop { (0, sum(&waits) + starved) } else { (sum(&waits) + starved, 0) };
    Job { cpu: stays(State::OnCpu), held: sum(&blocks) + held, free }
}

/// Share of the requests' waits for a CPU that they have in a worker's hands. While a request is in a queue, its reader's waits for a CPU count as
/// its own, again and again, and in the replay it is not in that queue.
fn in_service(facts: &Facts) -> f64 {
    let all = facts.all[State::RunQueue];
    if all > 0.0 { facts.service()[State::RunQueue] / all } else { 1.0 }
}

/// The clients: who sent which request after which.
fn clients(facts: &Facts, job: impl Fn(&Traced) -> Job) -> Vec<Client> {
    let steady = facts.concurrency >= STEADY * facts.most_in_flight as f64;
    let Some(begin) = facts.trace.first().map(|first| first.start) else { return Vec::new() };
    let mut clients: Vec<Client> = Vec::new();
    let mut last: Vec<crate::units::Ns> = Vec::new();
    let mut by_conn: FxHashMap<crate::decode::ConnId, usize> = FxHashMap::default();
    for traced in &facts.trace {
        let mut client = by_conn.get(&traced.conn).copied();
        if client.is_none() && steady {
            // The one that was answered last before, and has sent nothing since.
            client = (0..clients.len())
                .filter(|client| last[*client] <= traced.start && traced.start.since(last[*client]) <= AGAIN)
                .max_by_key(|client| last[*client]);
        }
        if let Some(client) = client {
            clients[client].push((traced.start.since(last[client]), job(traced)));
            last[client] = traced.end;
            by_conn.insert(traced.conn, client);
        } else {
            by_conn.insert(traced.conn, clients.len());
            clients.push(vec![(traced.start.since(begin), job(traced))]);
            last.push(traced.end);
        }
    }
    clients
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{RequestId, StateTimes},
        decode::ConnId,
        explain::Workers,
        units::Ns,
    };

    /// So many clients, each on one connection, whose requests were made of these.
    fn facts(clients: u64, of: &[(State, u64)]) -> Facts {
        let mut times = StateTimes::default();
        for (state, us) in of {
            times[*state] = us * 1_000;
        }
        let latency = times.total();
        let trace = (0..50 * clients)
            .map(|id| {
                let start = Ns(id / clients * latency);
                Traced {
                    id: RequestId(id),
                    conn: ConnId(id % clients),
                    start,
                    end: start.plus(latency),
                    times,
                }
            })
            .collect();
        Facts { trace, cpus: 2.0, concurrency: clients as f64, most_in_flight: 12, ..Facts::default() }
    }

    #[test]
    fn without_the_lock_requests_share_the_cpus() {
        let facts = facts(12, &[(State::Lock, 11_000), (State::OnCpu, 1_000)]);
        let gain = without(&facts, Id::LockContention).unwrap();
        assert!(
            (gain.p50_us - 6_000.0).abs() < 600.0 && (gain.p99_now_us - 12_000.0).abs() < 1.0,
            "{gain:?}"
        );
    }

    #[test]
    fn with_enough_workers_nobody_queues() {
        let mut facts = facts(8, &[(State::RecvQueue, 120_000), (State::Sleep, 40_000)]);
        facts.workers = Some(Workers { count: 2, ..Workers::default() });
        let gain = without(&facts, Id::WorkersExhausted).unwrap();
        assert!((gain.p99_us - 40_000.0).abs() < 100.0, "{gain:?}");
        let asleep = without(&facts, Id::Sleeping).unwrap();
        assert!(asleep.p99_us < 1.0, "{asleep:?}");
    }

    /// What the readers of a long queue waited for a CPU is no part of what a request would take without the queue.
    #[test]
    fn waits_for_a_cpu_in_a_queue_end_with_it() {
        let mut facts =
            facts(8, &[(State::RecvQueue, 100_000), (State::RunQueue, 20_000), (State::Sleep, 40_000)]);
        let of = [(State::RecvQueue, 100_000.0), (State::RunQueue, 20_000.0), (State::Sleep, 40_000.0)];
        (facts.all, facts.requests, facts.seconds) = (crate::explain::testing::times(&of), 100, 2.0);
        facts.cpu_waits.others = 1.0;
        let said = without(&facts, Id::WorkersExhausted).unwrap();
        assert!((said.p99_us - 60_000.0).abs() < 100.0, "{said:?}");
        facts.workers = Some(Workers { count: 2, utilisation: 1.0, ..Workers::default() });
        let said = without(&facts, Id::WorkersExhausted).unwrap();
        assert!((said.p99_us - 40_000.0).abs() < 100.0, "{said:?}");
    }

    /// Eight requests that a loop has in hand while others have its CPU wait for the same, not for one another.
    #[test]
    fn waits_of_a_loop_for_a_cpu_are_everybodys_at_once() {
        let mut facts = facts(8, &[(State::RunQueue, 10_000), (State::Sleep, 5_000)]);
        facts.all = crate::explain::testing::times(&[(State::RunQueue, 10_000.0), (State::Sleep, 5_000.0)]);
        (facts.loops, facts.requests, facts.seconds) = (1, 400, 1.0);
        facts.cpu_waits.others = 1.0;
        let said = without(&facts, Id::EventLoopBlocked).unwrap();
        assert!((said.p99_us - 15_000.0).abs() < 100.0, "{said:?}");
    }

    #[test]
    fn a_handful_of_requests_says_nothing() {
        assert!(without(&Facts::default(), Id::Sleeping).is_none());
    }
}
