//! From a run to the facts about it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    SLOWEST,
    facts::{Births, Blocker, CpuWaits, Facts, PeerFacts, Taker, Workers},
    ledger::{Holds, Kind as Born, Ledger, PeerId, overlapping},
    locks::{kernel_locks, lock_facts},
    times::Times,
    turns::in_turn,
};
use crate::{
    clock::{Hold, Request, RequestId, State},
    cpu::{CpuFacts, Kind},
    decode::Route,
    fingerprint::{Fingerprint, ModelId},
    observe::Observation,
    units::Tid,
};

/// Nanoseconds for which a loop must be kept by one thing before what waits behind is said to be blocked by it. Shorter ones are what a loop
/// is made of.
const BLOCKS: u64 = 5_000_000;

/// Gathers the facts of a run.
pub fn gather(observation: &Observation) -> Facts {
    let window = observation.pipeline.window();
    let ledger = observation.pipeline.ledger();
    let fingerprint = &observation.fingerprint;
    let book = window.all();
    let requests = book.count();
    let seconds = window.seconds();
    let slowest = ledger.sample().slowest(SLOWEST);
    let trace = ledger.trace().in_order();
    let total = window.threads().total();
    let each = |sum: u64| if requests == 0 { 0.0 } else { sum as f64 / requests as f64 };
    let over_time = |nanos: u64| if seconds > 0.0 { nanos as f64 / 1e9 / seconds } else { 0.0 };
    Facts {
        requests,
        seconds,
        touched_by_loss: window.touched_by_loss(),
        all: Times::from_list(&book.mean_times_us()),
        slow: Times::from_list(&book.slowest_times_us(SLOWEST)),
        p99_us: book.quantile_us(0.99),
        cpus: cpus(&observation.cpu),
        parallelism: over_time(total.on_cpu),
        runnable: over_time(total.run_queue),
        kernel_locked: over_time(observation.pipeline.locks().kernel().blocked_ns()),
        involuntary: each(total.involuntary),
        cpu_per_request_us: each(total.on_cpu) / 1e3,
        in_service: over_time(ledger.service_ns()),
        model: fingerprint.id,
        workers: workers(fingerprint),
        loops: fingerprint.loops.len(),
        loop_busy: fingerprint.loops.iter().map(|one| one.busy).fold(0.0, f64::max),
        blockers: blockers(&slowest, ledger.holds(), &loops(fingerprint)),
        keeps_us: keeps_us(&slowest, &keeps_loop(ledger.holds(), &loops(fingerprint))),
        victims: victims(ledger, &loops(fingerprint)),
        peers: peers(ledger, &slowest, requests),
        locks: lock_facts(observation.pipeline.locks()),
        kernel_locks: kernel_locks(observation),
        cpu_waits: cpu_waits(&observation.cpu),
        threads: births(&ledger.births().threads, requests),
        processes: births(&ledger.births().processes, requests),
        concurrency: window.concurrency().0,
        most_in_flight: window.concurrency().1,
        in_turn: in_turn(&trace),
        trace,
        keeps_loop: keeps_loop(ledger.holds(), &loops(fingerprint)),
        routes: routes(&slowest),
    }
}

/// CPUs that the target may use: those that it is allowed on, or what its quota comes to.
fn cpus(cpu: &CpuFacts) -> f64 {
    let allowed = cpu.cpus as f64;
    cpu.throttling.quota.map_or(allowed, |quota| quota.min(allowed))
}

/// Of the processes that had the CPU only those are named that have nothing to do with the target's requests.
fn cpu_waits(cpu: &CpuFacts) -> CpuWaits {
    let strangers = cpu.takers.iter().filter(|taker| matches!(taker.kind, Kind::Other | Kind::Kernel));
    CpuWaits {
        own: cpu.own,
        others: cpu.others,
        clients: cpu.clients,
        throttled: cpu.throttled,
        takers: strangers
            .map(|taker| Taker { name: taker.name.clone(), pid: taker.pid.0, share: taker.share })
            .collect(),
        quota: cpu.throttling.quota,
        throttled_periods: cpu.throttling.periods,
    }
}

fn births(born: &Born, requests: u64) -> Births {
    let mean = |sum: u64, count: u64| if count == 0 { 0.0 } else { sum as f64 / count as f64 / 1e3 };
    Births {
        per_request: if requests == 0 { 0.0 } else { born.count as f64 / requests as f64 },
        to_first_run_us: mean(born.to_first_run, born.count),
        lived_us: mean(born.lived, born.ended),
    }
}

fn workers(fingerprint: &Fingerprint) -> Option<Workers> {
    fingerprint.pool.as_ref().map(|pool| Workers {
        count: pool.workers,
        processes: matches!(fingerprint.id, ModelId::Prefork),
        utilisation: pool.utilisation,
        all_busy: pool.all_busy,
        queue: pool.mean_queue,
    })
}

fn loops(fingerprint: &Fingerprint) -> FxHashSet<Tid> {
    fingerprint.loops.iter().map(|one| one.tid).collect()
}

/// Mean times by route over all slow requests.
fn routes(slowest: &[&Request]) -> Vec<(Route, Times)> {
    let mut by_route: FxHashMap<&Route, Times> = FxHashMap::default();
    for request in slowest {
        if let Some(route) = &request.route {
            by_route.entry(route).or_default().add(&request.times);
        }
    }
    let each = slowest.len().max(1) as f64;
    let mut routes: Vec<(Route, Times)> =
        by_route.into_iter().map(|(route, times)| (route.clone(), times.scaled(1.0 / each))).collect();
    routes.sort_by(|a, b| b.1.total().total_cmp(&a.1.total()).then_with(|| a.0.cmp(&b.0)));
    routes
}

