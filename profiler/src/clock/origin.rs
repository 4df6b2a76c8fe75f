//! Where a stretch of a request's time comes from: what its thread was in, and with which stack.

use smallvec::SmallVec;
use whywait_ebpf::{abi::OffCpu, syscalls};

use super::state::State;
use crate::{decode::StackId, units::Pid};

/// Where threads wait, as far as stacks are told apart by it: the place of `ebpf/src/stack.rs`, in one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitPlace {
    /// Process.
    pub pid: Pid,
    /// System call; negative: none.
    pub syscall: i32,
    /// Address of the futex; 0 in other calls.
    pub futex: u64,
}

impl WaitPlace {
    /// The place of an interval off the CPU.
    pub fn of(pid: Pid, interval: &OffCpu) -> Self {
        let futex = if interval.syscall == syscalls::FUTEX { interval.args[0] } else { 0 };
        Self { pid, syscall: interval.syscall, futex }
    }
}

/// Where a stretch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Where its thread waited; of one that ran, its process alone.
    pub place: WaitPlace,
    /// The thread's stack, when that was taken.
    pub stack: Option<StackId>,
}

/// A part of a request's time in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The state.
    pub state: State,
    /// Where it comes from.
    pub origin: Origin,
    /// Nanoseconds.
    pub time: u64,
    /// Stretches that end in it.
    pub count: u32,
}

/// Parts that are told apart for a request; time that comes later from elsewhere has no part.
const MOST: usize = 64;

/// The parts of a request's time whose origin is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts(SmallVec<[Part; 2]>);

impl Parts {
    /// Adds time to its part; a stretch of which there is more counts when its last piece does.
    pub(super) fn add(&mut self, state: State, origin: Origin, time: u64, last: bool) {
        let known = self.0.iter_mut().find(|part| part.state == state && part.origin == origin);
        if let Some(part) = known {
            part.time += time;
            part.count += u32::from(last);
        } else if self.0.len() < MOST {
            self.0.push(Part { state, origin, time, count: u32::from(last) });
        }
    }

    /// The parts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.0.iter()
    }
}
