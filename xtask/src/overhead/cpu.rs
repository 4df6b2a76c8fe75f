//! CPU time of a process and its descendants, read from /proc, and which CPU runs what.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Which CPUs the server and its load run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    server: u32,
    load: u32,
}

impl Placement {
    /// The server on one CPU and the load on another, or both on one.
    ///
    /// # Errors
    /// When this process may use one CPU only.
    pub fn new(together: bool) -> Result<Self> {
        let status =
            fs::read_to_string("/proc/self/status").context("cannot read the CPUs that may be used")?;
        let list =
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
        let cpus = parse_list(list);
        let (Some(&server), Some(&other)) = (cpus.first(), cpus.last()) else { bail!("no CPU may be used") };
        if server == other {
            bail!("the server and its load need two CPUs");
        }
        Ok(Self { server, load: if together { server } else { other } })
    }

    /// A command that runs on the server's CPU.
    pub fn server(self, program: impl AsRef<OsStr>) -> Command {
        pinned(self.server, program)
    }

    /// A command that runs on the load's CPU.
    pub fn load(self, program: impl AsRef<OsStr>) -> Command {
        pinned(self.load, program)
    }
}

/// `taskset` becomes the program, so that the child's id is the program's.
fn pinned(cpu: u32, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program);
    command
}

/// The numbers in a list such as `0-3,8`.
fn parse_list(list: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.trim().parse::<u32>().ok()?..=to.trim().parse::<u32>().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// The process and its descendants, parents first.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        for task in tasks(parent) {
            let children =
                fs::read_to_string(format!("/proc/{parent}/task/{task}/children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

/// The CPU time that the living threads of these processes have had so far.
///
/// From `/proc/PID/task/TID/schedstat`, in nanoseconds, where `/proc/PID/stat` counts in hundredths of a second. Threads
/// that have ended do not count: compare moments between which no thread of interest ends.
pub fn time(pids: &[u32]) -> Duration {
    let nanos = pids.iter().flat_map(|pid| tasks(*pid).into_iter().map(move |task| (*pid, task))).filter_map(
        |(pid, task)| run_time(&fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).ok()?),
    );
    Duration::from_nanos(nanos.sum())
}

fn tasks(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The first of the three numbers in schedstat: nanoseconds on a CPU.
fn run_time(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_time_grows() {
        let pids = tree(std::process::id());
        assert_eq!(pids[0], std::process::id());
        let before = time(&pids);
        let mut sum = 0_u64;
        for number in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum ^ number);
        }
        assert!(time(&pids) > before, "{sum}");
    }

    #[test]
    fn cpu_lists_are_read() {
        assert_eq!(parse_list("\t0-1\n"), [0, 1]);
        assert_eq!(parse_list("0-2,8"), [0, 1, 2, 8]);
        assert!(parse_list("").is_empty());
    }

    #[test]
    fn schedstat_is_read() {
        assert_eq!(run_time("1518463 93720 3\n"), Some(1_518_463));
        assert_eq!(run_time(""), None);
    }
}
