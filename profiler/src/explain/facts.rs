//! What rules are told: figures of one run, without any reference to where they come from.

use rustc_hash::FxHashSet;

use super::{ledger::Traced, times::Times};
use crate::{
    clock::{RequestId, State},
    decode::Route,
    fingerprint::ModelId,
};

/// The workers that requests queue for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Workers {
    /// How many there are.
    pub count: usize,
    /// They are processes rather than threads.
    pub processes: bool,
    /// Share of their time in which they did not wait for work.
    pub utilisation: f64,
    /// Share of the time in which not one of them waited for work.
    pub all_busy: f64,
    /// Requests that waited for one, in the mean.
    pub queue: f64,
}

/// What slow requests wait behind on their event loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocker {
    /// Route of the requests that keep the loop; `None` where they have none.
    pub route: Option<Route>,
    /// The loop is kept by no request: a timer, the collection of garbage.
    pub nobodys: bool,
    /// Bytes of such a request, in the mean.
    pub received: f64,
    /// Microseconds that a slow request waits behind it, in the mean over the slow ones.
    pub slow_us: f64,
    /// Times that it kept a loop.
    pub holds: u64,
    /// Mean microseconds of these.
    pub mean_us: f64,
    /// The longest in microseconds.
    pub worst_us: f64,
    /// What such a request does, in the mean.
    pub times: Times,
}

/// A service that requests call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerFacts {
    /// Its address.
    pub address: String,
    /// Microseconds that a slow request waits for it, in the mean over the slow ones.
    pub slow_us: f64,
    /// The same over all requests.
    pub all_us: f64,
    /// Requests that called it.
    pub requests: u64,
    /// Microseconds of the longest wait of one request.
    pub worst_us: f64,
}

/// What waits for a futex are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockFor {
    /// One at a time: a mutex, a semaphore, or nobody knows.
    #[default]
    Exclusion,
    /// The lock of an interpreter, `CPython` or Ruby.
    Gil,
    /// The end of a thread.
    Join,
    /// Something to do, or the result of what another thread does: no contention.
    Work,
    /// A file lock.
    File,
}

/// A lock that requests waited for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LockFacts {
    /// What it is for.
    pub of: LockFor,
    /// What it is called, or its address.
    pub name: String,
    /// Share of the requests' time in `lock` that is this one's.
    pub share: f64,
    /// Waits.
    pub waits: u64,
    /// Mean microseconds of a wait.
    pub mean_us: f64,
    /// The longest in microseconds.
    pub worst_us: f64,
    /// Threads that waited for it.
    pub waiters: usize,
    /// What its holders did meanwhile, in words; empty where that is not known.
    pub holder: String,
}

/// Who ran while threads of the target waited for a CPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taker {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Share of the time that threads of the target waited for a CPU.
    pub share: f64,
}

/// Why threads waited for a CPU, as shares of the time that they did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuWaits {
    /// Threads of the target itself ran.
    pub own: f64,
    /// Other processes ran.
    pub others: f64,
    /// Of these, those that sit at the other end of the target's connections: the load itself.
    pub clients: f64,
    /// The target's control group had used up its quota.
    pub throttled: f64,
    /// The other processes, most first, without the clients.
    pub takers: Vec<Taker>,
    /// CPUs that the quota allows, where there is one.
    pub quota: Option<f64>,
    /// Periods in which the target was throttled.
    pub throttled_periods: u64,
}

/// Threads, or processes, that were created.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Births {
    /// For each request, in the mean.
    pub per_request: f64,
    /// Microseconds from the creation to the first run, in the mean.
    pub to_first_run_us: f64,
    /// Microseconds that those lived which have ended.
    pub lived_us: f64,
}

