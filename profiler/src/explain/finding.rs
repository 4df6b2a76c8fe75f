//! A finding: what it is, how much it explains, what it rests on, what to do.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{certainty::certainty, facts::Facts, replay::Gain};

/// Names a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// Requests wait for a lock that another thread holds.
    LockContention,
    /// Requests wait for the lock of an interpreter, `CPython` or Ruby.
    GilContention,
    /// Requests wait for a lock of the kernel.
    KernelLockContention,
    /// Requests need more CPU time than there is, or a long time of it.
    CpuBound,
    /// Other processes take the CPU.
    CpuStarved,
    /// The control group's quota takes the CPU away.
    CpuThrottled,
    /// The server's own threads take the CPU from one another.
    TooManyThreads,
    /// Requests wait behind another one on their event loop.
    EventLoopBlocked,
    /// Requests wait for one of too few workers.
    WorkersExhausted,
    /// Requests wait for another service.
    DownstreamSlow,
    /// Requests wait for the disk.
    DiskSlow,
    /// Requests wait for memory.
    PageFaults,
    /// Requests sleep.
    Sleeping,
    /// The client reads its response slowly.
    SlowClient,
    /// Requests wait for threads that are created for them.
    ThreadChurn,
    /// Requests wait for processes that are created for them.
    ProcessChurn,
}

impl Id {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::LockContention,
        Self::GilContention,
        Self::KernelLockContention,
        Self::CpuBound,
        Self::CpuStarved,
        Self::CpuThrottled,
        Self::TooManyThreads,
        Self::EventLoopBlocked,
        Self::WorkersExhausted,
        Self::DownstreamSlow,
        Self::DiskSlow,
        Self::PageFaults,
        Self::Sleeping,
        Self::SlowClient,
        Self::ThreadChurn,
        Self::ProcessChurn,
    ];

    /// Its name in the JSON contract.
    pub fn id(self) -> &'static str {
        match self {
            Self::LockContention => "lock_contention",
            Self::GilContention => "gil_contention",
            Self::KernelLockContention => "kernel_lock_contention",
            Self::CpuBound => "cpu_bound",
            Self::CpuStarved => "cpu_starved",
            Self::CpuThrottled => "cpu_throttled",
            Self::TooManyThreads => "too_many_threads",
            Self::EventLoopBlocked => "event_loop_blocked",
            Self::WorkersExhausted => "workers_exhausted",
            Self::DownstreamSlow => "downstream_slow",
            Self::DiskSlow => "disk_slow",
            Self::PageFaults => "page_faults",
            Self::Sleeping => "sleeping",
            Self::SlowClient => "slow_client",
            Self::ThreadChurn => "thread_churn",
            Self::ProcessChurn => "process_churn",
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// A cause, as it is told.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is.
    pub id: Id,
    /// Share of the time of the slowest tenth of the requests that it explains.
    pub share: f64,
    /// Share of the time of all requests that it explains.
    pub share_of_all: f64,
    /// How sure this is, from 0 to 1.
    pub confidence: f64,
    /// What would be without it, for the main ones.
    pub gain: Option<Gain>,
    /// The cause in one sentence.
    pub summary: String,
    /// What it rests on: numbers and names.
    pub evidence: Map<String, Value>,
    /// What to do about it.
    pub advice: String,
}

/// What a rule says.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it is.
    pub id: Id,
    /// Microseconds of a slow request that it explains.
    pub slow_us: f64,
    /// Microseconds of a request that it explains.
    pub all_us: f64,
    /// How sure the rule is where nothing was lost and there were many requests, from 0 to 1.
    pub certainty: f64,
    /// The cause in one sentence.
    pub summary: String,
    /// What it rests on.
    pub evidence: Map<String, Value>,
    /// What to do about it.
    pub advice: String,
}

impl Draft {
    /// The finding: shares of what there is, and how sure it is with what was seen.
    pub fn finish(self, facts: &Facts) -> Finding {
        let share = |part: f64, whole: f64| if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 };
        Finding {
            id: self.id,
            share: round(share(self.slow_us, facts.slow.total())),
            share_of_all: round(share(self.all_us, facts.all.total())),
            confidence: round(self.certainty * certainty(facts)),
            gain: None,
            summary: self.summary,
            evidence: self.evidence,
            advice: self.advice,
        }
    }
}

/// To the digits that mean something.
fn round(share: f64) -> f64 {
    (share * 1e3).round() / 1e3
}

/// Evidence: `evidence! { "name" => value, … }`.
macro_rules! evidence {
    ($($name:literal => $value:expr),* $(,)?) => {{
        let mut evidence = serde_json::Map::new();
        $(evidence.insert($name.to_owned(), serde_json::json!($value));)*
        evidence
    }};
}
pub(super) use evidence;
