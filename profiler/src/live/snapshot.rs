//! What the screen is drawn from.

use std::sync::Arc;

use super::{
    backlog::Backlog,
    bucket::{Bucket, LockPlace},
    connections::Peer,
    cursor::Cursor,
    kept::Kept,
    models::Models,
    threads::ThreadView,
};
use crate::{
    clock::State,
    locks::Doing,
    report::{Explanation, HolderUse},
    units::{Ns, Pid},
};

/// Who is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub command: String,
    /// Processes that were named.
    pub pids: Vec<Pid>,
    /// Ports that they listen on.
    pub ports: Vec<u16>,
}

/// What becomes of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// The programs are being attached.
    #[default]
    Attaching,
    /// It is watched.
    Watching,
    /// It has ended; nothing more is to come.
    Ended,
    /// It has ended, and another one is waited for.
    Waiting {
        /// For whom.
        whom: String,
    },
}

/// The concurrency model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its name.
    pub id: String,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// What speaks for it.
    pub evidence: Vec<String>,
}

/// What was lost since the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Records that found no room or could not be read.
    pub records: u64,
    /// The same by kind.
    pub by_kind: Vec<(String, u64)>,
    /// Records that are missing by their numbers.
    pub missing: u64,
    /// Records that came too late to be put in order.
    pub late: u64,
}

impl Lost {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.records + self.missing + self.late
    }
}

/// How whywait itself is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// What was lost.
    pub lost: Lost,
    /// How old the newest record is that has been taken in, in nanoseconds.
    pub lag: u64,
    /// Records since the beginning.
    pub records: u64,
    /// CPU of whywait, in percent of one, over the last seconds.
    pub cpu_percent: f64,
    /// Nanoseconds of one run of a program in the kernel; 0 where the kernel does not tell.
    pub program_ns: f64,
    /// Bytes of history that are held.
    pub history_bytes: usize,
    /// Programs: hook, what it gives, and why it is missing if it is.
    pub capabilities: Vec<(String, String, Option<String>)>,
    /// System calls are traced one by one.
    pub syscalls: bool,
    /// System calls are taken for socket operations.
    pub sockets_by_syscall: bool,
}

/// A stack in which threads let a lock go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Wake-ups of which the stack was taken.
    pub count: u64,
    /// Functions, outermost first.
    pub frames: Vec<String>,
}

/// What is known of a lock from the last whole window.
#[derive(Clone, Debug)]
pub struct KnownLock {
    /// Process of its waiters.
    pub pid: Pid,
    /// Processes share it.
    pub is_shared: bool,
    /// Its addresses: several where it is made of several futexes.
    pub addresses: Vec<u64>,
    /// What it is for, in a word.
    pub kind: &'static str,
    /// The variable that it lies in, or the file that it locks.
    pub name: Option<String>,
    /// What its holders did while others waited.
    pub held: Doing,
    /// The same for each of them, the one that kept others longest first.
    pub holders: Vec<HolderUse>,
    /// Where in the code they let it go, most often first.
    pub releases: Vec<Release>,
    /// Where in the code requests wait for it, most time first.
    pub waiters: Vec<Stack>,
}

impl KnownLock {
    /// Whether this is the lock in this place.
    pub fn is(&self, place: LockPlace) -> bool {
        let there = self.is_shared || self.pid == place.pid;
        there && place.kernel.is_none() && self.addresses.contains(&place.address)
    }
}

/// A stack in which requests spent time.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// What they did there.
    pub state: State,
    /// Functions, outermost first.
    pub frames: Vec<String>,
    /// Microseconds of all requests.
    pub micros: f64,
}

/// Something that was said at a moment of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Ns,
    /// What, in a few words.
    pub title: String,
    /// What is to be seen.
    pub text: String,
}

/// The last minutes at a moment. Cheap to make: the parts are shared.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Who is watched.
    pub target: Target,
    /// What becomes of it.
    pub status: Status,
    /// Its concurrency model, where it is known.
    pub model: Option<Model>,
    /// When the first bucket begins.
    pub began: Ns,
    /// The moment.
    pub at: Ns,
    /// Buckets, oldest first; the last one goes on.
    pub buckets: Vec<Arc<Bucket>>,
    /// The last requests, newest first.
    pub latest: Vec<Arc<Kept>>,
    /// Threads.
    pub threads: Arc<Vec<ThreadView>>,
    /// Threads that found no room.
    pub untold_threads: u64,
    /// Peers.
    pub peers: Arc<Vec<Peer>>,
    /// Accept queues, by port; none where they cannot be seen.
    pub backlogs: Vec<Backlog>,
    /// Requests that are read and not answered.
    pub in_flight: usize,
    /// For how long the oldest of them has been, in nanoseconds.
    pub oldest: Option<u64>,
    /// How whywait itself is.
    pub health: Health,
    /// Locks of the last whole window.
    pub locks: Arc<Vec<KnownLock>>,
    /// Stacks of the last whole window, most time first.
    pub stacks: Arc<Vec<Stack>>,
    /// The explanation of the last whole window.
    pub explanation: Option<Arc<Explanation>>,
    /// When that window ended.
    pub explained: Ns,
    /// What was said, oldest first.
    pub notes: Vec<Note>,
    /// Servers side by side, where somebody runs them.
    pub models: Option<Arc<Models>>,
    /// Where in a recording this is; `None` for a live run.
    pub cursor: Option<Cursor>,
}
