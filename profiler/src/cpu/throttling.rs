//! How much of the waits for a CPU is throttling.
//!
//! The kernel tells for each control group how long it was throttled (`throttled_time`, `throttled_usec` of `cpu.stat`): summed
//! over CPUs, on each from the moment at which the group ran out of quota with threads that could run until it got new one. The time in
//! which at least one thread of the target waited for a CPU, summed over CPUs likewise, contains it where the group holds the target alone. So
//!
//! ```text
//! share of the waits = throttled / (time in which at least one thread waited), at most 1
//! ```
//!
//! It is exact where as many threads wait in throttled time as in other time. Where more do it is too small; where the group holds other
//! processes, which are throttled while the target has nothing to run, it is too large, but never more than all waits.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// A control group in the window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its directory.
    pub path: PathBuf,
    /// Nanoseconds for which it was throttled, summed over CPUs.
    pub throttled_ns: u64,
    /// Periods in which it was throttled.
    pub throttled_periods: u64,
    /// CPUs that it may use; `None` where it has no quota.
    pub quota: Option<f64>,
}

/// The limits of all groups of the target together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Throttling {
    /// Nanoseconds for which threads of the target could not run, summed over CPUs.
    pub ns: u64,
    /// Periods in which that was so.
    pub periods: u64,
    /// The smallest quota in CPUs.
    pub quota: Option<f64>,
}

impl Throttling {
    /// Of groups one above the other a CPU is throttled once, though each counts it: what counts is the larger of a group's own time and that of
    /// all below it.
    pub fn of(groups: &[Group]) -> Self {
        let mut by_depth: Vec<&Group> = groups.iter().collect();
        by_depth.sort_by_key(|group| std::cmp::Reverse(group.path.components().count()));
        let mut below: BTreeMap<PathBuf, (u64, u64)> = BTreeMap::new();
        let (mut ns, mut periods) = (0, 0);
        for group in by_depth {
            let (ns_below, periods_below) = below.remove(&group.path).unwrap_or_default();
            let told = (group.throttled_ns.max(ns_below), group.throttled_periods.max(periods_below));
            let above = group.path.parent().filter(|dir| groups.iter().any(|other| other.path == *dir));
            if let Some(above) = above {
                let sum = below.entry(above.to_owned()).or_default();
                sum.0 += told.0;
                sum.1 += told.1;
            } else {
                ns += told.0;
                periods += told.1;
            }
        }
        Self { ns, periods, quota: groups.iter().filter_map(|group| group.quota).min_by(f64::total_cmp) }
    }

    /// Share of the waits, given the nanoseconds in which at least one thread waited, summed over CPUs.
    pub fn share(&self, at_least_one: u64) -> f64 {
        if at_least_one == 0 { 0.0 } else { (self.ns as f64 / at_least_one as f64).min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(path: &str, throttled_ns: u64, quota: Option<f64>) -> Group {
        Group { path: path.into(), throttled_ns, throttled_periods: throttled_ns / 10, quota }
    }

    #[test]
    fn groups_one_above_the_other_count_once() {
        let groups = [group("/c", 0, None), group("/c/a", 70, Some(2.0)), group("/c/a/x", 100, Some(0.5))];
        assert_eq!(Throttling::of(&groups), Throttling { ns: 100, periods: 10, quota: Some(0.5) });
    }

    #[test]
    fn groups_beside_each_other_are_added_up() {
        let groups = [group("/c/a", 70, None), group("/c/b", 50, None), group("/c", 100, Some(1.0))];
        assert_eq!(Throttling::of(&groups).ns, 120);
        let apart = [group("/c/a", 70, None), group("/d/b", 50, None)];
        assert_eq!(Throttling::of(&apart).ns, 120);
    }

    #[test]
    fn it_is_never_more_than_all_waits() {
        let throttling = Throttling { ns: 300, ..Throttling::default() };
        assert!((throttling.share(400) - 0.75).abs() < 1e-9);
        assert!((throttling.share(200) - 1.0).abs() < 1e-9 && throttling.share(0).abs() < 1e-9);
    }
}
