//! The records that the programs send.
//!
//! Every record begins with a [`Header`]; its `kind` names the layout and its `len` the bytes that follow
//! the start of the header. A reader that meets an unknown kind skips `len` bytes, so kinds can be added.

mod control;
mod plain;
mod sched;
mod socket;
mod stack;

pub use control::{Control, KernelLockKey, LockStat, SyscallStat, WaitStat, counter, kernel_lock, mode};
pub use plain::Plain;
pub use sched::{OffCpu, TIMER_EARLY, Thread, ThreadEnd, born, file_kind, off_cpu, taker, task_state};
pub use socket::{Conn, HEAD_LEN, SockHead, SockOp, SockState, op, role, sock_flag, tcp_state};
pub use stack::{KERNEL_FRAMES, STACK_BYTES, STACK_CHUNK, Stack, taken};

/// Version of the layouts below; raised whenever one changes its meaning.
pub const ABI_VERSION: u32 = 2;

/// What a record is.
pub mod kind {
    /// [`OffCpu`](super::OffCpu): a thread was off the CPU and runs again.
    pub const OFF_CPU: u16 = 1;
    /// [`SockOp`](super::SockOp): an operation on a socket returned.
    pub const SOCK_OP: u16 = 2;
    /// [`SockHead`](super::SockHead): a read that may begin a request, with its first bytes.
    pub const SOCK_HEAD: u16 = 3;
    /// [`Conn`](super::Conn): a socket is seen for the first time.
    pub const CONN: u16 = 4;
    /// [`SockState`](super::SockState): a known TCP socket changed its state.
    pub const SOCK_STATE: u16 = 5;
    /// [`Thread`](super::Thread): a thread was born, found, renamed, or executed another program.
    pub const THREAD: u16 = 6;
    /// [`ThreadEnd`](super::ThreadEnd): a thread ended.
    pub const THREAD_END: u16 = 7;
    /// [`Stack`](super::Stack): a thread's stack.
    pub const STACK: u16 = 8;
    /// One more than the largest kind: the size of tables by kind.
    pub const COUNT: u16 = 9;

    /// The kind's name, for counters and messages.
    pub const fn name(kind: u16) -> &'static str {
        match kind {
            OFF_CPU => "off_cpu",
            SOCK_OP => "sock_op",
            SOCK_HEAD => "sock_head",
            CONN => "conn",
            SOCK_STATE => "sock_state",
            THREAD => "thread",
            THREAD_END => "thread_end",
            STACK => "stack",
            _ => "unknown",
        }
    }
}

/// The beginning of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// When what the record tells of was over: nanoseconds of `CLOCK_MONOTONIC`.
    pub ts: u64,
    /// Thread that the record is about, as the host numbers it; 0 when it is about none of the target's.
    pub tid: u32,
    /// Process of that thread (`tgid`).
    pub pid: u32,
    /// Counts the thread's records, lost ones included, so that a reader sees a gap.
    pub seq: u32,
    /// CPU that sent the record.
    pub cpu: u16,
    /// What the record is, see [`kind`].
    pub kind: u16,
    /// Bytes of the whole record.
    pub len: u32,
    /// Nanoseconds that the thread spun for kernel locks since its last record.
    pub spun: u32,
}

const _: () = assert!(size_of::<Header>() == 32 && align_of::<Header>() == 8);
