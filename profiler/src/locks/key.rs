//! What tells one lock from another.

use serde::{Deserialize, Serialize};
use whywait_ebpf::{abi::OffCpu, syscalls as call};

use super::futex::FutexCall;
use crate::units::Pid;

/// Where a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// A futex, by its address.
    Futex(u64),
    /// A set of System V semaphores, by its id.
    Semaphores(u64),
    /// A lock on an open file, by its descriptor.
    File(u64),
}

/// Names a lock within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LockKey {
    /// Process whose lock it is; `None` where processes share it: a futex in shared memory, which forked processes have at the same
    /// address, and semaphores.
    pub pid: Option<Pid>,
    /// Where it is.
    pub place: Place,
}

impl LockKey {
    /// The lock that a thread waits for in this interval.
    pub fn of(pid: Pid, interval: &OffCpu) -> Self {
        let object = interval.args[0];
        match interval.syscall {
            call::SEMOP | call::SEMTIMEDOP => Self { pid: None, place: Place::Semaphores(object) },
            call::FLOCK | call::FCNTL => Self { pid: Some(pid), place: Place::File(object) },
            _ => {
                let shared = FutexCall::of(interval).is_some_and(FutexCall::is_shared);
                Self { pid: (!shared).then_some(pid), place: Place::Futex(object) }
            }
        }
    }

    /// Keys of the futexes that belong to the same condition variable, if this is one: glibc alternates between two. Never those of a
    /// mutex, which may well lie beside another one.
    pub fn beside(self, interval: &OffCpu) -> Option<[Self; 2]> {
        let Place::Futex(address) = self.place else { return None };
        let call = FutexCall::of(interval)?;
        let with = |address| Self { place: Place::Futex(address), ..self };
        (call.waits_for_bits() && !call.is_mutex())
            .then(|| [with(address.wrapping_sub(4)), with(address.wrapping_add(4))])
    }
}
