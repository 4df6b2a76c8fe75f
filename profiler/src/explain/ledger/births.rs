//! Threads and processes that were born: how long it took until they ran, and how long they lived.

use rustc_hash::FxHashMap;
use whywait_ebpf::abi::{OffCpu, off_cpu};

use crate::{
    decode::Event,
    units::{Ns, Tid},
};

/// Births of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kind {
    /// How many.
    pub count: u64,
    /// Nanoseconds from the creation to the first run, in all.
    pub to_first_run: u64,
    /// How many of them have ended.
    pub ended: u64,
    /// Nanoseconds that those have lived, in all.
    pub lived: u64,
}

/// Births in the window.
#[derive(Debug, Default)]
pub struct Births {
    /// Threads within a process.
    pub threads: Kind,
    /// Processes.
    pub processes: Kind,
    living: FxHashMap<Tid, Ns>,
}

impl Births {
    /// Takes an interval; the one before a thread's first run tells of its birth.
    pub fn off_cpu(&mut self, event: &Event, interval: &OffCpu) {
        if interval.flags & off_cpu::BORN == 0 {
            return;
        }
        let kind = if event.tid == event.pid.main_thread() { &mut self.processes } else { &mut self.threads };
        kind.count += 1;
        kind.to_first_run += event.at.since(Ns(interval.left));
        self.living.insert(event.tid, event.at);
    }

    /// A thread ended.
    pub fn ended(&mut self, event: &Event) {
        let Some(born) = self.living.remove(&event.tid) else { return };
        let kind = if event.tid == event.pid.main_thread() { &mut self.processes } else { &mut self.threads };
        kind.ended += 1;
        kind.lived += event.at.since(born);
    }
}
