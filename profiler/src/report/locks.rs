//! The locks of a run, for the explanation.

use serde::Serialize;

use crate::{
    explain::locks::{call, name},
    locks::Lock,
    observe::Observation,
};

/// Locks that are told one by one.
const MOST: usize = 32;
/// Holders of each.
const MOST_HOLDERS: usize = 8;

/// Locks that threads waited for.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Locks {
    /// Locks of the target that requests waited for, most time first.
    pub user: Vec<UserLock>,
    /// Locks of the kernel by what they are, most time first.
    pub kernel: Vec<KernelLock>,
    /// System calls in which threads blocked on locks of the kernel, most time first.
    pub kernel_met_in: Vec<MetIn>,
}

/// A lock of the target.
#[derive(Clone, Debug, Serialize)]
pub struct UserLock {
    /// Its process; 0 for one that processes share.
    pub pid: u32,
    /// What it is called: its variable, its file, or its address with the kind of memory.
    pub name: String,
    /// What it is for: `exclusion`, `work`, `join`, `file`, `semaphore`, `gil` or `unknown`.
    pub kind: &'static str,
    /// Share of the requests' time in `lock`.
    pub share: f64,
    /// Waits of requests.
    pub waits: u64,
    /// Microseconds of these in all.
    pub total_us: f64,
    /// In the mean.
    pub mean_us: f64,
    /// The longest.
    pub worst_us: f64,
    /// Threads that waited.
    pub waiters: usize,
    /// The most that waited at once.
    pub at_once: usize,
    /// Threads that ended waits, the one that kept others longest first.
    pub holders: Vec<HolderUse>,
}

/// What a holder did while others waited for it, since it got the lock itself. Microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct HolderUse {
    /// The thread.
    pub tid: u32,
    /// Its name; empty where it is not known.
    pub name: String,
    /// Waits that it ended.
    pub woke: u64,
    /// On a CPU.
    pub on_cpu_us: f64,
    /// Ready to run, without a CPU.
    pub runnable_us: f64,
    /// Blocked.
    pub blocked_us: f64,
    /// The system call that most of that was in; `None` where it was never blocked.
    pub blocked_in: Option<String>,
    /// Routes of the requests that it had in hand, most time first.
    pub routes: Vec<String>,
}

/// Kernel locks of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct KernelLock {
    /// What it is.
    pub name: String,
    /// Share of the time that threads waited for locks of the kernel.
    pub share: f64,
    /// Locks of this kind.
    pub locks: usize,
    /// Waits.
    pub waits: u64,
    /// Microseconds of these in all.
    pub total_us: f64,
    /// The longest.
    pub worst_us: f64,
}

/// A system call that met locks of the kernel.
#[derive(Clone, Debug, Serialize)]
pub struct MetIn {
    /// The call, or `page faults`.
    pub call: &'static str,
    /// Its share of the time that threads blocked on such locks.
    pub share: f64,
}

fn us(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// The locks of a run.
pub(super) fn locks(observation: &Observation) -> Locks {
    let table = observation.pipeline.locks();
    let mut user: Vec<&Lock> = table.iter().collect();
    user.sort_by(|a, b| b.request_ns().total_cmp(&a.request_ns()).then_with(|| a.key().cmp(&b.key())));
    let told = table.kernel().told(&observation.facts.kernel_locks);
    let kernel_ns: u64 = told.iter().map(|lock| lock.total_ns).sum();
    Locks {
        user: user.into_iter().take(MOST).map(|lock| user_lock(observation, lock)).collect(),
        kernel: told
            .into_iter()
            .map(|lock| KernelLock {
                name: lock.name,
                share: lock.total_ns as f64 / kernel_ns.max(1) as f64,
                locks: lock.locks,
                waits: lock.waits,
                total_us: us(lock.total_ns),
                worst_us: us(lock.worst_ns),
            })
            .collect(),
        kernel_met_in: table
            .kernel()
            .met_in()
            .into_iter()
            .map(|(call, share)| MetIn { call, share })
            .collect(),
    }
}

fn user_lock(observation: &Observation, lock: &Lock) -> UserLock {
    let all = observation.pipeline.locks().request_ns();
    let names = observation.pipeline.window().threads();
    let holders = lock.holders().into_iter().take(MOST_HOLDERS).map(|(tid, holder)| {
        let mut routes = holder.routes.clone();
        routes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let doing = holder.doing;
        HolderUse {
            tid: tid.0,
            name: names
                .iter()
                .find(|(known, _)| *known == tid)
                .map(|(_, usage)| usage.name.clone())
                .unwrap_or_default(),
            woke: holder.woke,
            on_cpu_us: us(doing.on_cpu),
            runnable_us: us(doing.runnable),
            blocked_us: us(doing.blocked),
            blocked_in: (doing.blocked > 0).then(|| call(doing.blocked_in)),
            routes: routes.into_iter().map(|(route, _)| route.to_string()).collect(),
        }
    });
    UserLock {
        pid: lock.key().pid.map_or(0, |pid| pid.0),
        name: name(lock),
        kind: lock.kind().id(),
        share: if all > 0.0 { lock.request_ns() / all } else { 0.0 },
        waits: lock.waits(),
        total_us: us(lock.waited_ns()),
        mean_us: us(lock.waited_ns()) / lock.waits().max(1) as f64,
        worst_us: us(lock.worst_ns()),
        waiters: lock.waiters(),
        at_once: lock.at_once(),
        holders: holders.collect(),
    }
}
