//! The states of a request, and time by state.

use std::ops::{Index, IndexMut};

/// What a request is doing; at any moment exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// On a connection that no thread has accepted yet.
    AcceptQueue,
    /// In the socket's receive queue, not read yet.
    RecvQueue,
    /// Read, but no thread works on it and nothing downstream is in flight.
    AppQueue,
    /// Owned by a thread that runs.
    OnCpu,
    /// Owned by a thread that is runnable, without a CPU.
    RunQueue,
    /// Owned by a thread blocked in a futex, a semaphore or a file lock.
    Lock,
    /// Owned by a thread that waits for a kernel lock.
    KernelLock,
    /// Owned by a thread blocked in file I/O.
    Disk,
    /// Owned by a thread blocked outside any system call, on memory.
    PageFault,
    /// Waiting for a service that the server called.
    Downstream,
    /// Waiting for a child process.
    Child,
    /// Owned by a thread in a timer.
    Sleep,
    /// Blocked in writing the response.
    Send,
    /// None of these.
    Other,
}

impl State {
    /// Number of states.
    pub const COUNT: usize = 14;

    /// All of them, in the order of the JSON contract.
    pub const ALL: [Self; Self::COUNT] = [
        Self::AcceptQueue,
        Self::RecvQueue,
        Self::AppQueue,
        Self::OnCpu,
        Self::RunQueue,
        Self::Lock,
        Self::KernelLock,
        Self::Disk,
        Self::PageFault,
        Self::Downstream,
        Self::Child,
        Self::Sleep,
        Self::Send,
        Self::Other,
    ];

    /// The state's name in the JSON contract.
    pub fn id(self) -> &'static str {
        match self {
            Self::AcceptQueue => "accept_queue",
            Self::RecvQueue => "recv_queue",
            Self::AppQueue => "app_queue",
            Self::OnCpu => "on_cpu",
            Self::RunQueue => "run_queue",
            Self::Lock => "lock",
            Self::KernelLock => "kernel_lock",
            Self::Disk => "disk",
            Self::PageFault => "page_fault",
            Self::Downstream => "downstream",
            Self::Child => "child",
            Self::Sleep => "sleep",
            Self::Send => "send",
            Self::Other => "other",
        }
    }

    /// The state in words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::AcceptQueue => "waiting to be accepted",
            Self::RecvQueue => "waiting to be read",
            Self::AppQueue => "queued inside the application",
            Self::OnCpu => "running on a CPU",
            Self::RunQueue => "waiting for a CPU",
            Self::Lock => "waiting for a lock",
            Self::KernelLock => "waiting for a kernel lock",
            Self::Disk => "waiting for the disk",
            Self::PageFault => "waiting for memory",
            Self::Downstream => "waiting for another service",
            Self::Child => "waiting for a child process",
            Self::Sleep => "sleeping",
            Self::Send => "waiting for the client to read",
            Self::Other => "waiting for something else",
        }
    }
}

/// Nanoseconds by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateTimes([u64; State::COUNT]);

impl StateTimes {
    /// The sum over all states.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// States with their times, in the order of the contract.
    pub fn iter(&self) -> impl Iterator<Item = (State, u64)> + '_ {
        State::ALL.into_iter().map(|state| (state, self[state]))
    }

    /// Adds another request's times.
    pub fn add(&mut self, other: &Self) {
        for (sum, value) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(value);
        }
    }
}

impl Index<State> for StateTimes {
    type Output = u64;

    fn index(&self, state: State) -> &u64 {
        &self.0[state as usize]
    }
}

impl IndexMut<State> for StateTimes {
    fn index_mut(&mut self, state: State) -> &mut u64 {
        &mut self.0[state as usize]
    }
}
