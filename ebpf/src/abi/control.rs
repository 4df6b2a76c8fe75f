//! What is not a record: counters, statistics and switches that live in maps.

use crate::hist::POWERS;

/// What a walk over the tasks or files is for (`CONTROL`).
pub mod mode {
    /// Register the target's threads, or its listening sockets.
    pub const REGISTER: u32 = 0;
    /// Send the intervals that are still open.
    pub const FLUSH: u32 = 1;
    /// Register the target's connected sockets.
    pub const CONNECTED: u32 = 2;
}

/// Slots of the `COUNTERS` map.
pub mod counter {
    /// Records sent.
    pub const SENT: u32 = 0;
    /// Reads that found nothing (`EAGAIN`): counted, not sent.
    pub const EMPTY_READS: u32 = 1;
    /// A thread or a connection for which the kernel had no memory.
    pub const NO_STATE: u32 = 2;
    /// Voluntary switches that the kernel counted and no program saw.
    pub const UNSEEN_SWITCHES: u32 = 3;
    /// Number of slots.
    pub const COUNT: u32 = 4;
}

/// The one entry of the `CONTROL` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Control {
    /// See [`mode`].
    pub mode: u32,
    /// Always 0.
    pub reserved: u32,
}

/// How often a system call was made, and how long it took in all.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SyscallStat {
    /// Calls that returned.
    pub count: u64,
    /// Nanoseconds between entry and return.
    pub total: u64,
    /// Of the calls, those that returned an error.
    pub errors: u64,
    /// Calls by their time, see [`crate::hist::power`].
    pub by_time: [u64; POWERS],
}

/// Waits on one futex.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WaitStat {
    /// Waits that blocked.
    pub count: u64,
    /// Nanoseconds blocked.
    pub total: u64,
    /// The longest wait.
    pub max: u64,
}

/// A kernel lock, and the system call that met it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelLockKey {
    /// Its address.
    pub lock: u64,
    /// The system call; negative: none.
    pub syscall: i32,
    /// See [`kernel_lock`].
    pub name: u32,
}

/// Waits for one kernel lock in one system call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LockStat {
    /// Waits.
    pub count: u64,
    /// Nanoseconds waited.
    pub total: u64,
    /// The longest wait.
    pub max: u64,
    /// Flags of the last `contention_begin`.
    pub flags: u64,
}

/// Kernel locks that are known by where they lie.
pub mod kernel_lock {
    /// Not known.
    pub const NAMELESS: u32 = 0;
    /// `mm_struct.mmap_lock` of the process that waits.
    pub const MMAP: u32 = 1;
}
