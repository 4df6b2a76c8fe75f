//! What the rest of the program speaks of.

use whywait_ebpf::abi::{Conn, OffCpu, SockOp, SockState, Thread, off_cpu};

use super::{Route, StackEvent};
use crate::units::{Ns, Pid, Tid};

/// Names a socket for as long as it lives (see [`Conn::id`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Something that was over at `at`.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When it was over.
    pub at: Ns,
    /// Thread that it is about; 0 for none of the target's.
    pub tid: Tid,
    /// Process of that thread.
    pub pid: Pid,
    /// Number of this record among those of its thread.
    pub seq: u32,
    /// Records of the thread that are missing before this one, see [`super::Gaps`].
    pub missing: u32,
    /// CPU that sent it.
    pub cpu: u16,
    /// Nanoseconds that the thread spun for kernel locks since its last record, up to where this one begins.
    pub spun: u32,
    /// What it was.
    pub what: What,
}

impl Event {
    /// When the thread of this interval off the CPU could have run again, as the kernel counts waits for a CPU: from the moment at which it was
    /// put on a run queue.
    pub fn ready(&self, interval: &OffCpu) -> Ns {
        match (interval.flags & off_cpu::VOLUNTARY != 0, interval.queued) {
            (false, _) => Ns(interval.left),
            (true, 0) => self.at,
            (true, queued) => Ns(queued),
        }
    }
}

/// What an [`Event`] was.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A thread was off the CPU and runs again.
    OffCpu(OffCpu),
    /// A thread did something with a socket.
    Socket {
        /// The operation.
        op: SockOp,
        /// Where an HTTP request begins with what was read: its route.
        route: Option<Route>,
    },
    /// A socket is seen for the first time.
    Conn(Conn),
    /// A TCP connection changed its state.
    SockState(SockState),
    /// A thread was born, found, renamed, or executed another program.
    Thread(Thread),
    /// A thread ended.
    ThreadEnd,
    /// A thread's stack was taken.
    Stack(StackEvent),
}