/// What a run found, as far as findings need it. Times are microseconds.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Requests that were answered.
    pub requests: u64,
    /// Length of the window in seconds.
    pub seconds: f64,
    /// Requests that a lost record may have been about.
    pub touched_by_loss: u64,
    /// Mean times of all requests.
    pub all: Times,
    /// Mean times of the slowest ([`super::SLOWEST`]).
    pub slow: Times,
    /// The 99th percentile of the latency.
    pub p99_us: f64,
    /// CPUs that the target may use.
    pub cpus: f64,
    /// Threads of the target on a CPU, in the mean.
    pub parallelism: f64,
    /// Threads of the target that had no CPU, in the mean.
    pub runnable: f64,
    /// Threads of the target that waited for a lock of the kernel, in the mean.
    pub kernel_locked: f64,
    /// Switches by which a thread lost the CPU, for each request.
    pub involuntary: f64,
    /// CPU time of the target for each request, whoever of its threads used it.
    pub cpu_per_request_us: f64,
    /// Requests in the hands of a worker, in the mean.
    pub in_service: f64,
    /// The concurrency model.
    pub model: ModelId,
    /// The workers, where requests queue for some.
    pub workers: Option<Workers>,
    /// Event loops.
    pub loops: usize,
    /// Share of the time that the busiest loop is busy.
    pub loop_busy: f64,
    /// What slow requests wait behind on their loop, most first.
    pub blockers: Vec<Blocker>,
    /// Microseconds of a slow request that it keeps a loop itself, in the mean over the slow ones.
    pub keeps_us: f64,
    /// Share of their time that the other requests, fast and slow, wait behind those that keep a loop.
    pub victims: f64,
    /// Services that are called, most time of slow requests first.
    pub peers: Vec<PeerFacts>,
    /// Locks, most time first.
    pub locks: Vec<LockFacts>,
    /// Kernel locks by name, with shares of the time in `kernel_lock`, most first.
    pub kernel_locks: Vec<(String, f64)>,
    /// Why threads waited for a CPU.
    pub cpu_waits: CpuWaits,
    /// Threads created.
    pub threads: Births,
    /// Processes created.
    pub processes: Births,
    /// Requests in flight, in the mean.
    pub concurrency: f64,
    /// The most at once.
    pub most_in_flight: usize,
    /// Share of the time asleep in which a request waited for the sleep of another one to end.
    pub in_turn: f64,
    /// Requests in the order in which they began.
    pub trace: Vec<Traced>,
    /// Of all requests, those that keep a loop for long.
    pub keeps_loop: FxHashSet<RequestId>,
    /// Slow requests by route: mean times over all slow ones, so that they sum to [`Self::slow`] as far as requests have a route.
    pub routes: Vec<(Route, Times)>,
}

impl Facts {
    /// Share of the time in `lock` that is spent in locks of a purpose.
    pub fn lock_share(&self, of: LockFor) -> f64 {
        let sum: f64 = self.locks.iter().filter(|lock| lock.of == of).map(|lock| lock.share).sum();
        match of {
            // Waits of which nothing is known are taken for what most of them are.
            LockFor::Exclusion => {
                let known: f64 = self.locks.iter().map(|lock| lock.share).sum();
                sum + (1.0 - known).max(0.0)
            }
            _ => sum.min(1.0),
        }
    }

    /// Microseconds for which a request keeps a worker, by how busy they are; 0 where there are none.
    pub fn worker_us(&self) -> f64 {
        let busy = self.workers.map_or(0.0, |workers| workers.count as f64 * workers.utilisation);
        if self.requests == 0 { 0.0 } else { busy * self.seconds * 1e6 / self.requests as f64 }
    }

    /// Threads of the target that want a CPU, in the mean: those that have one, and those that wait for one, whoever has it.
    pub fn wants_cpus(&self) -> f64 {
        self.parallelism + self.runnable
    }

    /// What a worker does with a request, in the mean. Of the waits for a CPU only those count that keep a worker: a request that nobody has read yet
    /// waits for its reader's as well, again and again, while that works for others.
    pub fn service(&self) -> Times {
        let mut service = self.all;
        for queue in [State::AcceptQueue, State::RecvQueue, State::AppQueue] {
            service[queue] = 0.0;
        }
        let worker = self.worker_us();
        if worker > 0.0 {
            let others = service.total() - service[State::RunQueue];
            service[State::RunQueue] = service[State::RunQueue].min((worker - others).max(0.0));
        }
        service
    }

    /// The route whose slow requests spend most time by this measure, with its part of that time; `None` where it says nothing, because
    /// there is no other.
    pub fn route_of(&self, measure: impl Fn(&Times) -> f64) -> Option<(&Route, f64)> {
        let sum: f64 = self.routes.iter().map(|(_, times)| measure(times)).sum();
        let (route, times) = self.routes.iter().max_by(|a, b| measure(&a.1).total_cmp(&measure(&b.1)))?;
        (sum > 0.0).then(|| (route, measure(times) / sum))
    }
}