/// Services, with the time that requests waited for each.
fn peers(ledger: &Ledger, slowest: &[&Request], requests: u64) -> Vec<PeerFacts> {
    let mut slow: FxHashMap<PeerId, f64> = FxHashMap::default();
    for request in slowest {
        // Calls may overlap; what the request spent in `downstream` is shared out by how long each took.
        let called: u64 = request.called.iter().map(|(_, nanos)| nanos).sum();
        let downstream = request.times[State::Downstream];
        for (conn, nanos) in &request.called {
            if let Some(peer) = ledger.peers().of(*conn) {
                let part = *nanos as f64 / called.max(1) as f64 * downstream as f64;
                *slow.entry(peer).or_default() += part / 1e3 / slowest.len() as f64;
            }
        }
    }
    let mut peers: Vec<PeerFacts> = ledger
        .peers()
        .iter()
        .filter(|(_, peer)| peer.waited > 0)
        .map(|(id, peer)| PeerFacts {
            address: peer.address.clone(),
            slow_us: slow.get(&id).copied().unwrap_or_default(),
            all_us: peer.waited as f64 / 1e3 / requests.max(1) as f64,
            requests: peer.requests,
            worst_us: peer.worst as f64 / 1e3,
        })
        .collect();
    peers.sort_by(|a, b| b.slow_us.total_cmp(&a.slow_us).then_with(|| a.address.cmp(&b.address)));
    peers
}

/// What kept each loop for long.
fn on_loops(holds: &Holds, loops: &FxHashSet<Tid>) -> FxHashMap<Tid, Vec<Hold>> {
    let mut by_thread = holds.by_thread();
    by_thread.retain(|tid, _| loops.contains(tid));
    for holds in by_thread.values_mut() {
        holds.retain(|hold| hold.length() >= BLOCKS);
    }
    by_thread
}

/// Requests that kept a loop for long.
fn keeps_loop(holds: &Holds, loops: &FxHashSet<Tid>) -> FxHashSet<RequestId> {
    on_loops(holds, loops).values().flatten().filter_map(|hold| hold.request).collect()
}

/// Microseconds that slow requests keep a loop, in the mean.
fn keeps_us(slowest: &[&Request], keep: &FxHashSet<RequestId>) -> f64 {
    let mut times = Times::default();
    for request in slowest.iter().filter(|request| keep.contains(&request.id)) {
        times.add(&request.times);
    }
    (times.service() - times[State::RunQueue]) / slowest.len().max(1) as f64
}

/// Share of their time that requests which keep no loop wait behind those that do.
fn victims(ledger: &Ledger, loops: &FxHashSet<Tid>) -> f64 {
    let (keep, sample) = (keeps_loop(ledger.holds(), loops), ledger.sample().requests());
    let others: Vec<&Request> = sample.iter().filter(|request| !keep.contains(&request.id)).collect();
    let waited: f64 = blockers(&others, ledger.holds(), loops).iter().map(|blocker| blocker.slow_us).sum();
    let latency: u64 = others.iter().map(|request| request.latency()).sum();
    if latency == 0 { 0.0 } else { waited * 1e3 * others.len() as f64 / latency as f64 }
}

/// What slow requests waited behind on their loop.
fn blockers(slowest: &[&Request], holds: &Holds, loops: &FxHashSet<Tid>) -> Vec<Blocker> {
    let by_thread = on_loops(holds, loops);
    let mut behind: FxHashMap<Option<Route>, Blocker> = FxHashMap::default();
    let nobody = Route::from("");
    let key = |hold: &Hold| match hold.request {
        None => Some(nobody.clone()),
        Some(request) => holds.held(request).and_then(|held| held.route.clone()),
    };
    for request in slowest {
        let Some(kept) = request.threads.first().and_then(|tid| by_thread.get(tid)) else { continue };
        let queued: u64 = [State::AcceptQueue, State::RecvQueue, State::AppQueue]
            .into_iter()
            .map(|state| request.times[state])
            .sum();
        let overlaps: Vec<(&Hold, u64)> = overlapping(kept, request.start, request.end)
            .filter(|hold| hold.request != Some(request.id))
            .map(|hold| (hold, hold.to.min(request.end).since(hold.from.max(request.start))))
            .collect();
        let all: u64 = overlaps.iter().map(|(_, nanos)| nanos).sum();
        if all == 0 {
            continue;
        }
        // A part of the overlap is told as a wait for a CPU: what kept the loop may itself have had none.
        let scale = (queued as f64 / all as f64).min(1.0) / 1e3 / slowest.len() as f64;
        for (hold, nanos) in overlaps {
            behind.entry(key(hold)).or_default().slow_us += nanos as f64 * scale;
        }
    }
    for hold in by_thread.values().flatten() {
        let Some(blocker) = behind.get_mut(&key(hold)) else { continue };
        let length = hold.length() as f64 / 1e3;
        blocker.holds += 1;
        blocker.mean_us += length;
        blocker.worst_us = blocker.worst_us.max(length);
        if let Some(held) = hold.request.and_then(|request| holds.held(request)) {
            blocker.times.add(&held.times);
            blocker.received += held.received as f64;
        }
    }
    let mut blockers: Vec<Blocker> = behind
        .into_iter()
        .map(|(route, sum)| {
            let each = 1.0 / sum.holds.max(1) as f64;
            let nobodys = route.as_ref() == Some(&nobody);
            Blocker {
                route: route.filter(|_| !nobodys),
                nobodys,
                received: sum.received * each,
                mean_us: sum.mean_us * each,
                times: sum.times.scaled(each),
                ..sum
            }
        })
        .collect();
    blockers.sort_by(|a, b| b.slow_us.total_cmp(&a.slow_us));
    blockers
}
