//! Half a second of history.

use std::sync::Arc;

use super::{kept::Kept, latencies::Latencies, lengths::Lengths};
use crate::{
    clock::{Request, StateTimes},
    decode::Route,
    probe::SyscallCount,
    units::{Ns, Pid, Tid},
};

/// Length of a bucket in nanoseconds.
pub const LENGTH: u64 = 500_000_000;
/// Buckets that are kept: ten minutes.
pub const KEPT: usize = 1_200;

/// Routes that are told apart in a bucket.
const ROUTES: usize = 32;
/// System calls that are told apart in a bucket.
const CALLS: usize = 32;
/// Locks that are told apart in a bucket.
const LOCKS: usize = 16;
/// Peers that are told apart in a bucket.
const PEERS: usize = 16;
/// Slow requests that are kept of a bucket.
const SLOWEST: usize = 3;

/// Requests, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub count: u64,
    /// Sum of their latencies in nanoseconds.
    pub total: u64,
    /// The longest latency in nanoseconds.
    pub max: u64,
    /// Sums of their times by state.
    pub times: StateTimes,
}

impl Group {
    /// Adds a request.
    pub fn add(&mut self, latency: u64, times: &StateTimes) {
        self.merge(&Self { count: 1, total: latency, max: latency, times: *times });
    }

    /// Adds all requests of another one.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.total += other.total;
        self.max = self.max.max(other.max);
        self.times.add(&other.times);
    }
}

/// Requests of a route.
#[derive(Clone, Debug, Default)]
pub struct RouteCell {
    /// Its name; `None` for requests without one, and for those of routes that found no room.
    pub route: Option<Route>,
    /// Its requests.
    pub group: Group,
}

/// A system call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallCell {
    /// Its number; negative: outside any; [`OTHER_CALLS`]: those that found no room.
    pub syscall: i32,
    /// Waits in it while the thread worked for a request.
    pub busy: Blocked,
    /// Other waits: for something to do.
    pub idle: Blocked,
    /// All calls, where they are traced one by one.
    pub traced: Option<Box<SyscallCount>>,
}

/// Stands for all system calls that found no room.
pub const OTHER_CALLS: i32 = i32::MAX;

impl CallCell {
    /// Adds what happened in another one.
    pub fn merge(&mut self, other: &Self) {
        self.busy.merge(&other.busy);
        self.idle.merge(&other.idle);
        if let Some(traced) = &other.traced {
            self.traced.get_or_insert_default().merge(traced);
        }
    }
}

/// Waits, added up, and by their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// Their sum.
    pub waits: Waits,
    /// By length.
    pub lengths: Lengths,
}

impl Blocked {
    /// Adds a wait.
    pub fn add(&mut self, nanos: u64) {
        self.waits.add(nanos);
        self.lengths.add(nanos);
    }

    /// Adds all waits of another one.
    pub fn merge(&mut self, other: &Self) {
        self.waits.merge(&other.waits);
        self.lengths.merge(&other.lengths);
    }
}

/// Waits, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// How many.
    pub count: u64,
    /// Nanoseconds in all.
    pub total: u64,
    /// The longest in nanoseconds.
    pub max: u64,
}

impl Waits {
    /// Adds a wait.
    pub fn add(&mut self, nanos: u64) {
        self.merge(&Self { count: 1, total: nanos, max: nanos });
    }

    /// Adds all waits of another one.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.total += other.total;
        self.max = self.max.max(other.max);
    }
}

/// Tells one lock from another on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockPlace {
    /// Process of the waiters; 0 for all locks that found no room.
    pub pid: Pid,
    /// Address of the futex, or what else names the lock; 0 for the kernel's.
    pub address: u64,
    /// For a lock of the kernel: the system call that met it.
    pub kernel: Option<i32>,
}

/// Waits for a lock by threads that worked for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockCell {
    /// Which one.
    pub place: LockPlace,
    /// The waits.
    pub waits: Waits,
    /// Who let go of it last.
    pub holder: Tid,
    /// The most threads that waited for it at once.
    pub at_once: u32,
}

/// Exchanges with a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCell {
    /// Its place in [`Snapshot::peers`](super::Snapshot::peers).
    pub peer: u16,
    /// Answers: a client's requests, or calls to a service, and how long they took.
    pub exchanges: Waits,
    /// Nanoseconds of these requests in the queues in front of the program: waiting to be accepted, and to be read.
    pub queued: u64,
    /// Connections opened.
    pub opened: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}

/// What the scheduler did with the target's threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// The thread gave the CPU up.
    pub voluntary: u64,
    /// The thread lost the CPU.
    pub involuntary: u64,
    /// The thread came back on another CPU.
    pub migrations: u64,
    /// Threads born.
    pub born: u64,
    /// Threads born as the first of a process.
    pub processes: u64,
    /// Threads that ended.
    pub ended: u64,
    /// Programs that were executed.
    pub execs: u64,
}

impl Switches {
    /// Adds another one.
    pub fn merge(&mut self, other: &Self) {
        self.voluntary += other.voluntary;
        self.involuntary += other.involuntary;
        self.migrations += other.migrations;
        self.born += other.born;
        self.processes += other.processes;
        self.ended += other.ended;
        self.execs += other.execs;
    }
}

/// What the target's threads did on a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuCell {
    /// Nanoseconds that they ran.
    pub ran: u64,
    /// Nanoseconds that they waited for it, ready to run.
    pub waited: u64,
    /// Times that one of them left it.
    pub switches: u64,
    /// Times that one came to it from another CPU.
    pub arrivals: u64,
}

impl CpuCell {
    /// Adds another one.
    pub fn merge(&mut self, other: &Self) {
        self.ran += other.ran;
        self.waited += other.waited;
        self.switches += other.switches;
        self.arrivals += other.arrivals;
    }
}

