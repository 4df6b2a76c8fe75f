//! What is said of a server's concurrency.

use serde::Serialize;

use super::model::ModelId;
use crate::units::{Pid, Tid};

/// What a thread is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It accepts connections, or reads requests, and leaves the rest to others.
    Acceptor,
    /// It waits for events of many connections, and serves them.
    Loop,
    /// It serves one connection at a time, and blocks in it.
    Worker,
    /// Work is handed to it: it waits in a queue for it.
    PoolWorker,
    /// It has to do with no request.
    Idle,
}

/// A thread and what it is there for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThreadRole {
    /// The thread.
    pub tid: Tid,
    /// Its process.
    pub pid: Pid,
    /// What it is there for.
    pub role: Role,
    /// Requests that it owned for a while.
    pub requests: u64,
    /// Share of the time that it was seen in which it was not waiting for work.
    pub busy: f64,
}

/// Workers that take work from a queue: a pool of threads, the threads that loops hand work to, or pre-forked processes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pool {
    /// How many there are.
    pub workers: usize,
    /// Share of their time in which they were not waiting for work: 1 when none ever waited.
    pub utilisation: f64,
    /// Share of the window in which not one of them waited for work.
    pub all_busy: f64,
    /// Requests that had arrived, or were read, and that no worker had taken yet: mean over the window.
    pub mean_queue: f64,
    /// The most at once.
    pub max_queue: usize,
}

/// A thread that waits for events of many connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Loop {
    /// The thread.
    pub tid: Tid,
    /// Its process.
    pub pid: Pid,
    /// Share of its time in which it was not waiting for events.
    pub busy: f64,
    /// Times that it came back from waiting, a second.
    pub turns_per_second: f64,
    /// Requests that it read.
    pub requests: u64,
    /// Time that requests it read had waited for it since their arrival, in microseconds: the lag of the loop.
    pub lag_us: Lag,
}

/// How long what was ready waited for a loop, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Lag {
    /// In the mean.
    pub mean: f64,
    /// 99 % waited no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// A process that serves requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worker {
    /// The process.
    pub pid: Pid,
    /// Its threads in the window.
    pub threads: usize,
    /// Connections that it accepted.
    pub accepted: u64,
    /// Times that a thread of it was woken in `accept`, or for a listening socket, and somebody else had the connection.
    pub useless_wakeups: u64,
    /// Requests that it read.
    pub requests: u64,
    /// Share of the window in which it had a request in hand.
    pub busy: f64,
}

/// Mean requests in flight against rate times mean latency (Little's law).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Little {
    /// Requests in flight, integrated over the window.
    pub in_flight: f64,
    /// Requests a second times their mean latency.
    pub rate_times_latency: f64,
    /// Whether the two agree.
    pub holds: bool,
    /// Why not; empty where they do.
    pub why: String,
}

/// What behaviour says of a server's concurrency.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fingerprint {
    /// The model.
    pub id: ModelId,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// What speaks for it, in sentences.
    pub evidence: Vec<String>,
    /// Threads that had to do with requests, most requests first; at most 256.
    pub roles: Vec<ThreadRole>,
    /// The workers, where there is a queue for them.
    pub pool: Option<Pool>,
    /// Threads that are event loops.
    pub loops: Vec<Loop>,
    /// Processes that serve requests, most requests first; at most 256.
    pub processes: Vec<Worker>,
    /// The check of what was measured; `None` without requests.
    pub little: Option<Little>,
}
