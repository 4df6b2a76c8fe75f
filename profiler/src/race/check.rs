//! Whether sources that share nothing say the same.

use std::fmt;

use serde::Serialize;

use super::{perf::PerfCounts, row::Counts, usage::ProcCounts};
use crate::units::fmt_count;

/// What two sources may count differently.
pub(super) const CPU_TIME: &str = "CPU time";
/// By how much two sources may differ.
const TOLERANCE: f64 = 0.05;
/// Counts may differ by this many: the window and the counters do not begin and end at one instant.
const FEW: f64 = 20.0;
/// CPU times may differ by this many microseconds: `/proc` counts in ticks of the clock.
const TICKS_US: f64 = 20_000.0;

/// Two sources that differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What both count.
    pub what: &'static str,
    /// By the probes.
    pub ebpf: f64,
    /// By the other source.
    pub other: f64,
    /// The other source: `load`, `perf` or `procfs`.
    pub source: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, ebpf, other, source } = *self;
        let source = match source {
            "load" => "the load generator's",
            "perf" => "perf's",
            _ => "/proc's",
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts, and below 2^53")]
        let whole = |value: f64| fmt_count(value as u64);
        let percent = (ebpf / other - 1.0) * 100.0;
        if what == "requests" || !percent.is_finite() {
            write!(f, "{} {what}, {source} {}", whole(ebpf), whole(other))
        } else {
            write!(f, "{what} {percent:+.0} % of {source}")
        }
    }
}

/// Compares what the probes counted with everybody else; requests exactly.
pub(super) fn differences(
    ebpf: &Counts,
    perf: Option<&PerfCounts>,
    procfs: ProcCounts,
    answered: u64,
) -> Vec<Difference> {
    let switches = ebpf.context_switches() as f64;
    let mut pairs = vec![
        ("requests", ebpf.requests as f64, answered as f64, "load", 0.0),
        (CPU_TIME, ebpf.cpu_us, procfs.cpu_us(), "procfs", TICKS_US),
    ];
    if let Some(perf) = perf {
        pairs.push(("switches", switches, perf.context_switches as f64, "perf", FEW));
        pairs.push((CPU_TIME, ebpf.cpu_us, perf.task_clock_ns as f64 / 1e3, "perf", TICKS_US));
    }
    if let Some(counted) = procfs.context_switches {
        pairs.push(("switches", switches, counted as f64, "procfs", FEW));
    }
    let differs = |ebpf: f64, other: f64, least: f64| {
        let by = (ebpf - other).abs();
        by > least && (least == 0.0 || by > other * TOLERANCE)
    };
    pairs
        .into_iter()
        .filter(|&(_, ebpf, other, _, least)| differs(ebpf, other, least))
        .map(|(what, ebpf, other, source, _)| Difference { what, ebpf, other, source })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ebpf_switches: u64, perf_switches: u64, found: u64, answered: u64) -> Vec<String> {
        let ebpf =
            Counts { requests: found, cpu_us: 1e6, voluntary_switches: ebpf_switches, ..Counts::default() };
        let perf = PerfCounts {
            task_clock_ns: 1_010_000_000,
            context_switches: perf_switches,
            ..PerfCounts::default()
        };
        let procfs = ProcCounts { cpu_user_us: 5e5, cpu_kernel_us: 4.9e5, context_switches: None };
        differences(&ebpf, Some(&perf), procfs, answered).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn what_agrees_is_not_told() {
        assert!(told(1000, 1049, 500, 500).is_empty());
        assert!(told(0, 20, 500, 500).is_empty(), "too few to tell");
    }

    #[test]
    fn differences_are_told_with_their_source() {
        assert_eq!(told(1000, 1100, 500, 500), ["switches -9 % of perf's"]);
        assert_eq!(told(1000, 1000, 499, 1500), ["499 requests, the load generator's 1,500"]);
        assert_eq!(told(100, 0, 500, 500), ["100 switches, perf's 0"]);
    }
}