/// What happened in some time; requests count where they end.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// All requests.
    pub requests: Group,
    /// Those that were slower than 99 % of the ten seconds before.
    pub slow: Group,
    /// Latencies.
    pub latencies: Latencies,
    /// Requests by route.
    pub routes: Vec<RouteCell>,
    /// What the scheduler did.
    pub switches: Switches,
    /// Waits of the target's threads for a CPU.
    pub run_queue: Latencies,
    /// What they did on each CPU.
    pub cpus: Vec<CpuCell>,
    /// From a thread's creation to its first run.
    pub births: Waits,
    /// System calls.
    pub calls: Vec<CallCell>,
    /// Waits by lock.
    pub locks: Vec<LockCell>,
    /// Exchanges by peer.
    pub peers: Vec<PeerCell>,
    /// Records from the kernel.
    pub records: u64,
    /// Records that were lost.
    pub lost: u64,
    /// The most requests that were open when somebody looked.
    pub in_flight: usize,
}

impl Sums {
    /// Nanoseconds that the target's threads ran, on all CPUs.
    pub fn ran(&self) -> u64 {
        self.cpus.iter().map(|cpu| cpu.ran).sum()
    }
}

/// Half a second.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// Its place in the run.
    pub number: u32,
    /// When it begins.
    pub begin: Ns,
    /// What happened in it.
    pub sums: Sums,
    /// The slowest requests, slowest first.
    pub slowest: Vec<Arc<Kept>>,
}

/// The cell that `is` tells, or a new one that `new` makes; the last one takes what finds no room.
fn cell<T>(cells: &mut Vec<T>, most: usize, is: impl Fn(&T) -> bool, new: impl FnOnce(bool) -> T) -> &mut T {
    let place = match cells.iter().position(is) {
        Some(place) => place,
        None if cells.len() < most => {
            cells.push(new(cells.len() + 1 == most));
            cells.len() - 1
        }
        None => cells.len() - 1,
    };
    &mut cells[place]
}

impl Bucket {
    /// An empty one.
    pub(super) fn new(number: u32, begin: Ns) -> Self {
        Self { number, begin, ..Self::default() }
    }

    /// Adds a request that ended in it; `slow` tells whether it is among the slow ones.
    pub(super) fn request(&mut self, request: &Request, slow: bool) {
        let latency = request.latency();
        self.sums.requests.add(latency, &request.times);
        if slow {
            self.sums.slow.add(latency, &request.times);
        }
        self.sums.latencies.add(latency);
        let route = &request.route;
        cell(
            &mut self.sums.routes,
            ROUTES,
            |cell| cell.route == *route,
            |last| RouteCell { route: if last { None } else { route.clone() }, group: Group::default() },
        )
        .group
        .add(latency, &request.times);
    }

    /// Whether a request of this latency is among the slowest so far.
    pub(super) fn is_among_slowest(&self, latency: u64) -> bool {
        self.slowest.len() < SLOWEST
            || self.slowest.last().is_some_and(|kept| latency > kept.request.latency())
    }

    /// Keeps a request among the slowest.
    pub(super) fn keep(&mut self, kept: Arc<Kept>) {
        let latency = kept.request.latency();
        let place = self.slowest.partition_point(|other| other.request.latency() >= latency);
        self.slowest.insert(place, kept);
        self.slowest.truncate(SLOWEST);
    }

    /// A system call.
    pub(super) fn call(&mut self, syscall: i32) -> &mut CallCell {
        cell(
            &mut self.sums.calls,
            CALLS,
            |cell| cell.syscall == syscall,
            |last| CallCell { syscall: if last { OTHER_CALLS } else { syscall }, ..CallCell::default() },
        )
    }

    /// The waits for a lock.
    pub(super) fn lock(&mut self, place: LockPlace) -> &mut LockCell {
        let new =
            |last| LockCell { place: if last { LockPlace::default() } else { place }, ..LockCell::default() };
        cell(&mut self.sums.locks, LOCKS, |cell| cell.place == place, new)
    }

    /// The exchanges with a peer.
    pub(super) fn peer(&mut self, peer: u16) -> &mut PeerCell {
        cell(
            &mut self.sums.peers,
            PEERS,
            |cell| cell.peer == peer,
            |_| PeerCell { peer, ..PeerCell::default() },
        )
    }

    /// What happened on a CPU.
    pub(super) fn cpu(&mut self, cpu: u16) -> &mut CpuCell {
        let cpu = usize::from(cpu);
        if self.sums.cpus.len() <= cpu {
            self.sums.cpus.resize(cpu + 1, CpuCell::default());
        }
        &mut self.sums.cpus[cpu]
    }

    /// It is over: gives back the memory that it has too much of.
    pub(super) fn shrink(&mut self) {
        self.sums.latencies.shrink();
        self.sums.run_queue.shrink();
        self.sums.routes.shrink_to_fit();
        self.sums.calls.shrink_to_fit();
        self.sums.locks.shrink_to_fit();
        self.sums.peers.shrink_to_fit();
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.sums.latencies.bytes()
            + self.sums.run_queue.bytes()
            + self.sums.routes.capacity() * size_of::<RouteCell>()
            + self.sums.cpus.capacity() * size_of::<CpuCell>()
            + self.sums.calls.capacity() * size_of::<CallCell>()
            + self.sums.calls.iter().filter(|call| call.traced.is_some()).count() * size_of::<SyscallCount>()
            + self.sums.locks.capacity() * size_of::<LockCell>()
            + self.sums.peers.capacity() * size_of::<PeerCell>()
            + self.slowest.iter().map(|kept| kept.bytes()).sum::<usize>()
    }
}
