//! The kernel's performance counters (`perf_event_open(2)`) of a server, its threads and its children.
//!
//! They are opened on a process that has not become the server yet, and inherited: nothing that it ever creates is missed.

use std::io;

use perf_event::{
    Builder, Counter,
    events::{Event, Hardware, Software},
};
use serde::Serialize;

use crate::units::Pid;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PerfCounts {
    /// Nanoseconds on a CPU.
    pub task_clock_ns: u64,
    /// Switches away from a thread.
    pub context_switches: u64,
    /// Moves of a thread to another CPU, also while it does not run.
    pub migrations: u64,
    /// Page faults, in user mode and in the kernel.
    pub page_faults: u64,
    /// CPU cycles, where the hardware counts them.
    pub cycles: Option<u64>,
    /// Instructions, where the hardware counts them.
    pub instructions: Option<u64>,
}

impl PerfCounts {
    /// What was counted since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let both = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Self {
            task_clock_ns: self.task_clock_ns.saturating_sub(before.task_clock_ns),
            context_switches: self.context_switches.saturating_sub(before.context_switches),
            migrations: self.migrations.saturating_sub(before.migrations),
            page_faults: self.page_faults.saturating_sub(before.page_faults),
            cycles: both(self.cycles, before.cycles),
            instructions: both(self.instructions, before.instructions),
        }
    }
}

/// Counters of one server.
pub struct PerfCounters {
    task_clock: Counter,
    context_switches: Counter,
    migrations: Counter,
    page_faults: Counter,
    hardware: Result<(Counter, Counter), String>,
}

impl PerfCounters {
    /// Opens them on a process; they count from now on.
    ///
    /// # Errors
    /// Why there are none, in words.
    pub fn open(pid: Pid) -> Result<Self, String> {
        let software = |kind: Software| open(pid, kind).map_err(|error| why_not(&error));
        let hardware = || Ok((open(pid, Hardware::CPU_CYCLES)?, open(pid, Hardware::INSTRUCTIONS)?));
        Ok(Self {
            task_clock: software(Software::TASK_CLOCK)?,
            context_switches: software(Software::CONTEXT_SWITCHES)?,
            migrations: software(Software::CPU_MIGRATIONS)?,
            page_faults: software(Software::PAGE_FAULTS)?,
            hardware: hardware().map_err(|error| why_no_hardware(&error)),
        })
    }

    /// Why there are no cycles and instructions, where there are none.
    pub fn hardware_absent(&self) -> Option<&str> {
        self.hardware.as_ref().err().map(String::as_str)
    }

    /// The counts so far.
    ///
    /// # Errors
    /// When a counter cannot be read.
    pub fn read(&mut self) -> io::Result<PerfCounts> {
        let (cycles, instructions) = match &mut self.hardware {
            Ok((cycles, instructions)) => (scaled(cycles)?, scaled(instructions)?),
            Err(_) => (None, None),
        };
        Ok(PerfCounts {
            task_clock_ns: self.task_clock.read()?,
            context_switches: self.context_switches.read()?,
            migrations: self.migrations.read()?,
            page_faults: self.page_faults.read()?,
            cycles,
            instructions,
        })
    }
}

fn open(pid: Pid, kind: impl Into<Event>) -> io::Result<Counter> {
    let pid = libc::pid_t::try_from(pid.0).map_err(io::Error::other)?;
    let mut builder = Builder::new().kind(kind).observe_pid(pid);
    builder.include_kernel().inherit(true).enabled(true);
    builder.build()
}

/// A hardware counter has its register for a part of the time only, where more are wanted than there are.
fn scaled(counter: &mut Counter) -> io::Result<Option<u64>> {
    let read = counter.read_count_and_time()?;
    let whole = u128::from(read.count) * u128::from(read.time_enabled);
    Ok(whole.checked_div(u128::from(read.time_running)).and_then(|count| u64::try_from(count).ok()))
}

fn why_not(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "not allowed; run whywait as root, or with CAP_PERFMON, or lower kernel.perf_event_paranoid"
                .to_owned()
        }
        Some(libc::ENOSYS) => "this kernel has no perf events (CONFIG_PERF_EVENTS)".to_owned(),
        Some(libc::EMFILE) => "too many open files; raise ulimit -n".to_owned(),
        _ => format!("the kernel refuses ({error})"),
    }
}

fn why_no_hardware(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP) => {
            "this machine has no hardware counters, as most virtual machines have none".to_owned()
        }
        _ => why_not(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_what_is_absent_are_absent() {
        let counts =
            |context_switches, cycles| PerfCounts { context_switches, cycles, ..PerfCounts::default() };
        assert_eq!(counts(7, Some(90)).since(counts(3, Some(40))), counts(4, Some(50)));
        assert_eq!(counts(7, None).since(counts(3, Some(40))).cycles, None);
    }

    #[test]
    fn reasons_say_what_to_do() {
        assert!(why_not(&io::Error::from_raw_os_error(libc::EACCES)).contains("as root"));
        assert!(
            why_no_hardware(&io::Error::from_raw_os_error(libc::ENOENT)).contains("no hardware counters")
        );
    }
}
