//! Which processes use which CPUs, from `/proc/PID/stat` and `/proc/stat` (`proc_pid_stat(5)`, `proc_stat(5)`).

use std::{collections::BTreeMap, fs};

use super::proc::all_processes;
use crate::units::Pid;

/// What a process has used so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Its name.
    pub name: String,
    /// CPU time of it, in ticks.
    pub ticks: u64,
}

/// CPU times up to a moment.
#[derive(Clone, Debug, Default)]
pub struct CpuUse {
    /// By process. One that cannot be read is left out.
    pub processes: BTreeMap<Pid, Used>,
    /// Ticks in which each CPU was not idle, by its number; what a hypervisor took counts.
    pub busy: BTreeMap<usize, u64>,
}

/// CPU times of everybody.
pub fn cpu_use() -> CpuUse {
    let one = |pid: Pid| Some((pid, parse_process(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?));
    CpuUse {
        processes: all_processes().into_iter().filter_map(one).collect(),
        busy: fs::read_to_string("/proc/stat").map(|text| parse_cpus(&text)).unwrap_or_default(),
    }
}

/// CPUs that a process may run on; empty where that cannot be read.
pub fn allowed_cpus(pid: Pid) -> Vec<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let mut cpus = Vec::new();
    for range in list.trim().split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(from), Ok(to)) = (from.parse::<usize>(), to.parse::<usize>()) {
            cpus.extend(from..=to);
        }
    }
    cpus
}

fn parse_process(text: &str) -> Option<Used> {
    // The name may contain anything, parentheses too; it ends with the last one.
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Fields 14 and 15 of the manual page; the first here is its third.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Used { name: name.to_owned(), ticks: number(14)? + number(15)? })
}

fn parse_cpus(text: &str) -> BTreeMap<usize, u64> {
    let cpu = |line: &str| {
        let mut fields = line.strip_prefix("cpu")?.split_ascii_whitespace();
        let number = fields.next()?.parse().ok()?;
        let times: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is contained in these.
        let busy = [0, 1, 2, 5, 6, 7].into_iter().filter_map(|field| times.get(field)).sum();
        Some((number, busy))
    };
    text.lines().filter(|line| !line.starts_with("cpu ")).filter_map(cpu).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let tail: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let used = parse_process(&format!("7 (a) (b) {}", tail.join(" "))).unwrap();
        assert_eq!(used, Used { name: "a) (b".to_owned(), ticks: 29 });
    }

    #[test]
    fn idle_time_is_not_busy_time() {
        let text =
            "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 1000 1000 4 5 6 0 0\ncpu1 1 0 0 0 0 0 0 0 0 0\nintr 5\n";
        assert_eq!(parse_cpus(text), [(0, 21), (1, 1)].into());
    }

    /// This process runs somewhere.
    #[test]
    fn the_own_process_is_found() {
        let own = Pid(std::process::id());
        assert!(cpu_use().processes.contains_key(&own) && !allowed_cpus(own).is_empty());
    }
}
