//! What limits the CPU time of a process: its control groups' quotas and its affinity.
//!
//! Version 1 has `cpu.cfs_quota_us`, `cpu.cfs_period_us` and `cpu.stat` with `nr_throttled` and `throttled_time` (nanoseconds) in the
//! directory of the `cpu` controller; version 2 has `cpu.max` and `cpu.stat` with `nr_throttled` and `throttled_usec`
//! (`Documentation/scheduler/sched-bwc.rst`, `Documentation/admin-guide/cgroup-v2.rst`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::mounts::mounted;
use crate::units::Pid;

/// How much a control group has been throttled since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// Nanoseconds, summed over CPUs.
    pub throttled_ns: u64,
    /// Periods.
    pub throttled_periods: u64,
}

/// Where control groups that can limit CPU time are mounted.
#[derive(Clone, Debug, Default)]
pub struct CpuGroups {
    version_1: Vec<PathBuf>,
    version_2: Vec<PathBuf>,
}

impl CpuGroups {
    /// Looks for them in the mount table.
    pub fn find() -> Self {
        Self { version_1: mounted("cgroup"), version_2: mounted("cgroup2") }
    }

    /// Directories of the groups that a process is in and that tell of throttling, innermost first. None when it has ended.
    pub fn of(&self, pid: Pid) -> Vec<PathBuf> {
        let list = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        self.of_list(&list)
    }

    fn of_list(&self, list: &str) -> Vec<PathBuf> {
        let mut groups = Vec::new();
        for (controllers, path) in list.lines().filter_map(group_of) {
            let roots = match controllers {
                "" => &self.version_2,
                list if list.split(',').any(|controller| controller == "cpu") => &self.version_1,
                _ => continue,
            };
            for root in roots {
                let inner = root.join(path.trim_start_matches('/'));
                groups.extend(
                    inner
                        .ancestors()
                        .take_while(|dir| dir.starts_with(root))
                        .filter(|dir| cpu_stat(dir).is_some())
                        .map(Path::to_owned),
                );
            }
        }
        groups
    }
}

/// Controllers and path of a line of `/proc/PID/cgroup`; version 2 names no controllers.
fn group_of(line: &str) -> Option<(&str, &str)> {
    line.split_once(':')?.1.split_once(':')
}

/// What the group in this directory tells of throttling; `None` where it tells nothing.
pub fn cpu_stat(dir: &Path) -> Option<CpuStat> {
    read_cpu_stat(&fs::read_to_string(dir.join("cpu.stat")).ok()?)
}

fn read_cpu_stat(text: &str) -> Option<CpuStat> {
    let field = |name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    };
    let throttled_ns = field("throttled_time")
        .or_else(|| field("throttled_usec").map(|micros| micros.saturating_mul(1_000)))?;
    Some(CpuStat { throttled_ns, throttled_periods: field("nr_throttled")? })
}

/// The quota of the group in this directory, in CPUs; `None` where it has none.
pub fn cpu_quota(dir: &Path) -> Option<f64> {
    let read = |file: &str| fs::read_to_string(dir.join(file)).ok();
    match read("cpu.max") {
        Some(text) => text.trim().split_once(' ').and_then(|(quota, period)| in_cpus(quota, period)),
        None => in_cpus(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
    }
}

fn in_cpus(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (u64, u64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (period > 0).then(|| quota as f64 / period as f64)
}

/// Reads a text as each of the files that are read here.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let _stat = read_cpu_stat(&text);
    let _quota = text.split_once(' ').and_then(|(quota, period)| in_cpus(quota, period));
    let _groups = text.lines().filter_map(group_of).count();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(dir).unwrap();
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
    }

    #[test]
    fn both_versions_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let stat = "nr_periods 9\nnr_throttled 7\nthrottled_time 1234\n";
        write(
            &one,
            &[("cpu.stat", stat), ("cpu.cfs_quota_us", "15000\n"), ("cpu.cfs_period_us", "100000\n")],
        );
        assert_eq!(cpu_stat(&one), Some(CpuStat { throttled_ns: 1234, throttled_periods: 7 }));
        assert!((cpu_quota(&one).unwrap() - 0.15).abs() < 1e-9);
        let stat = "usage_usec 5\nnr_periods 9\nnr_throttled 7\nthrottled_usec 1234\n";
        write(&two, &[("cpu.stat", stat), ("cpu.max", "200000 100000\n")]);
        assert_eq!(cpu_stat(&two), Some(CpuStat { throttled_ns: 1_234_000, throttled_periods: 7 }));
        assert!((cpu_quota(&two).unwrap() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn without_a_quota_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!((cpu_stat(dir.path()), cpu_quota(dir.path())), (None, None));
        write(dir.path(), &[("cpu.max", "max 100000\n"), ("cpu.stat", "usage_usec 5\n")]);
        assert_eq!((cpu_stat(dir.path()), cpu_quota(dir.path())), (None, None));
        let one = dir.path().join("one");
        write(&one, &[("cpu.cfs_quota_us", "-1\n"), ("cpu.cfs_period_us", "100000\n")]);
        assert_eq!(cpu_quota(&one), None);
    }

    #[test]
    fn the_groups_of_a_process_are_found_up_to_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let stat: &[(&str, &str)] = &[("cpu.stat", "nr_throttled 0\nthrottled_time 0\n")];
        write(dir.path(), stat);
        write(&dir.path().join("a"), &[]);
        write(&dir.path().join("a/b"), stat);
        let groups = CpuGroups { version_1: vec![dir.path().to_owned()], version_2: Vec::new() };
        let list = "3:cpuset:/elsewhere\n2:cpu,cpuacct:/a/b\n1:name=systemd:/\n";
        assert_eq!(groups.of_list(list), [dir.path().join("a/b"), dir.path().to_owned()]);
        assert!(groups.of_list("3:cpuset:/a/b\n0::/a/b\n").is_empty());
        let groups = CpuGroups { version_2: groups.version_1, version_1: Vec::new() };
        assert_eq!(groups.of_list("0::/a/b\n").len(), 2);
    }
}
