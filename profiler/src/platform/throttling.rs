//! How often and for how long the CPU quotas of control groups stopped a process: `cpu.stat` of version 1 and 2
//! (`Documentation/scheduler/sched-bwc.rst`, `Documentation/admin-guide/cgroup-v2.rst`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::mounts::mounted;
use crate::units::Pid;

/// What a quota did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Throttling {
    /// CPUs that the quota allows.
    pub quota: f64,
    /// Periods in which the group was stopped.
    pub periods: u64,
    /// Nanoseconds for which it was, on each CPU, in all.
    pub nanos: u64,
}

/// Directories of the groups with a quota that a process is in: its own, and those above.
pub fn groups_with_quota(pid: Pid) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mut roots = mounted("cgroup");
    roots.extend(mounted("cgroup2"));
    let mut found = Vec::new();
    for path in text.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        for root in &roots {
            let below = Path::new(path.trim_start_matches('/'));
            let groups = below.ancestors().map(|group| root.join(group));
            found.extend(groups.filter(|group| throttling(group).is_some()));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// What a group's quota did so far; `None` where it has none.
pub fn throttling(group: &Path) -> Option<Throttling> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let quota = match read("cpu.max") {
        Some(max) => quota_v2(&max),
        None => quota_v1(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
    };
    let stat = read("cpu.stat")?;
    let value = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    let nanos = value("throttled_time").or_else(|| Some(value("throttled_usec")? * 1_000))?;
    Some(Throttling { quota: quota?, periods: value("nr_throttled")?, nanos })
}

/// `15000 100000`, or `max 100000`.
fn quota_v2(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota, period)
}

/// `15000`, or `-1`.
fn quota_v1(quota: &str, period: &str) -> Option<f64> {
    ratio(quota.trim(), period.trim())
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn both_versions_are_read_and_a_group_without_a_quota_is_none() {
        let one = group(&[
            ("cpu.cfs_quota_us", "15000\n"),
            ("cpu.cfs_period_us", "100000\n"),
            ("cpu.stat", "nr_periods 9\nnr_throttled 7\nthrottled_time 5000\n"),
        ]);
        assert_eq!(throttling(one.path()), Some(Throttling { quota: 0.15, periods: 7, nanos: 5_000 }));
        let two =
            group(&[("cpu.max", "200000 100000\n"), ("cpu.stat", "nr_throttled 3\nthrottled_usec 5\n")]);
        assert_eq!(throttling(two.path()), Some(Throttling { quota: 2.0, periods: 3, nanos: 5_000 }));
        let none = group(&[("cpu.max", "max 100000\n"), ("cpu.stat", "nr_throttled 0\nthrottled_usec 0\n")]);
        assert_eq!(throttling(none.path()), None);
    }
}
