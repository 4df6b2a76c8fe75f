//! What a load run found.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::clock::nanos;

/// The result of a run. Times are in microseconds; requests of the warm-up appear nowhere in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Answered requests, whatever the status, late answers included.
    pub requests: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests whose moment came, but for which no connection became free before the end.
    pub unsent: u64,
    /// Requests that failed, by reason.
    pub errors: LoadErrors,
    /// For how long requests were sent.
    pub duration_s: f64,
    /// `requests` by `duration_s`.
    pub per_second: f64,
    /// From the moment at which the request was due to the last byte of its answer.
    pub latency_us: LatencySummary,
    /// From the moment at which it was really sent (in the closed loop the same).
    pub service_us: LatencySummary,
    /// Most requests that were sent and not answered at one time.
    pub max_in_flight: u64,
}

/// Requests that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadErrors {
    /// The connection could not be opened.
    pub connect: u64,
    /// The connection ended, or the bytes made no sense, before the answer was complete.
    pub read: u64,
    /// The request could not be written.
    pub write: u64,
    /// Answered, but not with 200; these are counted in `requests` as well.
    pub status: u64,
    /// Not answered within two seconds after the end.
    pub timeout: u64,
}

impl LoadErrors {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.connect + self.read + self.write + self.status + self.timeout
    }
}

/// A latency distribution, in microseconds. `mean` and `max` are exact, the quantiles to three digits. All zero if
/// nothing was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 % were at most this.
    pub p90: f64,
    /// 99 % were at most this.
    pub p99: f64,
    /// 99.9 % were at most this.
    pub p999: f64,
    /// 99.99 % were at most this.
    pub p9999: f64,
    /// The longest.
    pub max: f64,
}

/// Collects one distribution.
#[derive(Debug)]
pub(super) struct Latencies {
    histogram: Histogram<u64>,
    sum: u128,
    max: u64,
}

impl Latencies {
    /// 1 ns to 60 s, three significant digits.
    pub(super) fn new() -> Result<Self> {
        let histogram =
            Histogram::new_with_bounds(1, 60_000_000_000, 3).context("cannot make a histogram")?;
        Ok(Self { histogram, sum: 0, max: 0 })
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let latency = nanos(latency);
        self.histogram.saturating_record(latency);
        self.sum += u128::from(latency);
        self.max = self.max.max(latency);
    }

    pub(super) fn summary(&self) -> LatencySummary {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        // The top of a bucket may lie above the largest value in it.
        let quantile = |q| micros(self.histogram.value_at_quantile(q).min(self.max));
        LatencySummary {
            mean: self.sum as f64 / self.histogram.len().max(1) as f64 / 1e3,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            p9999: quantile(0.9999),
            max: micros(self.max),
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadErrors { connect, read, write, status, timeout } = self.errors;
        writeln!(
            f,
            "{} requests answered in {:.2} s: {:.1} per second, at most {} in flight",
            self.requests, self.duration_s, self.per_second, self.max_in_flight
        )?;
        writeln!(
            f,
            "errors: connect {connect}, read {read}, write {write}, status {status}, timeout {timeout}; unsent {}",
            self.unsent
        )?;
        writeln!(
            f,
            "{:>12} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "µs", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"
        )?;
        for (name, s) in [("latency", &self.latency_us), ("service", &self.service_us)] {
            write!(f, "{name:>12}")?;
            for value in [s.mean, s.p50, s.p90, s.p99, s.p999, s.p9999, s.max] {
                write!(f, " {value:>10.1}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_maximum_are_exact_and_quantiles_close() {
        let mut latencies = Latencies::new().unwrap();
        assert_eq!(latencies.summary(), LatencySummary::default());
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        let summary = latencies.summary();
        assert!((summary.mean - 500.5).abs() < 1e-9 && (summary.max - 1000.0).abs() < 1e-9);
        assert!(
            (summary.p50 - 500.0).abs() < 1.0 && (summary.p99 - 990.0).abs() < 2.0 && summary.p9999 <= 1000.0
        );
        latencies.record(Duration::from_secs(100));
        assert!((latencies.summary().max - 1e8).abs() < 1e-9);
    }
}
