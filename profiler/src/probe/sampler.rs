//! The clock of the samples: a performance event on each CPU.

use aya::{
    programs::{
        PerfEvent, ProgramError,
        perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent},
    },
    util::online_cpus,
};

/// Samples of each CPU a second. Not a round number, so that what a server does every so many milliseconds is not met, or missed, each time.
pub const SAMPLES_PER_SECOND: u64 = 99;

/// Loads the program, and attaches it to the software clock of each CPU.
pub(super) fn attach(program: &mut PerfEvent) -> Result<(), ProgramError> {
    program.load()?;
    let cpus = online_cpus().map_err(|(_, error)| ProgramError::IOError(error))?;
    for cpu in cpus {
        program.attach(
            PerfEventConfig::Software(SoftwareEvent::CpuClock),
            PerfEventScope::AllProcessesOneCpu { cpu },
            SamplePolicy::Frequency(SAMPLES_PER_SECOND),
            false,
        )?;
    }
    Ok(())
}
