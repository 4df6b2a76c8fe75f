//! Stacks: each one once, under a number.

use std::{collections::hash_map::Entry, num::NonZeroU32};

use rustc_hash::FxHashMap;
use whywait_ebpf::abi::{self, born};

use super::event::{Event, What};
use crate::units::{Ns, Pid, Tid};

/// Stacks that are told apart; those that come later have no number.
const MOST: usize = 1 << 16;

/// Names a stack within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackId(NonZeroU32);

impl StackId {
    /// As a number, from 1.
    pub fn number(self) -> u32 {
        self.0.get()
    }
}

/// Why a stack was taken, see [`abi::taken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Taken {
    /// Its thread left the CPU.
    OffCpu,
    /// Its thread woke another one.
    Waker,
    /// Its thread ran when a sample was due.
    OnCpu,
}

impl Taken {
    pub(super) fn of(how: u8) -> Self {
        match how {
            abi::taken::OFF_CPU => Self::OffCpu,
            abi::taken::WAKER => Self::Waker,
            _ => Self::OnCpu,
        }
    }
}

/// A stack as the kernel sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawStack {
    /// Instruction, stack and frame pointer in user space; the first is 0 for a thread without a stack there.
    pub registers: [u64; 3],
    /// The kernel's frames, innermost first.
    pub kernel: Vec<u64>,
    /// The thread's stack, from the stack pointer on.
    pub bytes: Vec<u8>,
}

/// What a stack's number stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeOf {
    /// A copy in which the callers are still to be found.
    Copy(Box<RawStack>),
    /// Callers that were found already.
    Callers(Box<Trace>),
}

/// A stack was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackEvent {
    /// Why.
    pub taken: Taken,
    /// When the thread, or the one that was woken, left the CPU; for a sample, when it was taken.
    pub at: Ns,
    /// The futex that is waited for; 0 for another wait.
    pub futex: u64,
    /// The woken thread, for [`Taken::Waker`].
    pub other: Tid,
    /// Its number; `None` before [`Traces::number`], and beyond the number of stacks that are told apart.
    pub id: Option<StackId>,
    /// What it was made of, until it has its number.
    pub made_of: Option<MadeOf>,
}

impl StackEvent {
    pub(super) fn read(record: &abi::Stack) -> Self {
        let kernel = usize::from(record.kernel_len).min(abi::KERNEL_FRAMES);
        let bytes = usize::from(record.bytes_len).min(abi::STACK_BYTES);
        Self {
            taken: Taken::of(record.how),
            at: Ns(record.at),
            futex: record.futex,
            other: Tid(record.other),
            id: None,
            made_of: Some(MadeOf::Copy(Box::new(RawStack {
                registers: [record.ip, record.sp, record.bp],
                kernel: record.kernel[..kernel].to_vec(),
                bytes: record.bytes[..bytes].to_vec(),
            }))),
        }
    }
}

/// How a stack ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// At the function with which the thread began.
    #[default]
    Root,
    /// It is deeper than what was copied of it.
    TooDeep,
    /// A caller could not be found: the code has neither call-frame information nor a frame pointer there.
    Lost,
}

/// Addresses of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trace {
    /// Process in whose memory they are.
    pub pid: Pid,
    /// In the kernel, innermost first.
    pub kernel: Vec<u64>,
    /// In user space, innermost first: an instruction pointer, then return addresses.
    pub user: Vec<u64>,
    /// How it ends.
    pub end: End,
}

/// Finds the callers in a copied stack.
pub trait Unwind {
    /// Addresses in user space, innermost first, and how they end.
    fn unwind(&mut self, pid: Pid, raw: &RawStack) -> (Vec<u64>, End);

    /// A process was forked: its memory is that of its parent.
    fn forked(&mut self, _child: Pid, _parent: Pid) {}

    /// A process executed another program.
    fn executed(&mut self, _pid: Pid) {}
}

/// Finds none.
impl Unwind for () {
    fn unwind(&mut self, _: Pid, raw: &RawStack) -> (Vec<u64>, End) {
        let ip = raw.registers[0];
        if ip == 0 { (Vec::new(), End::Root) } else { (vec![ip], End::Lost) }
    }
}

/// Every stack that came, once.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    traces: Vec<Trace>,
    ids: FxHashMap<Trace, StackId>,
}

impl Traces {
    /// Gives the stack of an event, if it is one, its number, and tells who forks.
    pub fn number(&mut self, event: &mut Event, unwind: &mut dyn Unwind) {
        match &mut event.what {
            What::Stack(stack) => {
                stack.id = match stack.made_of.take() {
                    Some(MadeOf::Copy(raw)) => {
                        let (user, end) = unwind.unwind(event.pid, &raw);
                        self.intern(Trace { pid: event.pid, kernel: raw.kernel, user, end })
                    }
                    Some(MadeOf::Callers(trace)) => self.intern(*trace),
                    None => stack.id,
                };
            }
            What::Thread(thread) if thread.how == born::NEW && thread.parent_pid != event.pid.0 => {
                unwind.forked(event.pid, Pid(thread.parent_pid));
            }
            What::Thread(thread) if thread.how == born::EXEC => unwind.executed(event.pid),
            _ => {}
        }
    }

    /// The number of a trace.
    pub fn intern(&mut self, trace: Trace) -> Option<StackId> {
        let room = self.traces.len() < MOST;
        match self.ids.entry(trace) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(new) if room => {
                self.traces.push(new.key().clone());
                let id = StackId(u32::try_from(self.traces.len()).ok().and_then(NonZeroU32::new)?);
                Some(*new.insert(id))
            }
            Entry::Vacant(_) => None,
        }
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (StackId, &Trace)> {
        let numbers = (1..).map_while(NonZeroU32::new).map(StackId);
        numbers.zip(&self.traces)
    }

    /// The trace of a number that this table gave.
    pub fn get(&self, id: StackId) -> &Trace {
        static NONE: Trace = Trace { pid: Pid(0), kernel: Vec::new(), user: Vec::new(), end: End::Lost };
        self.traces.get(id.0.get() as usize - 1).unwrap_or(&NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same addresses of another process are another stack: they are other functions there.
    #[test]
    fn a_stack_has_one_number_in_its_process() {
        let mut traces = Traces::default();
        let trace = |pid| Trace { pid: Pid(pid), user: vec![1, 2], ..Trace::default() };
        let first = traces.intern(trace(7));
        assert_eq!(first, traces.intern(trace(7)));
        assert_ne!(first, traces.intern(trace(8)));
        assert_eq!(traces.get(first.unwrap()), &trace(7));
    }
}
