//! What is looked at beside the records while a window lasts, and made facts of.

use super::{facts::Facts, neighbours::Neighbourhood, outside::ServingProcesses, pipeline::Pipeline};
use crate::{
    platform::{proc, target::Resolved},
    probe::{AttachError, Outcome, Session},
    units::{Ns, Pid},
};

/// What was seen so far.
pub struct Beside {
    began: Ns,
    own_cpu_ns: u64,
    processes: ServingProcesses,
    neighbours: Neighbourhood,
}

impl Beside {
    /// Begins a window at this moment, with these processes as its target.
    pub fn new(began: Ns, target: &[Pid]) -> Self {
        Self {
            began,
            own_cpu_ns: proc::self_cpu_ns(),
            processes: ServingProcesses::default(),
            neighbours: Neighbourhood::new(target),
        }
    }

    /// Begins the next window. What serving processes look like is known already.
    pub fn turn(&mut self, began: Ns, target: &[Pid]) {
        self.began = began;
        self.own_cpu_ns = proc::self_cpu_ns();
        self.neighbours = Neighbourhood::new(target);
    }

    /// Looks at what has changed; `fresh` are processes that have had a CPU for the first time.
    pub fn tick(&mut self, fresh: &[Pid], pipeline: &Pipeline) {
        self.processes.tick(pipeline.behaviour());
        self.neighbours.tick(fresh, pipeline);
    }

    /// The same at the end of the window.
    pub fn last_look(&mut self, fresh: &[Pid], pipeline: &Pipeline) {
        self.neighbours.last_look(fresh, pipeline);
    }

    /// The facts of the window up to this moment, but for what its caller knows: the slice, the names of locks, whether the target has ended.
    ///
    /// # Errors
    /// When the programs' maps cannot be read.
    pub fn facts(&self, session: &Session, target: &Resolved, end: Ns) -> Result<Facts, AttachError> {
        Ok(Facts {
            begin: self.began,
            end,
            pids: target.pids.clone(),
            command: target.command.clone(),
            ports: target.ports.clone(),
            machine_cpus: proc::cpu_count(),
            loss: session.loss()?,
            counters: session.counters()?,
            capabilities: session.capabilities().iter().map(Outcome::from).collect(),
            mode: session.mode(),
            syscalls: session.syscalls()?,
            futexes: session.futexes()?,
            kernel_locks: session.kernel_locks()?,
            run_queue: session.run_queue_histogram()?,
            own_cpu_ns: proc::self_cpu_ns().saturating_sub(self.own_cpu_ns),
            cpu: self.neighbours.outside(),
            processes: self.processes.outside().clone(),
            ..Facts::default()
        })
    }
}
