//! Records about threads: intervals off the CPU, births and ends.

use super::Header;

/// Flags of an [`OffCpu`] record.
pub mod off_cpu {
    /// The thread gave the CPU up by itself: its `nvcsw` grew.
    pub const VOLUNTARY: u8 = 1;
    /// The thread waited for block I/O (`task_struct.in_iowait`).
    pub const IO_WAIT: u8 = 2;
    /// The thread waited for a kernel lock (between `contention_begin` and `contention_end`).
    pub const KERNEL_LOCK: u8 = 4;
    /// The interval had begun before whywait attached; `left` is the moment of attaching.
    pub const CLIPPED: u8 = 8;
    /// The interval is the one between the thread's creation and its first run.
    pub const BORN: u8 = 16;
    /// The thread is still off the CPU at the time of the record.
    pub const OPEN: u8 = 32;
}

/// Values of [`OffCpu::taker`] that are no process.
pub mod taker {
    /// The CPU was idle.
    pub const IDLE: u32 = 0;
    /// Nobody saw the thread come back to its CPU, or it has not.
    pub const UNKNOWN: u32 = u32::MAX;
}

/// The kernel's task states, as far as they matter here (`include/linux/sched.h`).
pub mod task_state {
    /// `TASK_INTERRUPTIBLE`
    pub const INTERRUPTIBLE: u32 = 1;
    /// `TASK_UNINTERRUPTIBLE`
    pub const UNINTERRUPTIBLE: u32 = 2;
    /// `__TASK_STOPPED`
    pub const STOPPED: u32 = 4;
    /// `__TASK_TRACED`
    pub const TRACED: u32 = 8;
}

/// What a descriptor refers to.
pub mod file_kind {
    /// Not looked up, or the descriptor is gone.
    pub const NONE: u8 = 0;
    /// A regular file, a directory or a block device.
    pub const DISK: u8 = 1;
    /// A socket.
    pub const SOCKET: u8 = 2;
    /// A pipe or FIFO.
    pub const PIPE: u8 = 3;
    /// Another kind: a character device, an eventfd, an epoll instance…
    pub const OTHER: u8 = 4;
}

/// A thread was off the CPU, and runs again: sent when it is switched in.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffCpu {
    /// `ts`: switched in.
    pub header: Header,
    /// When it was switched out.
    pub left: u64,
    /// When somebody began to wake it (`sched_waking`); 0: nobody did, it was preempted.
    pub woken: u64,
    /// When it was put on a run queue (`sched_wakeup`); 0: never taken off one.
    pub queued: u64,
    /// The kernel's count of the thread's CPU time, up to when it left: nanoseconds (`task_struct.se.sum_exec_runtime`).
    pub ran: u64,
    /// The kernel's count of the thread's waits for a CPU, this one not yet among them: nanoseconds (`task_struct.sched_info.run_delay`).
    pub waited: u64,
    /// First three arguments of the system call that it was in.
    pub args: [u64; 3],
    /// Time-out of a wait (poll, epoll, select, futex) in nanoseconds; negative: none, or one by the wall clock.
    pub timeout: i64,
    /// The socket's address for [`file_kind::SOCKET`], the inode's number for other files; else 0.
    pub object: u64,
    /// Thread that woke it, when that is a thread of the target; else 0, also where its time-out did.
    pub waker_tid: u32,
    /// Process of the waker.
    pub waker_pid: u32,
    /// System call that the waker was in; negative: none.
    pub waker_syscall: i32,
    /// System call that this thread was in; negative: none.
    pub syscall: i32,
    /// Task state when it left, see [`task_state`].
    pub state: u32,
    /// CPU that it left; the header has the one it came back to.
    pub left_cpu: u16,
    /// See [`off_cpu`].
    pub flags: u8,
    /// Kind of the file of the system call's descriptor, see [`file_kind`].
    pub file: u8,
    /// Process whose thread left the CPU that this one came back to, see [`taker`].
    pub taker: u32,
    /// Always 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<OffCpu>() == 32 + 24 + 16 + 24 + 16 + 24 + 8);

/// A thread is on its way to sleep before it has left the CPU: so much earlier than its time-out after that, in nanoseconds, its timer may end.
pub const TIMER_EARLY: u64 = 50_000;

/// How a [`Thread`] record came about.
pub mod born {
    /// The thread was created by a thread of the target.
    pub const NEW: u8 = 0;
    /// The thread was there when whywait attached.
    pub const FOUND: u8 = 1;
    /// The thread changed its name.
    pub const RENAMED: u8 = 2;
    /// The process executed another program.
    pub const EXEC: u8 = 3;
}

/// A thread and its name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// The thread itself.
    pub header: Header,
    /// When the thread was created, nanoseconds of `CLOCK_MONOTONIC` (`task_struct.start_time`).
    pub start_time: u64,
    /// Thread that created it; 0 for one that was found.
    pub parent_tid: u32,
    /// Process of that thread.
    pub parent_pid: u32,
    /// Name (`comm`), padded with zero bytes.
    pub comm: [u8; 16],
    /// See [`born`].
    pub how: u8,
    /// 1 when it was on a CPU or waited for one when it was found.
    pub running: u8,
    /// Always 0.
    pub reserved: [u8; 6],
}

const _: () = assert!(size_of::<Thread>() == 32 + 16 + 16 + 8);

/// A thread ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadEnd {
    /// The thread.
    pub header: Header,
}
