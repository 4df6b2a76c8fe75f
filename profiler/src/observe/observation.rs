//! What came of a run: of its records, by way of the pipeline, and of its facts. Pure.

use std::collections::BTreeSet;

use super::{facts::Facts, pipeline::Pipeline};
use crate::{
    cpu::CpuFacts,
    fingerprint::Fingerprint,
    stacks::{Code, Stacks},
    units::Pid,
};

/// What came of a run.
pub struct Observation {
    /// What was read beside the records.
    pub facts: Facts,
    /// The window, and what the clock counted.
    pub pipeline: Pipeline,
    /// The concurrency model.
    pub fingerprint: Fingerprint,
    /// Why threads waited for a CPU.
    pub cpu: CpuFacts,
    /// Where in the code requests spent their time.
    pub stacks: Stacks,
}

impl Observation {
    /// What came of a window that has ended; `code` names the functions in its stacks.
    pub fn new(mut pipeline: Pipeline, facts: Facts, code: &mut dyn Code) -> Self {
        facts.lock_names.give(pipeline.locks_mut());
        let own: BTreeSet<Pid> = pipeline.window().threads().iter().map(|(_, usage)| usage.pid).collect();
        Self {
            cpu: CpuFacts::new(pipeline.cpu(), &facts.cpu, &own, facts.end),
            fingerprint: pipeline.behaviour().fingerprint(&facts.processes),
            stacks: Stacks::new(pipeline.profile(), pipeline.traces(), code),
            pipeline,
            facts,
        }
    }
}
