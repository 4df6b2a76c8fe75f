//! Why threads of the target wait for a CPU: who has it, and what the target may use. Pure.
//!
//! A record of each switch back to a CPU names the process whose thread left that CPU ([`OffCpu::taker`](whywait_ebpf::abi::OffCpu)); the
//! whole wait is charged to that process. In a wait through several turns of others that is the last of them, which may have run for a moment
//! only: what is more than a process can have taken is charged to the others (`charge.rs`). Who these processes are, and what
//! limits the target, is read from outside while it runs ([`Outside`]).

mod charge;
mod facts;
mod throttling;
mod union;
mod waits;

pub use facts::{CpuFacts, Kind, Taker};
pub use throttling::{Group, Throttling};
pub use waits::CpuWaits;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::units::Pid;

/// What is known of a process that had a CPU.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Neighbour {
    /// Its name; empty where it ended before it could be asked.
    pub name: String,
    /// It is a thread of the kernel.
    pub kernel: bool,
    /// CPUs that it used, in the mean over the time that it was looked at; `None` where it ended too soon.
    pub cpus: Option<f64>,
    /// Its TCP connections: local and remote port.
    pub connections: BTreeSet<(u16, u16)>,
}

/// What is read from outside.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outside {
    /// Processes that had a CPU.
    pub neighbours: BTreeMap<Pid, Neighbour>,
    /// The control groups that the target's processes are in, with all above them.
    pub groups: Vec<Group>,
    /// CPUs that the target may use, by its affinity.
    pub cpus: usize,
}
